//! `status`: whether anything is recorded, whether anything can leave this machine, where to, and
//! what waits for what.

use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::{schedule, spool, words};
use crate::clock;
use crate::destination::retry::{Due, RetryState};
use crate::destination::{Chosen, Target};
use crate::request::Closed;
use crate::settings::Settings;
use crate::spool::{Attempt, Overflow, SetAside, Spool, Stats};

/// Say what is recorded, what can leave this machine and where to, and what waits
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  status\n  status --json | jq .can_leave")]
pub(super) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `status --json`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) enabled: bool,
    pub(super) rule: &'static str,
    pub(super) reason: String,
    pub(super) can_leave: bool,
    pub(super) destination: Option<String>,
    /// Why nothing can leave, and what to do.
    pub(super) obstacle: Option<String>,
    pub(super) spool: Stats,
    pub(super) last_flush: Option<LastFlush>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) quarantined: Vec<String>,
    /// Lines of `overflow.jsonl` that are no events, and where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overflow_set_aside: Option<SetAside>,
    /// Why the spool itself can't be read.
    pub(super) spool_error: Option<String>,
    pub(super) home: String,
    /// Only for who asks for the status itself: the schedulers have to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<schedule::Shown>,
}

/// The last attempt that reached for the destination.
#[derive(Debug, Serialize)]
pub(super) struct LastFlush {
    at: DateTime<Utc>,
    outcome: String,
    http_status: Option<u16>,
    sent: usize,
    error: Option<String>,
}

impl From<&Attempt> for LastFlush {
    fn from(attempt: &Attempt) -> Self {
        Self {
            at: attempt.at,
            outcome: attempt.outcome.clone(),
            http_status: attempt.http_status,
            sent: attempt.sent,
            error: attempt.error.clone(),
        }
    }
}

/// How many attempts a person is shown.
const ATTEMPTS_SHOWN: u32 = 5;

impl Status {
    /// Gathers it. What can't be read is told, not failed on: this is where people look when
    /// something is wrong.
    pub(super) fn of(settings: &Settings) -> Self {
        let decision = settings.consent.now();
        let (chosen, obstacle) = match settings.chosen(None) {
            Ok(chosen) => (chosen, None),
            Err(error) => (None, Some(Failure::from(error).told())),
        };
        let target = chosen.as_ref().map(|chosen| &chosen.target);
        let mut status = Self {
            enabled: decision.enabled,
            rule: decision.rule,
            reason: decision.reason,
            can_leave: false,
            destination: target.map(Target::to_string),
            obstacle,
            spool: Stats::default(),
            last_flush: None,
            next_attempt_at: None,
            attempts: Vec::new(),
            quarantined: settings.home.quarantined(),
            overflow_set_aside: Overflow::of(&settings.home).set_aside(),
            spool_error: None,
            home: settings.home.dir().display().to_string(),
            schedule: None,
        };
        let due = status
            .read_spool(settings, target)
            .unwrap_or_else(|failure| {
                status.spool_error = Some(failure.told());
                None
            });
        if status.obstacle.is_none() {
            status.obstacle = obstacle_of(settings, &status, chosen.as_ref(), due.as_ref());
        }
        status.can_leave = status.obstacle.is_none();
        status
    }

    /// Fills in what the spool knows; gives when the destination may be tried.
    fn read_spool(
        &mut self,
        settings: &Settings,
        target: Option<&Target>,
    ) -> Result<Option<(Due, RetryState)>, Failure> {
        let (stats, attempts, last, retry) = Spool::read(&settings.home, |spool| {
            let retry = target.map(|target| spool.retry_state(target)).transpose()?;
            let last = spool.attempts(target, 1)?.into_iter().next();
            let attempts = spool.attempts(None, ATTEMPTS_SHOWN)?;
            Ok((spool.stats()?, attempts, last, retry))
        })?;
        self.spool = stats;
        self.last_flush = last.as_ref().map(LastFlush::from);
        self.attempts = attempts;
        let (Some(retry), Some(target)) = (retry, target) else {
            return Ok(None);
        };
        let fingerprint = settings
            .destination(target)
            .map(|destination| destination.fingerprint());
        let due = retry.due(clock::now(), &fingerprint.unwrap_or_default(), false);
        self.next_attempt_at = due.until();
        Ok(Some((due, retry)))
    }
}

