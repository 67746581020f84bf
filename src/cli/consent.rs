//! `enable` and `disable`: store the user's choice. Neither claims an effect that another rule
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

/// Enable telemetry
///
/// Another rule can still disable it: the environment, a CI system or jmo.yml.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  jmo-telemetry enable")]
pub(super) struct EnableArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Disable telemetry and delete unsent events
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  jmo-telemetry disable\n  jmo-telemetry disable --keep")]
pub(super) struct DisableArgs {
    /// Keep unsent events on this machine
    #[arg(long)]
    keep: bool,
    /// Remove the schedule as well
    #[arg(long)]
    schedule: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The output of `enable --json` and `disable --json`.
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
            out.sentence(format_args!(
                "your choice is stored, but telemetry stays disabled: {} ({})",
                report.reason, report.rule
            ))?;
        } else if let (true, Some(destination)) = (report.can_leave, &report.destination) {
            out.sentence(format_args!(
                "telemetry is enabled; events go to {destination}"
            ))?;
        } else {
            out.sentence("telemetry is enabled; events are recorded, but nothing can leave this machine (see `jmo-telemetry status`)")?;
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
                    "telemetry is disabled anyway; run `jmo-telemetry disable` again to delete unsent events",
                )
            })?;
            super::spool::tell_what_may_have_arrived(&deleted, out);
            Some(deleted.unsent)
        };
        schedule::remove_or_mention(settings, self.schedule, out)?;
        if self.json {
            out.json(&report(settings, deleted))?;
            return Ok(Code::Done);
        }
        out.sentence(match deleted {
            Some(count) => format!(
                "telemetry is disabled, and what was not sent is deleted ({})",
                words::events(count as u64)
            ),
            None => "telemetry is disabled; what was not sent is kept, and is not sent until it is enabled again".to_owned(),
        })?;
        Ok(Code::Done)
    }
}
