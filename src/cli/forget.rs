//! `id` and `forget`: the anonymous id, and deleting every trace.

use clap::Args as ClapArgs;
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::{schedule, words};
use crate::destination::{Chosen, Owned, Target};
use crate::forget::Forgetting;
use crate::limits::REQUEST_TIMEOUT;
use crate::limits::SMALL_FILE_WAIT;
use crate::request::{Gate, Purpose};
use crate::settings::Settings;

/// Show the anonymous id, or create a new one
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  jmo-telemetry id\n  jmo-telemetry id --reset")]
pub(super) struct IdArgs {
    /// Create a new one
    #[arg(long)]
    reset: bool,
    /// Create one if there is none yet
    #[arg(long, conflicts_with = "reset")]
    create: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl IdArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let id = if self.reset {
            Some(settings.home.reset_anonymous_id()?)
        } else if self.create {
            Some(settings.home.anonymous_id(SMALL_FILE_WAIT)?)
        } else {
            // Showing does not create one: a machine that records nothing needs no id.
            settings.home.known_anonymous_id()?
        };
        if self.json {
            out.json(&serde_json::json!({ "anonymous_id": id }))?;
        } else {
            match id {
                Some(id) => out.line(id)?,
                None => out.line("no id yet; the first event makes one")?,
            }
        }
        Ok(Code::Done)
    }
}

/// Delete all events of this machine, here and at the destination, and the anonymous id
///
/// At the destination it deletes what this machine sent, where that is allowed. It names what could
/// not be deleted; run it again to retry.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry forget\n  jmo-telemetry forget --schedule --yes"
)]
pub(super) struct Args {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Remove the schedule as well
    #[arg(long)]
    schedule: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    deleted: usize,
    remote_deleted: Vec<String>,
    /// The same as text for people.
    #[serde(skip)]
    deleted_there: Vec<String>,
    remote_left: Vec<Left>,
}

/// Files that could not be deleted, and why.
#[derive(Serialize)]
struct Left {
    destination: String,
    files: Vec<String>,
    error: String,
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let question = "delete everything that was recorded, here and at the destination?";
        if !super::spool::confirm(question, self.yes, out)? {
            return Ok(Code::Done);
        }
        let mut forgetting = Forgetting::begin(&settings.home)?;
        let (mut remote_deleted, mut deleted_there, mut remote_left) =
            (Vec::new(), Vec::new(), Vec::new());
        for (target, owned) in forgetting.owned()? {
            let files = owned.files.clone();
            match delete_remote(settings, &target, &owned) {
                Ok(()) => {
                    forgetting.remote_is_gone(&target)?;
                    deleted_there.push(what_was_sent(&target, &files));
                    remote_deleted.extend(files);
                }
                Err(error) => remote_left.push(Left {
                    destination: target,
                    files,
                    error,
                }),
            }
        }
        let deleted = forgetting.finish()?;
        let report = Report {
            deleted: deleted.unsent + deleted.sent,
            remote_deleted,
            deleted_there,
            remote_left,
        };
        self.show(&report, out)?;
        if !self.json {
            tell_what_stays(settings, out);
        }
        schedule::remove_or_mention(settings, self.schedule, out)?;
        Ok(if report.remote_left.is_empty() {
            Code::Done
        } else {
            Code::TryLater
        })
    }

    fn show(&self, report: &Report, out: &mut Out) -> Result<(), Failure> {
        if self.json {
            return out.json(report);
        }
        out.sentence(format_args!(
            "deleted {} here, the anonymous id and the count of scans",
            words::events(report.deleted as u64)
        ))?;
        for what in &report.deleted_there {
            out.sentence(format_args!("deleted {what}"))?;
        }
        for left in &report.remote_left {
            // Where events are deleted by id, the spool keeps the old id until that has worked.
            let what = what_was_sent(&left.destination, &left.files);
            out.sentence(format_args!(
                "could not delete {what}: {}; `jmo-telemetry forget` tries again",
                left.error
            ))?;
        }
        Ok(())
    }
}

/// Describes what this machine sent to a destination: by file name, if there are files that the
/// user can look at.
fn what_was_sent(destination: &str, files: &[String]) -> String {
    let target = destination.parse::<Target>();
    if target.is_ok_and(|target| target.capabilities().can_look) {
        format!("{} at {destination}", files.join(", "))
    } else {
        format!("what this machine sent to {destination}")
    }
}

/// Reports what `forget` does not change.
fn tell_what_stays(settings: &Settings, out: &mut Out) {
    if let Ok(Some(connection)) = settings.home.connection() {
        let what = if connection.token.is_some() {
            "the destination and its token stay"
        } else {
            "the destination stays"
        };
        out.say(format_args!(
            "{what} in destination.json; `jmo-telemetry disconnect` deletes it"
        ));
    }
    if settings.consent.now().enabled {
        out.say("telemetry is still enabled, under a new id; `jmo-telemetry disable` stops it");
    }
}

/// Deletes this machine's files at a destination. Allowed even while telemetry is disabled, because
/// the user has just asked for it and no events are sent.
fn delete_remote(settings: &Settings, target: &str, owned: &Owned) -> Result<(), String> {
    let target: Target = target
        .parse()
        .map_err(|error: crate::destination::TargetError| error.to_string())?;
    let mut destination = settings
        .destination(&target)
        .map_err(|error| Failure::from(error).message())?;
    let gate = Gate::new(&settings.home, &settings.consent, &Chosen::by_user(target));
    gate.ask(Purpose::Delete, destination.as_mut(), |destination| {
        destination.forget(owned, REQUEST_TIMEOUT)
    })
    .map_err(|error| error.to_string())
}
