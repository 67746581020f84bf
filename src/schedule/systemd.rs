//! A systemd user timer and the service that it starts.

use super::Job;

/// The file name of the service.
pub(crate) const SERVICE: &str = "jmo-telemetry-flush.service";
/// The file name of the timer.
pub(crate) const TIMER: &str = "jmo-telemetry-flush.timer";

const HEADER: &str =
    "# Written by `jmo-telemetry schedule install`, deleted by `jmo-telemetry schedule remove`.\n";
const FOLDERS: &str = "# Folders made for it: ";
const DESCRIPTION: &str = "Description=Upload waiting JMo Security telemetry, every ";

/// The service. `folders` is the number of parent folders that were created for it and will be
/// removed with it.
///
/// The service does nothing if the program is gone.
#[must_use]
pub(crate) fn service(job: &Job, folders: usize) -> String {
    let arguments = job.arguments.iter().map(|word| quote(word));
    let words: Vec<_> = program(&job.program).chain(arguments).collect();
    let command = words.join(" ");
    format!(
        "{HEADER}{FOLDERS}{folders}\n\
         [Unit]\n\
         {DESCRIPTION}{}\n\
         ConditionFileIsExecutable={}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={command}\n\
         Nice=10\n\
         TimeoutStartSec=120\n",
        job.every,
        job.program.replace('%', "%%"),
    )
}

/// The timer. systemd catches up on a run that was missed while the machine was off.
#[must_use]
pub(crate) fn timer(job: &Job) -> String {
    format!(
        "{HEADER}\
         [Unit]\n\
         {DESCRIPTION}{}\n\
         \n\
         [Timer]\n\
         OnCalendar={}\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        job.every,
        calendar(job)
    )
}

/// The times of the runs in systemd's calendar format.
fn calendar(job: &Job) -> String {
    let (minutes, hour, minute) = (job.every.in_minutes(), job.offset / 60, job.offset % 60);
    match minutes {
        1..60 => format!("*-*-* *:{minute:02}/{minutes}:00"),
        60 => format!("*-*-* *:{minute:02}:00"),
        1440 => format!("*-*-* {hour:02}:{minute:02}:00"),
        _ => format!("*-*-* {hour:02}/{}:{minute:02}:00", minutes / 60),
    }
}

/// systemd does not accept these characters in the path of a program, even quoted.
const UNSAFE: [char; 3] = ['\'', '"', '\\'];

/// A shell that starts a program with such a path, which is then an argument.
const SHELL: [&str; 3] = ["/bin/sh", "-c", r#"exec "$0" "$@""#];

/// The program as words for `ExecStart=`.
fn program(path: &str) -> impl Iterator<Item = String> {
    let (shell, path) = if path.contains(UNSAFE) {
        (&SHELL[..], quote(path))
    } else {
        // A dollar sign is literal here; it needs escaping only in arguments.
        (&SHELL[..0], quote_percent(path))
    };
    shell.iter().map(|word| quote(word)).chain([path])
}

/// Quotes a word and escapes percent signs, which systemd expands everywhere.
fn quote_percent(word: &str) -> String {
    let mut quoted = String::from("\"");
    for character in word.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '%' => quoted.push_str("%%"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Quotes an argument for `ExecStart=`.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    quote_percent(word).replace('$', "$$")
}

/// How many folders were created for our service.
#[must_use]
pub(crate) fn folders(service: &str) -> usize {
    let told = service.lines().find_map(|line| line.strip_prefix(FOLDERS));
    told.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Reads the job from our service and its timer; `None` when somebody has changed them.
#[must_use]
pub(crate) fn read(service: &str, timer: &str) -> Option<Job> {
    let value = |text: &str, key: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(key)?.to_owned()))
    };
    let every = value(service, DESCRIPTION)?.parse().ok()?;
    let mut words = words(&value(service, "ExecStart=")?)?;
    let unescape = |word: &String| word.replace("$$", "$");
    if words.len() > 3 && words[..3].iter().map(unescape).eq(SHELL) {
        words.drain(..3);
        words[..1]
            .iter_mut()
            .for_each(|word| *word = unescape(word));
    }
    let (program, arguments) = words.split_first()?;
    let (program, arguments) = (program.clone(), arguments.iter().map(unescape).collect());
    let calendar = value(timer, "OnCalendar=*-*-* ")?;
    let mut parts = calendar.split(':');
    let first = |part: Option<&str>| part?.split('/').next()?.parse::<u32>().ok();
    let hour = first(parts.next()).unwrap_or(0);
    let minute = first(parts.next())?;
    Some(Job {
        program,
        arguments,
        every,
        offset: hour * 60 + minute,
    })
}

/// Splits the value of `ExecStart=` into words; the inverse of [`quote`].
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' if !quoted => words.extend(word.take()),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '%' if characters.as_str().starts_with('%') => {
                characters.next();
                word.get_or_insert_default().push('%');
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Every, arbitrary};
    use super::*;

    #[test]
    fn each_interval_has_its_calendar() {
        let of = |minutes, offset| {
            calendar(&Job {
                program: String::new(),
                arguments: Vec::new(),
                every: Every::minutes(minutes).expect("allowed"),
                offset,
            })
        };
        assert_eq!(of(15, 7), "*-*-* *:07/15:00");
        assert_eq!(of(60, 42), "*-*-* *:42:00");
        assert_eq!(of(120, 67), "*-*-* 01/2:07:00");
        assert_eq!(of(1440, 125), "*-*-* 02:05:00");
    }

    proptest! {
        #[test]
        fn units_are_read_as_they_were_written(job in arbitrary::job(), made in 0_usize..5) {
            let service = service(&job, made);
            prop_assert_eq!(folders(&service), made);
            prop_assert_eq!(read(&service, &timer(&job)), Some(job));
        }
    }
}
