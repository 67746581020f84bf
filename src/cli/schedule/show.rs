//! `schedule show`: what is scheduled, and whether it works.

use std::path::Path;

use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::exit::{Code, Failure};
use crate::cli::out::Out;
use crate::cli::words;
use crate::clock;
use crate::schedule::machine::{Findings, Found};
use crate::schedule::{Machine, Scheduler, last_run};
use crate::settings::Settings;

/// Show what is scheduled, and when it last ran
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry schedule show\n  jmo-telemetry schedule show --json | jq .last_run_at"
)]
pub(super) struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is scheduled: `schedule show --json`, and `schedule` in `status --json`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Shown {
    installed: bool,
    pub(super) scheduler: Option<Scheduler>,
    place: Option<String>,
    every: Option<String>,
    program: Option<String>,
    /// The home that it flushes, if that is not the default one.
    home: Option<String>,
    last_run_at: Option<DateTime<Utc>>,
    /// Why it does not work, and what to do.
    problem: Option<String>,
    /// Schedulers that could not be asked.
    unknown: Vec<String>,
}

impl ShowArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
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
    /// Asks the machine's schedulers. One that can't be asked is reported, without making this fail.
    pub(in crate::cli) fn of(settings: &Settings) -> Self {
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
                    format!("{}: {}", scheduler.name(), Failure::from(error).message())
                })
                .collect(),
        }
    }

    /// The same as lines of text.
    pub(in crate::cli) fn lines(&self) -> Vec<String> {
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

/// Why a schedule does not work, if it does not.
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
