//! A launchd agent.

use super::xml::escape;
use super::{Every, Job};

/// The label of the agent.
pub(crate) const LABEL: &str = "com.jmosecurity.telemetry.flush";

/// The file name of the property list.
pub(crate) const FILE: &str = "com.jmosecurity.telemetry.flush.plist";

/// The property list. launchd catches up on a run that was missed while the machine slept.
#[must_use]
pub(crate) fn plist(job: &Job) -> String {
    let mut words = String::new();
    for word in std::iter::once(&job.program).chain(&job.arguments) {
        words.push_str(&format!("    <string>{}</string>\n", escape(word)));
    }
    let mut times = String::new();
    for (hour, minute) in times_of(job) {
        let hour = hour.map_or(String::new(), |hour| {
            format!("<key>Hour</key><integer>{hour}</integer>")
        });
        times.push_str(&format!(
            "    <dict>{hour}<key>Minute</key><integer>{minute}</integer></dict>\n"
        ));
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by `jmo-telemetry schedule install`, deleted by `jmo-telemetry schedule remove`. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>StartCalendarInterval</key>
  <array>
{times}  </array>
  <key>ProcessType</key>
  <string>Background</string>
</dict>
</plist>
"#
    )
}

/// The minute of each run, and its hour if it does not run every hour.
fn times_of(job: &Job) -> Vec<(Option<u32>, u32)> {
    let hourly = job.every.in_minutes() <= 60;
    job.every
        .times(job.offset)
        .take_while(|time| !hourly || *time < 60)
        .map(|time| ((!hourly).then_some(time / 60), time % 60))
        .collect()
}

/// Reads the job from our property list; `None` when somebody has changed it.
#[must_use]
pub(crate) fn read(plist: &str) -> Option<Job> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let document = roxmltree::Document::parse_with_options(plist, options).ok()?;
    let array = |name: &str| {
        let key = document
            .descendants()
            .find(|node| node.has_tag_name("key") && node.text() == Some(name))?;
        key.next_sibling_element()
    };
    let mut words = array("ProgramArguments")?
        .children()
        .filter(roxmltree::Node::is_element)
        .map(|word| word.text().unwrap_or_default().to_owned());
    let program = words.next()?;
    let arguments = words.collect();
    let times: Vec<_> = array("StartCalendarInterval")?
        .children()
        .filter(roxmltree::Node::is_element)
        .collect();
    let numbers: Vec<u32> = times
        .first()?
        .children()
        .filter(|node| node.has_tag_name("integer"))
        .filter_map(|node| node.text()?.parse().ok())
        .collect();
    let count = u32::try_from(times.len()).ok()?;
    let (offset, period) = match numbers[..] {
        [minute] => (minute, 60),
        [hour, minute] => (hour * 60 + minute, 1440),
        _ => return None,
    };
    Some(Job {
        program,
        arguments,
        every: Every::minutes(period / count).ok()?,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::*;

    proptest! {
        #[test]
        fn a_property_list_is_read_as_it_was_written(job in arbitrary::job()) {
            prop_assert_eq!(read(&plist(&job)), Some(job));
        }
    }
}
