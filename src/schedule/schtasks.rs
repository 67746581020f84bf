//! A task of Windows' Task Scheduler.

use super::xml::escape;
use super::{Every, Job};
use crate::command_line::{quote, words};

/// The file in the home from which the task is created. Task Scheduler prints a task in the
/// console's character set, which can't represent every path, so the job is read back from this
/// file.
pub(crate) const FILE: &str = "schedule-task.xml";

/// The name of the task. All users of a machine share one list of tasks, so it contains the user's
/// name.
#[must_use]
pub(crate) fn task_name(user: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let user: String = user.chars().map(plain).collect();
    format!("jmo-telemetry-flush-{user}")
}

/// Runs the program without a window. Task Scheduler would open a console, which would flash up on
/// the user's screen at each run.
const WITHOUT_WINDOW: &str = r"%SystemRoot%\System32\conhost.exe";

/// The task. It catches up on a missed run, also runs on battery power, and never runs twice at the
/// same time.
#[must_use]
pub(crate) fn task(job: &Job) -> String {
    let mut arguments = format!("--headless {}", quote(&job.program));
    for argument in &job.arguments {
        arguments.push(' ');
        arguments.push_str(&quote(argument));
    }
    format!(
        r#"<?xml version="1.0"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Upload waiting JMo Security telemetry, every {every}. Written by `jmo-telemetry schedule install`, deleted by `jmo-telemetry schedule remove`.</Description>
  </RegistrationInfo>
  <Triggers>
    <TimeTrigger>
      <Repetition>
        <Interval>PT{minutes}M</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
      <StartBoundary>2024-01-01T{hour:02}:{minute:02}:00</StartBoundary>
      <Enabled>true</Enabled>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <ExecutionTimeLimit>PT5M</ExecutionTimeLimit>
    <Priority>7</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{WITHOUT_WINDOW}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"#,
        every = job.every,
        minutes = job.every.in_minutes(),
        hour = job.offset / 60,
        minute = job.offset % 60,
        arguments = escape(&arguments),
    )
}

/// The content of the file that `schtasks /create /xml` reads: UTF-16 with a byte order mark.
#[must_use]
pub(crate) fn file(task: &str) -> Vec<u8> {
    std::iter::once(0xFEFF)
        .chain(task.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// The text in such a file.
#[must_use]
pub(crate) fn text(file: &[u8]) -> Option<String> {
    let (pairs, []) = file.as_chunks::<2>() else {
        return None;
    };
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16(units.strip_prefix(&[0xFEFF])?).ok()
}

/// Reads the job from our task; `None` when somebody has changed it.
#[must_use]
pub(crate) fn read(task: &str) -> Option<Job> {
    let document = roxmltree::Document::parse(task).ok()?;
    let text = |name: &str| {
        document
            .descendants()
            .find(|node| node.tag_name().name() == name)?
            .text()
            .map(str::to_owned)
    };
    let mut words = words(&text("Arguments")?).into_iter().skip(1);
    let program = words.next()?;
    let interval = text("Interval")?;
    let minutes = interval.strip_prefix("PT")?.strip_suffix('M')?;
    let start = text("StartBoundary")?;
    let (_, time) = start.split_once('T')?;
    let mut numbers = time.split(':').map_while(|number| number.parse().ok());
    let (hour, minute): (u32, u32) = (numbers.next()?, numbers.next()?);
    Some(Job {
        program,
        arguments: words.collect(),
        every: Every::minutes(minutes.parse().ok()?).ok()?,
        offset: hour * 60 + minute,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::*;

    #[test]
    fn the_name_of_a_task_is_a_plain_word() {
        assert_eq!(task_name(r"ACME\jo hn"), "jmo-telemetry-flush-ACME_jo_hn");
    }

    proptest! {
        #[test]
        fn a_task_is_read_as_it_was_written(job in arbitrary::job()) {
            let file = file(&task(&job));
            prop_assert_eq!(read(&text(&file).expect("UTF-16")), Some(job));
        }
    }
}
