//! `flush`: upload what is due.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::exit::{Code, Failure};
use super::out::Out;
use super::progress::{Progress, watch};
use super::words;
use crate::clock;
use crate::destination::{KINDS, Target};
use crate::env::Environment;
use crate::flush::{Options, Outcome, Report, dry_run, flush};
use crate::limits::{COMMAND_LOCK_WAIT, FLUSH_DEADLINE};
use crate::schedule::last_run;
use crate::settings::{Settings, SettingsError};
use crate::spool::{Spool, SpoolError};

const EXAMPLES: &str = "\
Examples:
  jmo-telemetry flush
  jmo-telemetry flush --dry-run";

fn examples() -> String {
    let destinations = KINDS.iter().filter_map(|kind| kind.flush_example);
    destinations.fold(EXAMPLES.to_owned(), |text, example| {
        format!("{text}\n  {example}")
    })
}

/// Upload the events that are due
///
/// A network failure is not an error: the events stay in the spool and are sent later. It is
/// reported only if stderr is a terminal or --verbose is given.
#[derive(Debug, ClapArgs)]
#[command(after_help = examples())]
pub(super) struct Args {
    #[arg(long, value_name = "DEST", help = to_help())]
    to: Option<Target>,
    /// Print the files that would be written, without contacting anybody
    #[arg(long)]
    dry_run: bool,
    /// Do not wait after earlier failures; a wait that the server asked for still applies
    #[arg(long)]
    now: bool,
    /// Send at most N events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Stop after this time, such as 1m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// Exit with 75 if events that were due were not sent, with 78 if no destination works
    #[arg(long)]
    strict: bool,
    /// Report what happened even if stderr is not a terminal
    #[arg(short, long)]
    verbose: bool,
    /// Print what happened as JSON
    #[arg(long)]
    json: bool,
    /// Set by `record --flush`: run in a session of its own
    #[arg(long, hide = true)]
    detached: bool,
    /// Set by a scheduler: record when the flush ran
    #[arg(long, hide = true)]
    scheduled: bool,
    /// The home, for a scheduler that can't set environment variables
    #[arg(long, value_name = "PATH", hide = true)]
    home: Option<PathBuf>,
}

fn to_help() -> String {
    let forms: Vec<_> = KINDS.iter().map(|kind| kind.form).collect();
    format!(
        "Where to send: {} [default: what the environment names, else what `connect` remembered]",
        words::one_of(&forms)
    )
}

/// How long after its deadline a flush may still wait for locks and store its result.
const GRACE: Duration = COMMAND_LOCK_WAIT.saturating_add(Duration::from_secs(5));

/// A failure that can be sent from the worker thread. A [`Failure`] can't, because it can hold any
/// error.
#[derive(Debug, thiserror::Error)]
enum FlushFailure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl From<FlushFailure> for Failure {
    fn from(failure: FlushFailure) -> Self {
        match failure {
            FlushFailure::Settings(error) => error.into(),
            FlushFailure::Spool(error) => error.into(),
        }
    }
}

