//! `schedule`: the regular flush, given to the machine's scheduler.

use std::path::Path;

use chrono::{DateTime, Utc};
use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use super::exit::{Code, Failure, code_of};
use super::out::Out;
use super::words;
use crate::schedule::machine::{Findings, Found, Plan};
use crate::schedule::{Every, Job, Machine, ScheduleError, Scheduler, last_run};
use crate::settings::Settings;
use crate::{clock, destination};

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

/// Schedule a regular flush, in place of an earlier schedule
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry schedule install\n  jmo-telemetry schedule install --every 1h --with cron\n  jmo-telemetry schedule install --dry-run"
)]
struct InstallArgs {
    /// How often: a number of minutes that divides an hour, or of hours that divides a day
    #[arg(long, value_name = "TIME", default_value = "15m")]
    every: Every,
    /// Which scheduler to use [default: the one that this machine has]
    #[arg(long, value_name = "SCHEDULER")]
    with: Option<Scheduler>,
    /// Print what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show what is scheduled, and when it last ran
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry schedule show\n  jmo-telemetry schedule show --json | jq .last_run_at"
)]
struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Remove the schedule
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  jmo-telemetry schedule remove")]
struct RemoveArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is scheduled: `schedule show --json`, and `schedule` in `status --json`.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    installed: bool,
    scheduler: Option<Scheduler>,
    place: Option<String>,
    every: Option<String>,
    program: Option<String>,
    /// The home that it flushes, when that is not the default one.
    home: Option<String>,
    last_run_at: Option<DateTime<Utc>>,
    /// Why it does not do its work, and what to do.
    problem: Option<String>,
    /// Schedulers that could not be asked.
    unknown: Vec<String>,
}

/// What `schedule install --json` says.
#[derive(Debug, Serialize)]
struct Installed {
    installed: bool,
    dry_run: bool,
    scheduler: Scheduler,
    #[serde(flatten)]
    job: Job,
    #[serde(flatten)]
    plan: Plan,
    warnings: Vec<String>,
}

/// What `schedule remove --json` says.
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

impl InstallArgs {
    fn run(
        self,
        settings: &Settings,
        config: Option<&Path>,
        out: &mut Out,
    ) -> Result<Code, Failure> {
        let machine = Machine::new(&settings.environment, &settings.home);
        let decision = settings.consent.now();
        if !decision.enabled && !self.dry_run {
            let error = format!(
                "nothing to schedule: telemetry is disabled: {}",
                decision.reason
            );
            return Err(Failure::new(Code::Configuration, error));
        }
        let scheduler = self.with.map_or_else(|| machine.preferred(), Ok)?;
        let job = Job::of(&settings.environment, &settings.home, config, self.every)?;
        let plan = machine.plan(scheduler, &job)?;
        let mut warnings = unseen(settings);
        if !self.dry_run {
            machine.install(scheduler, &job)?;
            warnings.extend(replace_others(&machine, scheduler));
        }
        for warning in &warnings {
            out.say(format_args!("warning: {warning}"));
        }
        let report = Installed {
            installed: !self.dry_run,
            dry_run: self.dry_run,
            scheduler,
            job,
            plan,
            warnings,
        };
        if self.json {
            out.json(&report)?;
        } else if self.dry_run {
            show_plan(&report.plan, out)?;
        } else {
            out.line(format_args!(
                "scheduled with {}: a flush every {}",
                scheduler.name(),
                report.job.every
            ))?;
            if scheduler == Scheduler::Systemd {
                out.say("hint: it runs while you are logged in; `loginctl enable-linger` makes it run always");
            }
        }
        Ok(Code::Done)
    }
}

/// There is one schedule: what other schedulers hold of ours goes.
fn replace_others(machine: &Machine, kept: Scheduler) -> Vec<String> {
    let others = Scheduler::of_this_system()
        .iter()
        .filter(|scheduler| **scheduler != kept);
    let failed = others.filter_map(|scheduler| match machine.remove(*scheduler) {
        Ok(_) => None,
        Err(error) if error.is_not_installed() => None,
        Err(error) => Some(format!(
            "could not see whether {} holds an earlier schedule: {}",
            scheduler.name(),
            Failure::from(error).told()
        )),
    });
    failed.collect()
}

/// Variables that a flush here would use, and a scheduled one does not have.
fn unseen(settings: &Settings) -> Vec<String> {
    const OTHERS: [&str; 4] = [
        "JMO_TELEMETRY_SPOOL_MAX",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
    ];
    let is_set = |name: &&str| settings.environment.get(name).is_some();
    let mut set: Vec<_> = destination::variables()
        .filter(|variable| variable.for_flush)
        .map(|variable| variable.name)
        .filter(is_set)
        .collect();
    let hint = if set.is_empty() {
        ""
    } else {
        "; `jmo-telemetry connect` remembers a destination"
    };
    set.extend(OTHERS.into_iter().filter(is_set));
    if set.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "a scheduled flush does not see {} of this shell{hint}",
        set.join(", ")
    )]
}