/// Why nothing can leave this machine, and what to do about it.
fn obstacle_of(
    settings: &Settings,
    status: &Status,
    chosen: Option<&Chosen>,
    due: Option<&(Due, RetryState)>,
) -> Option<String> {
    if !status.enabled {
        return Some(format!("telemetry is disabled: {}", status.reason));
    }
    let Some(chosen) = chosen else {
        return Some(
            "no destination is configured; events stay on this machine. `jmo-telemetry connect` sets one".to_owned(),
        );
    };
    let target = &chosen.target;
    if let Err(error) = settings.destination(target) {
        return Some(Failure::from(error).told());
    }
    if chosen.notice_first && !settings.home.notice_shown() {
        return Some(Closed::NoticeFirst.to_string());
    }
    if let Some((Due::Paused(_), retry)) = due {
        let last = retry.failure.as_ref();
        let reason = last.map_or(String::new(), |last| format!(": {}", last.reason));
        let advice = last.and_then(|last| last.advice.as_ref());
        let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
        return Some(format!(
            "{target} refused{reason}{advice}; `jmo-telemetry flush --now` tries again at once"
        ));
    }
    None
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let status = Status {
            schedule: Some(schedule::Shown::of(settings)),
            ..Status::of(settings)
        };
        if self.json {
            out.json(&status)?;
        } else {
            show(&status, out)?;
        }
        Ok(Code::Done)
    }
}

fn show(status: &Status, out: &mut Out) -> Result<(), Failure> {
    let now = clock::now();
    let mut row = |name: &str, value: String| out.line(format_args!("{name:<13} {value}"));
    let enabled = if status.enabled { "yes" } else { "no" };
    row(
        "enabled",
        format!("{enabled} ({}: {})", status.rule, status.reason),
    )?;
    row(
        "can leave",
        if status.can_leave {
            "yes".to_owned()
        } else {
            "no".to_owned()
        },
    )?;
    row(
        "destination",
        status
            .destination
            .clone()
            .unwrap_or_else(|| "none".to_owned()),
    )?;
    if let Some(obstacle) = status.obstacle.as_ref().filter(|_| status.enabled) {
        row("", obstacle.clone())?;
    }
    for (name, value) in spool::told(&status.spool) {
        row(name, value)?;
    }
    for attempt in &status.attempts {
        row("attempt", told(attempt, now))?;
    }
    if let Some(at) = status
        .next_attempt_at
        .filter(|_| status.spool.waiting() > 0)
    {
        row("next attempt", words::relative(at, now))?;
    }
    if status.spool.held > 0 {
        row(
            "",
            "held events were refused for good; `jmo-telemetry spool list --state held` shows them"
                .to_owned(),
        )?;
    }
    for file in &status.quarantined {
        row(
            "set aside",
            format!("{file} (a damaged spool; its readable events were carried over)"),
        )?;
    }
    if let Some(set_aside) = &status.overflow_set_aside {
        row(
            "set aside",
            format!(
                "{} ({} lines of overflow.jsonl that are no events)",
                set_aside.path.display(),
                set_aside.lines
            ),
        )?;
    }
    if let Some(error) = &status.spool_error {
        row("spool", error.clone())?;
    }
    for line in status.schedule.iter().flat_map(schedule::Shown::lines) {
        row("schedule", line)?;
    }
    row("home", status.home.clone())
}

fn told(attempt: &Attempt, now: DateTime<Utc>) -> String {
    let sent = if attempt.sent > 0 {
        format!(" {}", words::events(attempt.sent as u64))
    } else {
        String::new()
    };
    // An error says the status itself.
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
