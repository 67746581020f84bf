//! `schedule`: a regular flush by the machine's scheduler.

mod install;
mod show;

use std::path::Path;

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use self::install::InstallArgs;
use self::show::ShowArgs;
pub(super) use self::show::Shown;
use super::exit::{Code, Failure, code_of};
use super::out::Out;
use crate::schedule::{Machine, ScheduleError, Scheduler, last_run};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  jmo-telemetry schedule install
  jmo-telemetry schedule show
  jmo-telemetry schedule remove";

/// Flush regularly, with systemd, cron, launchd or Task Scheduler
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Install(InstallArgs),
    Show(ShowArgs),
    Remove(RemoveArgs),
}

/// Remove the schedule
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  jmo-telemetry schedule remove")]
struct RemoveArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The output of `schedule remove --json`.
#[derive(Debug, Serialize)]
struct Removed {
    removed: Vec<Scheduler>,
}

impl Args {
    pub(super) fn run(
        self,
        settings: &Settings,
        config: Option<&Path>,
        out: &mut Out,
    ) -> Result<Code, Failure> {
        match self.action {
            Action::Install(args) => args.run(settings, config, out),
            Action::Show(args) => args.run(settings, out),
            Action::Remove(args) => args.run(settings, out),
        }
    }
}

impl RemoveArgs {
    fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let removed = remove(settings, out)?;
        if self.json {
            out.json(&Removed { removed })?;
        } else if removed.is_empty() {
            out.line("nothing was scheduled")?;
        } else {
            let names: Vec<_> = removed.iter().map(|scheduler| scheduler.name()).collect();
            out.line(format_args!(
                "removed the schedule from {}",
                names.join(" and ")
            ))?;
        }
        Ok(Code::Done)
    }
}

/// Removes the schedule from every scheduler that has it.
///
/// # Errors
/// When one of them fails. The others have been tried nevertheless.
pub(super) fn remove(settings: &Settings, out: &mut Out) -> Result<Vec<Scheduler>, Failure> {
    let machine = Machine::new(&settings.environment, &settings.home);
    let _lock = machine.lock()?;
    let mut removed = Vec::new();
    let mut failures = Vec::new();
    for scheduler in Scheduler::of_this_system() {
        match machine.remove(*scheduler) {
            Ok(true) => removed.push(*scheduler),
            Ok(false) => {}
            Err(error) if error.is_not_installed() => {}
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    last_run::forget(&settings.home);
    let last = failures.pop();
    for failure in failures {
        out.say(format_args!("error: {}", failure.message()));
    }
    last.map_or(Ok(removed), Err)
}

/// For `disable` and `forget`: removes the schedule if `--schedule` was given, else mentions that
/// it stays.
///
/// # Errors
/// When it should be removed but can't be.
pub(super) fn remove_or_mention(
    settings: &Settings,
    wanted_gone: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    if wanted_gone {
        for scheduler in remove(settings, out)? {
            out.say(format_args!(
                "removed the schedule from {}",
                scheduler.name()
            ));
        }
    } else if let Some(scheduler) = Shown::of(settings).scheduler {
        out.say(format_args!(
            "the schedule stays with {}; `jmo-telemetry schedule remove` removes it",
            scheduler.name()
        ));
    }
    Ok(())
}

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        match &error {
            ScheduleError::File { source, .. } => {
                let code = code_of(source);
                Self::new(code, error)
            }
            ScheduleError::NoScheduler(_) => {
                Self::new(Code::Configuration, error).hint(if cfg!(unix) {
                    "install cron, or let the scanner flush with `record --flush`"
                } else {
                    "try again, or let the scanner flush with `record --flush`"
                })
            }
            ScheduleError::Run { .. } if error.is_not_installed() => {
                Self::new(Code::Configuration, error)
                    .hint("it is not installed; `--with` chooses another scheduler")
            }
            ScheduleError::Busy => Self::new(Code::TryLater, error),
            ScheduleError::Run { .. } | ScheduleError::Failed { .. } => Self::new(Code::Io, error),
            ScheduleError::OtherSystem(_)
            | ScheduleError::Temporary { .. }
            | ScheduleError::NotPlain(_)
            | ScheduleError::NoUserHome => Self::new(Code::Configuration, error),
        }
    }
}
