//! `schedule install`: sets up a regular flush with a scheduler of this machine.

use std::path::Path;

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::exit::{Code, Failure};
use crate::cli::out::Out;
use crate::destination;
use crate::schedule::machine::Plan;
use crate::schedule::{Every, Job, Machine, Scheduler};
use crate::settings::Settings;

/// Schedule a regular flush, replacing an earlier schedule
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry schedule install\n  jmo-telemetry schedule install --every 1h --with cron\n  jmo-telemetry schedule install --dry-run"
)]
pub(super) struct InstallArgs {
    /// How often: minutes that divide an hour evenly, or hours that divide a day evenly
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

/// The output of `schedule install --json`.
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

impl InstallArgs {
    pub(super) fn run(
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
        let mut warnings = unseen_variables(settings);
        if !self.dry_run {
            let _lock = machine.lock()?;
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

/// Removes our schedule from all other schedulers, so that only one remains.
fn replace_others(machine: &Machine, kept: Scheduler) -> Vec<String> {
    let others = Scheduler::of_this_system()
        .iter()
        .filter(|scheduler| **scheduler != kept);
    let failed = others.filter_map(|scheduler| match machine.remove(*scheduler) {
        Ok(_) => None,
        Err(error) if error.is_not_installed() => None,
        Err(error) => Some(format!(
            "could not check whether {} has an earlier schedule: {}",
            scheduler.name(),
            Failure::from(error).message()
        )),
    });
    failed.collect()
}

/// Variables that a flush in this shell would use, but a scheduled one does not see.
fn unseen_variables(settings: &Settings) -> Vec<String> {
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
            // A comment in the syntax of a unit.
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