impl Args {
    /// The environment, with the home that the scheduler passed.
    pub(super) fn environment(&self, environment: Environment) -> Environment {
        match &self.home {
            Some(home) => environment.with("JMO_TELEMETRY_HOME", &home.to_string_lossy()),
            None => environment,
        }
    }

    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        if self.scheduled {
            // The flush goes on even if this can't be recorded.
            let _ = last_run::note(&settings.home, clock::now());
        }
        #[cfg(unix)]
        if self.detached {
            // Fails only for the leader of a process group, which has a session of its own already.
            let _ = nix::unistd::setsid();
        }
        let report = match self.flush(settings, out) {
            Ok(report) => report,
            Err(failure) if failure.code == Code::Configuration => {
                // A flush by cron does not fail because of this, but a person must see what to fix.
                out.failure(&failure);
                let report = self.no_destination(settings, self.to.as_ref(), failure.message());
                if self.json {
                    out.json(&report)?;
                }
                return Ok(self.code(&report));
            }
            Err(failure) => return Err(failure),
        };
        self.show(&report, out)?;
        Ok(self.code(&report))
    }

    fn code(&self, report: &Report) -> Code {
        if self.strict {
            strict_code(report)
        } else {
            Code::Done
        }
    }

    fn flush(&self, settings: &Settings, out: &mut Out) -> Result<Report, Failure> {
        let decision = settings.consent.now();
        let chosen = settings.chosen(self.to.as_ref());
        if !decision.enabled {
            // While telemetry is disabled, it does not matter whether the destination can be used.
            return Ok(Report {
                error: Some(decision.reason),
                ..Report::nothing(
                    Outcome::Disabled,
                    chosen.ok().flatten().map(|chosen| chosen.target).as_ref(),
                )
            });
        }
        let chosen = chosen?;
        if self.dry_run {
            let target = chosen.map(|chosen| chosen.target);
            return Ok(dry_run(&settings.home, target.as_ref(), self.limit)?);
        }
        let Some(chosen) = chosen else {
            let error = "no destination is configured; run `jmo-telemetry connect`, or see `jmo-telemetry status`";
            return Ok(self.no_destination(settings, None, error.to_owned()));
        };
        let target = chosen.target;
        // Opened only to check that it can be used. The thread below opens it again.
        match settings.destination(&target) {
            // The normal case for most users: a destination is configured, but only its owner has
            // the token.
            Err(SettingsError::Destination(error)) if error.is_missing_token() => {
                return Ok(self.no_destination(settings, Some(&target), error.to_string()));
            }
            other => drop(other?),
        }
        let options = Options {
            now: self.now,
            notice_first: chosen.notice_first,
            limit: self.limit,
            deadline: self.deadline.unwrap_or(FLUSH_DEADLINE),
            max_bytes: settings.spool_max,
        };
        let settings = settings.clone();
        watch(out, options.deadline + GRACE, move |progress| {
            let mut destination = settings.destination(&target)?;
            let mut tell = |sent, total| progress(Progress { done: sent, total });
            let flushed = flush(
                &settings.home,
                &settings.consent,
                destination.as_mut(),
                &options,
                &mut tell,
            );
            flushed.map_err(FlushFailure::from)
        })?
        .map_err(FlushFailure::into)
    }

    /// The report when nothing can be sent. It still counts the waiting events.
    fn no_destination(
        &self,
        settings: &Settings,
        target: Option<&Target>,
        error: String,
    ) -> Report {
        let stats = Spool::read(&settings.home, Spool::stats).unwrap_or_default();
        Report {
            error: Some(error),
            remaining: stats.waiting(),
            ..Report::nothing(Outcome::NoDestination, target)
        }
    }

    fn show(&self, report: &Report, out: &mut Out) -> Result<(), Failure> {
        if self.json {
            return out.json(report);
        }
        for file in &report.segments {
            if let Some(content) = &file.content {
                out.line(format_args!(
                    "==> {} ({}, {} bytes, sha256 {}) <==",
                    file.name,
                    words::events(file.events as u64),
                    file.bytes,
                    file.sha256
                ))?;
                out.text(content)?;
            }
        }
        if self.verbose || (out.stderr_is_terminal() && !self.dry_run) {
            out.say(sentence(report));
        }
        Ok(())
    }
}

fn strict_code(report: &Report) -> Code {
    match report.outcome {
        Outcome::NoDestination | Outcome::NoticeFirst | Outcome::Paused => Code::Configuration,
        Outcome::Backoff | Outcome::Waiting | Outcome::Failed | Outcome::Unfinished => {
            Code::TryLater
        }
        Outcome::Sent | Outcome::Idle | Outcome::Disabled | Outcome::Busy | Outcome::DryRun => {
            Code::Done
        }
    }
}

/// What happened, in a sentence.
fn sentence(report: &Report) -> String {
    let destination = report.destination.as_deref().unwrap_or("nowhere");
    let sent = words::events(report.sent as u64);
    let remain = match report.remaining {
        1 => "1 event remains".to_owned(),
        n => format!("{} remain", words::events(n)),
    };
    let why = report
        .error
        .as_deref()
        .map_or(String::new(), |error| format!(": {error}"));
    let next = report.next_attempt_at.map_or(String::new(), |at| {
        format!("; next attempt {}", words::relative(at, clock::now()))
    });
    let happened = match report.outcome {
        Outcome::Sent => format!("sent {sent} to {destination}{why}"),
        Outcome::Idle => "nothing to send".to_owned(),
        Outcome::Disabled => format!("telemetry is disabled{why}"),
        Outcome::Busy => "another flush is running".to_owned(),
        Outcome::NoticeFirst | Outcome::NoDestination => format!("nothing was sent{why}"),
        Outcome::Backoff => format!("waiting after a failure{why}; {remain}{next}"),
        Outcome::Waiting => {
            format!("sent {sent}; {destination} asked to wait{why}; {remain}{next}")
        }
        Outcome::Paused => {
            format!(
                "{destination} refused{why}; {remain}{next}, or as soon as its configuration changes, or with --now"
            )
        }
        Outcome::Failed => format!("sent {sent}; then failed{why}; {remain}{next}"),
        Outcome::Unfinished => format!("sent {sent} to {destination}; {remain}"),
        Outcome::DryRun => {
            format!(
                "{} would be written",
                words::events(report.segments.iter().map(|f| f.events as u64).sum())
            )
        }
    };
    match report.held {
        0 => happened,
        held => format!(
            "{happened}; {} rejected and held, see `jmo-telemetry spool list --state held`",
            words::events(held as u64)
        ),
    }
}
