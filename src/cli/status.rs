//! `status`: prints what [`Status`] gathers.

use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::{schedule, spool, words};
use crate::clock;
use crate::settings::Settings;
use crate::spool::{Attempt, Stats};
use crate::status::Status;

/// Show whether events are recorded, whether and where they can be sent, and what waits
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry status\n  jmo-telemetry status --json | jq .can_leave"
)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `status --json`.
#[derive(Serialize)]
struct Report<'s> {
    #[serde(flatten)]
    status: &'s Status,
    schedule: schedule::Shown,
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let status = Status::of(settings);
        let report = Report {
            schedule: schedule::Shown::of(settings),
            status: &status,
        };
        if self.json {
            out.json(&report)?;
        } else {
            rows(&report, clock::now())
                .iter()
                .try_for_each(|(name, value)| out.row(name, value))?;
        }
        Ok(Code::Done)
    }
}

/// The rows for people: a name and a text. A row without a name continues the one above.
fn rows(report: &Report<'_>, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let status = report.status;
    let mut rows = vec![("enabled", decision(status))];
    rows.push(("can leave", yes_or_no(status.can_leave).to_owned()));
    if let Some(obstacle) = status.obstacle.as_ref().filter(|_| status.enabled) {
        rows.push(("", obstacle.clone()));
    }
    let destination = status.destination.as_deref().unwrap_or("none");
    rows.push(("destination", destination.to_owned()));
    rows.extend(match (&status.spool, &status.spool_error) {
        (Some(stats), _) => counts(stats),
        (None, Some(error)) => vec![("spool", error.clone())],
        (None, None) => Vec::new(),
    });
    for attempt in &status.attempts {
        rows.push(("attempt", line_of(attempt, now)));
    }
    if let Some(at) = status.next_attempt_at
        && status
            .spool
            .as_ref()
            .is_some_and(|stats| stats.waiting() > 0)
    {
        rows.push(("next attempt", words::relative(at, now)));
    }
    for file in &status.quarantined {
        let what = "a damaged spool; its readable events were carried over";
        rows.push(("set aside", format!("{file} ({what})")));
    }
    if let Some(set_aside) = &status.overflow_set_aside {
        let path = set_aside.path.display();
        let lines = words::count(set_aside.lines as u64, "line");
        rows.push((
            "set aside",
            format!("{path} ({lines} of overflow.jsonl that could not be imported)"),
        ));
    }
    rows.extend(
        report
            .schedule
            .lines()
            .into_iter()
            .map(|line| ("schedule", line)),
    );
    rows.push(("home", status.home.clone()));
    if status.enabled {
        let how = "jmo-telemetry disable (other ways: jmo-telemetry info)";
        rows.push(("to opt out", how.to_owned()));
    }
    rows
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Whether telemetry is enabled and why, such as "no: DO_NOT_TRACK is set" or "yes: nothing opts
/// out (default)".
fn decision(status: &Status) -> String {
    let enabled = yes_or_no(status.enabled);
    if status.reason.contains(status.rule) {
        format!("{enabled}: {}", status.reason)
    } else {
        format!("{enabled}: {} ({})", status.reason, status.rule)
    }
}

/// The counts that are not zero; one row for a spool that never had any events.
fn counts(stats: &Stats) -> Vec<(&'static str, String)> {
    let mut rows = spool::counts(stats);
    rows.retain(|(name, value)| {
        *name == "recorded" || (value != "0" && (*name != "bytes" || stats.recorded > 0))
    });
    if stats.held > 0 {
        let what = "held events were rejected by the destination; `jmo-telemetry spool list --state held` shows them";
        rows.push(("", what.to_owned()));
    }
    rows
}

fn line_of(attempt: &Attempt, now: DateTime<Utc>) -> String {
    let sent = if attempt.sent > 0 {
        format!(" {}", words::events(attempt.sent as u64))
    } else {
        String::new()
    };
    // An error message contains the status already.
    let error = match (&attempt.error, attempt.http_status) {
        (Some(error), _) => format!(", {error}"),
        (None, Some(status)) => format!(", HTTP {status}"),
        (None, None) => String::new(),
    };
    format!(
        "{}: {}{sent}, {}{error}",
        words::relative(attempt.at, now),
        attempt.outcome,
        attempt.destination
    )
}
