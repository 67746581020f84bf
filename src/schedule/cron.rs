//! A line in the user's crontab. Our line ends with [`MARK`], which is a comment for the shell; no
//! other line is touched.

use super::{Every, Job};

/// The end of our line, before the interval.
pub(crate) const MARK: &str = " # jmo-telemetry schedule, every ";

/// An addition to our line if there was no crontab before, so that removing the line removes the
/// crontab.
const OWN_CRONTAB: &str = ", in a crontab of its own";

/// The line for a job, with its line end. `own_crontab` is true if there was no crontab before.
///
/// The command does nothing if the program is gone, since cron would send a mail about an error
/// each time.
#[must_use]
pub(crate) fn line(job: &Job, own_crontab: bool) -> String {
    let program = quote(&job.program);
    let mut command = format!("test -x {program} && {program}");
    for argument in &job.arguments {
        command.push(' ');
        command.push_str(&quote(argument));
    }
    let own = if own_crontab { OWN_CRONTAB } else { "" };
    format!(
        "{} {command}{MARK}{}{own}\n",
        fields(job.every, job.offset),
        job.every
    )
}

/// The five fields for the time.
fn fields(every: Every, offset: u32) -> String {
    let (minutes, hour, minute) = (every.in_minutes(), offset / 60, offset % 60);
    match minutes {
        1 => "* * * * *".to_owned(),
        2..60 => format!("{minute}-59/{minutes} * * * *"),
        60 => format!("{minute} * * * *"),
        1440 => format!("{minute} {hour} * * *"),
        _ => format!("{minute} {hour}-23/{} * * *", minutes / 60),
    }
}

