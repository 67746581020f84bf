//! `--export`: one row an event, for spreadsheet programs. They run what looks like a formula, so
//! such a cell is told apart from one with a leading apostrophe (OWASP, "CSV Injection"). The
//! columns are always the same.

use std::borrow::Cow;
use std::io::{self, Write};

use super::loose::{Loose, member};
use super::{Consumer, Event};

/// The contract's first columns, then the others.
const HEAD: [&str; 8] = [
    "event",
    "timestamp",
    "platform",
    "python_version",
    "profile",
    "mode",
    "duration",
    "tools_count",
];

/// Beside the metadata.
const BESIDE: [&str; 3] = ["version", "anonymous_id", "event_id"];

/// Of the metadata; a list is its elements with spaces between.
const DETAILS: [&str; 22] = [
    "tools",
    "tools_succeeded",
    "tools_failed",
    "tool",
    "failure_type",
    "exit_code",
    "total_targets_bucket",
    "scan_frequency_hint",
    "ci_detected",
    "multi_target_scan",
    "compliance_usage",
    "execution_mode",
    "artifact_generated",
    "output_formats",
    "suppressions_used",
    "compliance_enabled",
    "policies",
    "policy_count",
    "passed_count",
    "failed_count",
    "violations_bucket",
    "evaluation_time_bucket",
];

/// Counts of `target_types`.
const TARGETS: [&str; 6] = ["repos", "images", "urls", "iac", "gitlab", "k8s"];

/// What other columns hold in another form: beside the metadata, and of it.
const HELD_BESIDE: [&str; 4] = ["event", "timestamp", "platform", "python_version"];
const HELD_DETAILS: [&str; 7] = [
    "profile",
    "profile_selected",
    "mode",
    "duration_bucket",
    "duration_seconds",
    "total_findings_bucket",
    "findings_bucket",
];

/// Writes each event as a row.
pub struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        let columns = HEAD.iter().chain(&BESIDE).chain(&["findings"]);
        writer.write_record(columns.chain(&DETAILS).chain(&TARGETS).chain(&["other"]))?;
        Ok(Self(writer))
    }

    /// Gives back what was written to.
    ///
    /// # Errors
    /// When the last rows can't be written.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(|error| error.into_error())
    }

    fn cell(&mut self, text: Option<Cow<'_, str>>) -> io::Result<()> {
        let text = text.unwrap_or_default();
        Ok(self.0.write_field(defused(&text).as_bytes())?)
    }
}

impl<W: Write> Consumer for Csv<W> {
    fn event(&mut self, event: &Event<'_>, _: &[u8]) -> io::Result<()> {
        self.cell(Some(event.name().into()))?;
        self.cell(event.timestamp())?;
        self.cell(event.platform())?;
        self.cell(event.text("python_version"))?;
        self.cell(event.profile())?;
        self.cell(event.detail("mode"))?;
        self.cell(event.duration())?;
        self.cell(Some(event.tools().count().to_string().into()))?;
        for name in BESIDE {
            self.cell(event.text(name))?;
        }
        self.cell(event.findings())?;
        for name in DETAILS {
            self.cell(event.value(name).and_then(flat))?;
        }
        let targets = event.value("target_types").map_or(&[][..], Loose::members);
        for kind in TARGETS {
            self.cell(member(targets, kind).and_then(Loose::text))?;
        }
        self.cell(other(event))?;
        Ok(self.0.write_record(None::<&[u8]>)?)
    }
}

/// A value in one cell.
fn flat<'v>(value: &'v Loose<'_>) -> Option<Cow<'v, str>> {
    match value {
        Loose::List(elements) => {
            let words: Vec<_> = elements.iter().filter_map(Loose::text).collect();
            Some(words.join(" ").into())
        }
        Loose::Map(_) => serde_json::to_string(value).ok().map(Cow::Owned),
        single => single.text(),
    }
}

/// What no column knows, as a JSON object: nothing is lost.
fn other(event: &Event<'_>) -> Option<Cow<'static, str>> {
    let beside = event
        .beside()
        .filter(|(name, _)| !BESIDE.contains(name) && !HELD_BESIDE.contains(name));
    let details = event
        .metadata()
        .iter()
        .map(|(name, value)| (name.as_ref(), value))
        .filter(|(name, value)| match *name {
            "target_types" => !has_only_known_kinds(value),
            name => !DETAILS.contains(&name) && !HELD_DETAILS.contains(&name),
        });
    let members: Vec<_> = beside
        .chain(details)
        .map(|(name, value)| (name.into(), value.clone()))
        .collect();
    if members.is_empty() {
        return None;
    }
    serde_json::to_string(&Loose::Map(members))
        .ok()
        .map(Cow::Owned)
}

fn has_only_known_kinds(value: &Loose<'_>) -> bool {
    match value {
        Loose::Map(kinds) => kinds
            .iter()
            .all(|(kind, _)| TARGETS.contains(&kind.as_ref())),
        _ => false,
    }
}

/// Text that no spreadsheet program takes for a formula; a plain number stays one.
fn defused(text: &str) -> Cow<'_, str> {
    let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if risky && !is_plain_number(text) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// `-9`, `-0.5`: digits with at most one point, after a minus.
fn is_plain_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('-').is_some_and(|number| {
        number.split_once('.').map_or_else(
            || digits(number),
            |(whole, fraction)| digits(whole) && digits(fraction),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for text in [
            "=1+1",
            "+1",
            "-1+cmd|' /C calc'!A0",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "-",
            "-1.",
            "--1",
            "-1e5",
        ] {
            assert_eq!(defused(text), format!("'{text}"));
        }
        for text in [
            "", "-9", "-0.5", "12", "<5min", "1-10", ">1000", "fast", "1=1",
        ] {
            assert_eq!(defused(text), text);
        }
    }
}
