//! `enable` and `disable`: the user's own choice. Neither claims an effect that another rule
//! overrides.

use clap::Args as ClapArgs;
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::{schedule, words};
use crate::clock;
use crate::home::Choice;
use crate::settings::Settings;
use crate::spool::{Caller, Spool};
use crate::status::Status;

/// Choose to take part
#[derive(Debug, ClapArgs)]
pub(super) struct EnableArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Choose not to take part; deletes what was not sent
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry disable\n  jmo-telemetry disable --keep    (what was not sent stays, and is not sent)"
)]
pub(super) struct DisableArgs {
    /// Keep what was not sent
    #[arg(long)]
    keep: bool,
    /// Remove the schedule, too
    #[arg(long)]
    schedule: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `enable` and `disable` say.
#[derive(Serialize)]
struct Report {
    enabled: bool,
    rule: &'static str,
    reason: String,
    can_leave: bool,
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<usize>,
}

fn choose(settings: &Settings, enabled: bool) -> Result<(), Failure> {
    Ok(settings.home.store_choice(&Choice {
        enabled,
        at: clock::now(),
    })?)
}

fn report(settings: &Settings, deleted: Option<usize>) -> Report {
    let status = Status::of(settings);
    Report {
        enabled: status.enabled,
        rule: status.rule,
        reason: status.reason,
        can_leave: status.can_leave,
        destination: status.destination,
        deleted,
    }
}

impl EnableArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        choose(settings, true)?;
        let report = report(settings, None);
        if self.json {
            out.json(&report)?;
            return Ok(Code::Done);
        }
        if !report.enabled {
            out.line(format_args!(
                "your choice is stored, but telemetry stays disabled: {} ({})",
                report.reason, report.rule
            ))?;
        } else if let (true, Some(destination)) = (report.can_leave, &report.destination) {
            out.line(format_args!(
                "telemetry is enabled; events go to {destination}"
            ))?;
        } else {
            out.line("telemetry is enabled; events are recorded, but nothing can leave this machine (see `jmo-telemetry status`)")?;
        }
        Ok(Code::Done)
    }
}

impl DisableArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        choose(settings, false).map_err(|failure| {
            failure
                .hint("set JMO_TELEMETRY_DISABLE=1: it disables telemetry without writing a file")
        })?;
        let deleted = if self.keep {
            None
        } else {
            let deleted = Spool::write(&settings.home, Caller::Command, |writer| writer.purge(false)).map_err(|error| {
                Failure::from(error).hint(
                    "telemetry is disabled all the same; run `jmo-telemetry disable` again to delete what was not sent",
                )
            })?;
            Some(deleted.unsent)
        };
        schedule::leave(settings, self.schedule, out)?;
        if self.json {
            out.json(&report(settings, deleted))?;
            return Ok(Code::Done);
        }
        out.line(match deleted {
            Some(count) => format!("telemetry is disabled; deleted what was not sent: {}", words::events(count as u64)),
            None => "telemetry is disabled; what was not sent is kept, and is not sent while it is disabled".to_owned(),
        })?;
        Ok(Code::Done)
    }
}