/// Quotes a word for the shell, and escapes percent signs for cron.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("'");
    for character in word.chars() {
        match character {
            '\'' => quoted.push_str(r"'\''"),
            '%' => quoted.push_str(r"\%"),
            // The quotes must end after a backslash, or cron would treat it as an escape of the
            // next character.
            '\\' => quoted.push_str(r"\''"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// Whether this line of a crontab is ours.
fn is_ours(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| interval(line).is_some())
}

/// The interval in our line, and whether the crontab was created for it.
fn interval(line: &str) -> Option<(Every, bool)> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let (_, end) = line.trim_end().rsplit_once(MARK)?;
    let (every, own) = match end.strip_suffix(OWN_CRONTAB) {
        Some(every) => (every, true),
        None => (end, false),
    };
    Some((every.parse().ok()?, own))
}

/// The crontab with this job as our only line. `None` stands for a user without a crontab.
///
/// The line goes to the top, because settings such as `SHELL=` apply to the lines below them.
#[must_use]
pub(crate) fn with(crontab: Option<&[u8]>, job: &Job) -> Vec<u8> {
    let own = crontab.is_none_or(|crontab| {
        lines(crontab).any(|line| {
            std::str::from_utf8(line).is_ok_and(|line| interval(line).is_some_and(|(_, own)| own))
        })
    });
    let mut new = line(job, own).into_bytes();
    new.extend(foreign(crontab.unwrap_or_default()));
    new
}

/// The crontab without our line; `None` when the crontab should be removed.
#[must_use]
pub(crate) fn without(crontab: &[u8]) -> Option<Vec<u8>> {
    let own = find(crontab).is_some_and(|found| found.own_crontab);
    let rest = foreign(crontab);
    (!(own && rest.is_empty())).then_some(rest)
}

fn lines(crontab: &[u8]) -> impl Iterator<Item = &[u8]> {
    crontab.split_inclusive(|byte| *byte == b'\n')
}

fn foreign(crontab: &[u8]) -> Vec<u8> {
    lines(crontab)
        .filter(|line| !is_ours(line))
        .collect::<Vec<_>>()
        .concat()
}

/// Our line in a crontab.
#[derive(Debug)]
pub(crate) struct Found {
    /// The line, without its end.
    pub line: String,
    /// The job in it; `None` when somebody has changed the line.
    pub job: Option<Job>,
    own_crontab: bool,
}

/// Finds our line in a crontab.
#[must_use]
pub(crate) fn find(crontab: &[u8]) -> Option<Found> {
    lines(crontab)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .find_map(|line| {
            let (every, own_crontab) = interval(line)?;
            Some(Found {
                line: line.trim_end().to_owned(),
                job: read(line, every),
                own_crontab,
            })
        })
}

/// Reads the job from a line.
fn read(line: &str, every: Every) -> Option<Job> {
    let (command, _) = line.rsplit_once(MARK)?;
    let mut command = command;
    let mut fields = [""; 5];
    for field in &mut fields {
        (*field, command) = command.split_once(' ')?;
    }
    let mut words = words(command)?.into_iter();
    let expected = ["test", "-x"].map(str::to_owned);
    if words.next()? != expected[0] || words.next()? != expected[1] {
        return None;
    }
    let program = words.next()?;
    if words.next()? != "&&" || words.next()? != program {
        return None;
    }
    let first = |field: &str| field.split('-').next().and_then(|n| n.parse::<u32>().ok());
    let (minute, hour) = (first(fields[0]).unwrap_or(0), first(fields[1]).unwrap_or(0));
    Some(Job {
        program,
        arguments: words.collect(),
        every,
        offset: hour * 60 + minute,
    })
}

/// Splits a command into words; the inverse of [`quote`].
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        // Inside quotes, only percent signs are escaped, for cron.
                        '\\' if characters.as_str().starts_with('%') => {}
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::*;

    fn job() -> Job {
        Job {
            program: "/usr/bin/jmo-telemetry".to_owned(),
            arguments: vec!["flush".to_owned(), "--scheduled".to_owned()],
            every: Every::minutes(15).expect("allowed"),
            offset: 7,
        }
    }

    #[test]
    fn the_line_of_an_ordinary_program_needs_no_quotes() {
        assert_eq!(
            line(&job(), false),
            "7-59/15 * * * * test -x /usr/bin/jmo-telemetry && /usr/bin/jmo-telemetry flush --scheduled # jmo-telemetry schedule, every 15m\n"
        );
    }

    #[test]
    fn each_interval_has_its_fields() {
        let of = |minutes, offset| fields(Every::minutes(minutes).expect("allowed"), offset);
        assert_eq!(of(1, 0), "* * * * *");
        assert_eq!(of(60, 42), "42 * * * *");
        assert_eq!(of(120, 67), "7 1-23/2 * * *");
        assert_eq!(of(1440, 125), "5 2 * * *");
    }

    #[test]
    fn a_comment_and_another_programs_mark_are_not_ours() {
        let theirs = "# JMo Security Schedule: nightly\n0 2 * * * jmo scan # JMo Security Schedule: nightly\n\
                      # see # jmo-telemetry schedule, every 15m\n0 1 * * * echo jmo-telemetry schedule\n";
        assert!(find(theirs.as_bytes()).is_none());
        assert_eq!(without(theirs.as_bytes()).expect("kept"), theirs.as_bytes());
    }

    #[test]
    fn an_empty_crontab_stays_empty_and_a_missing_one_stays_missing() {
        assert_eq!(without(&with(Some(b""), &job())), Some(Vec::new()));
        assert_eq!(without(&with(None, &job())), None);
        // It is still known after a second installation.
        assert_eq!(without(&with(Some(&with(None, &job())), &job())), None);
    }

    /// The command as cron passes it to the shell: without the backslash before a percent sign or
    /// another backslash.
    fn as_cron_passes(command: &str) -> String {
        let mut passed = String::new();
        let mut characters = command.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, characters.peek().copied()) {
                ('\\', Some(next @ ('%' | '\\'))) => {
                    passed.push(next);
                    characters.next();
                }
                ('%', _) => break,
                _ => passed.push(character),
            }
        }
        passed
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(job in arbitrary::job(), own: bool) {
            let line = line(&job, own);
            let found = find(line.as_bytes()).expect("found");
            prop_assert_eq!(found.own_crontab, own);
            prop_assert_eq!(found.job, Some(job));
        }

        #[test]
        fn the_shell_reads_the_words_that_were_quoted(job in arbitrary::job()) {
            let quoted: Vec<String> = job.arguments.iter().map(|word| as_cron_passes(&quote(word))).collect();
            let script = format!("printf '%s\\0' {}", quoted.join(" "));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh");
            let expected: String = job.arguments.iter().map(|word| format!("{word}\0")).collect();
            let expected = if job.arguments.is_empty() { "\0".to_owned() } else { expected };
            prop_assert_eq!(String::from_utf8(output.stdout).expect("text"), expected);
        }

        #[test]
        fn a_crontab_is_byte_for_byte_what_it_was(
            crontab in prop::collection::vec(any::<u8>(), 0..200),
            first in arbitrary::job(),
            second in arbitrary::job(),
        ) {
            let once = with(Some(&crontab), &first);
            let twice = with(Some(&once), &second);
            prop_assert_eq!(&with(Some(&twice), &second), &twice);
            prop_assert_eq!(without(&twice), Some(crontab));
        }
    }
}