fn show_plan(plan: &Plan, out: &mut Out) -> Result<(), Failure> {
    let several = plan.files.len() > 1;
    for file in &plan.files {
        if several {
            // A comment in a unit.
            out.line(format_args!("# {}", file.path.display()))?;
        } else {
            out.say(format_args!("would write {}:", file.path.display()));
        }
        out.text(&file.content)?;
    }
    if let Some(line) = &plan.crontab_line {
        out.say("would put this line at the top of the crontab:");
        out.text(line)?;
    }
    for command in &plan.commands {
        out.say(format_args!("would run: {}", command.join(" ")));
    }
    Ok(())
}

impl ShowArgs {
    fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let shown = Shown::of(settings);
        if self.json {
            out.json(&shown)?;
        } else {
            for line in shown.lines() {
                out.line(line)?;
            }
        }
        Ok(Code::Done)
    }
}

impl Shown {
    /// Asks the machine's schedulers. What they don't tell is told, not failed on.
    pub(super) fn of(settings: &Settings) -> Self {
        let Findings { found, unknown } =
            Machine::new(&settings.environment, &settings.home).find();
        let problem = problem(&found);
        let first = found.into_iter().next();
        let job = first.as_ref().and_then(|found| found.job.clone());
        Self {
            installed: first.is_some(),
            scheduler: first.as_ref().map(|found| found.scheduler),
            place: first.map(|found| found.place),
            every: job.as_ref().map(|job| job.every.to_string()),
            home: job.as_ref().and_then(|job| job.home().map(str::to_owned)),
            program: job.map(|job| job.program),
            last_run_at: last_run::read(&settings.home),
            problem,
            unknown: unknown
                .into_iter()
                .map(|(scheduler, error)| {
                    format!("{}: {}", scheduler.name(), Failure::from(error).told())
                })
                .collect(),
        }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match (self.scheduler, &self.every) {
            (None, _) => {
                lines.push("not scheduled; run `jmo-telemetry schedule install`".to_owned())
            }
            (Some(scheduler), every) => {
                let every = every
                    .as_deref()
                    .map_or(String::new(), |every| format!(" every {every}"));
                let last = self
                    .last_run_at
                    .map_or("it has not run yet".to_owned(), |at| {
                        format!("last run {}", words::relative(at, clock::now()))
                    });
                let home = self
                    .home
                    .as_deref()
                    .map_or(String::new(), |home| format!(", home {home}"));
                lines.push(format!(
                    "scheduled{every} by {}{home}; {last}",
                    scheduler.name()
                ));
            }
        }
        lines.extend(
            self.problem
                .iter()
                .map(|problem| format!("problem: {problem}")),
        );
        lines.extend(
            self.unknown
                .iter()
                .map(|unknown| format!("could not ask {unknown}")),
        );
        lines
    }
}

/// What keeps a schedule from doing its work.
fn problem(found: &[Found]) -> Option<String> {
    const AGAIN: &str = "run `jmo-telemetry schedule install` again";
    let first = found.first()?;
    if found.len() > 1 {
        return Some(format!("more than one scheduler runs it; {AGAIN}"));
    }
    let Some(job) = &first.job else {
        return Some(format!(
            "{} was changed by hand and can't be understood; {AGAIN}",
            first.place
        ));
    };
    if !Path::new(&job.program).exists() {
        return Some(format!(
            "the program is no longer at `{}`; {AGAIN}",
            job.program
        ));
    }
    (!first.active).then(|| format!("it is not active in {}; {AGAIN}", first.scheduler.name()))
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

/// Removes the schedule from whoever holds it.
///
/// # Errors
/// When one of them fails; the others were asked all the same.
pub(super) fn remove(settings: &Settings, out: &mut Out) -> Result<Vec<Scheduler>, Failure> {
    let machine = Machine::new(&settings.environment, &settings.home);
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
        out.say(format_args!("error: {}", failure.told()));
    }
    last.map_or(Ok(removed), Err)
}

/// For `disable` and `forget`: removes the schedule when that was asked for, else says that it stays.
///
/// # Errors
/// When it was to be removed and can't be.
pub(super) fn leave(settings: &Settings, wanted_gone: bool, out: &mut Out) -> Result<(), Failure> {
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
            ScheduleError::Run { .. } | ScheduleError::Failed { .. } => Self::new(Code::Io, error),
            ScheduleError::OtherSystem(_)
            | ScheduleError::Temporary { .. }
            | ScheduleError::NotPlain(_)
            | ScheduleError::NoUserHome => Self::new(Code::Configuration, error),
        }
    }
}
