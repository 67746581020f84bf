//! The overall state: whether events are recorded, whether they can leave this machine and where
//! to, and what is waiting.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock;
use crate::destination::retry::{Due, RetryState};
use crate::destination::{Chosen, Target};
use crate::error::chain;
use crate::request::Closed;
use crate::settings::Settings;
use crate::spool::{Attempt, Overflow, SetAside, Spool, SpoolError, Stats};

/// `status --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Whether events are recorded and may be sent.
    pub enabled: bool,
    /// The rule that decided it.
    pub rule: &'static str,
    /// What that rule found.
    pub reason: String,
    /// Whether anything can leave this machine.
    pub can_leave: bool,
    /// Where to.
    pub destination: Option<String>,
    /// Why nothing can leave, and what to do.
    pub obstacle: Option<String>,
    /// What the spool holds; `None` when it can't be read.
    pub spool: Option<Stats>,
    /// The last attempt at that destination.
    pub last_flush: Option<LastFlush>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The last attempts at any destination.
    pub attempts: Vec<Attempt>,
    /// Damaged databases that were set aside.
    pub quarantined: Vec<String>,
    /// Lines of `overflow.jsonl` that are no events, and where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_set_aside: Option<SetAside>,
    /// Why the spool itself can't be read.
    pub spool_error: Option<String>,
    /// The home.
    pub home: String,
}

/// The last attempt to reach the destination.
#[derive(Debug, Serialize)]
pub(crate) struct LastFlush {
    /// When.
    pub at: DateTime<Utc>,
    /// How it ended.
    pub outcome: String,
    /// The status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// How many events were confirmed.
    pub sent: usize,
    /// What went wrong.
    pub error: Option<String>,
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

/// How many past attempts are listed.
const ATTEMPTS_SHOWN: u32 = 5;

impl Status {
    /// Gathers it. Something that can't be read is reported and does not make this fail, because
    /// people look here when something is wrong.
    #[must_use]
    pub(crate) fn of(settings: &Settings) -> Self {
        Self::with_notice(settings, settings.home.notice_shown())
    }

    /// The same, as it will be once the notice has been shown.
    #[must_use]
    pub(crate) fn after_notice(settings: &Settings) -> Self {
        Self::with_notice(settings, true)
    }

    fn with_notice(settings: &Settings, notice_shown: bool) -> Self {
        let decision = settings.consent.now();
        let (chosen, obstacle) = match settings.chosen(None) {
            Ok(chosen) => (chosen, None),
            Err(error) => (None, Some(chain(&error))),
        };
        let target = chosen.as_ref().map(|chosen| &chosen.target);
        let mut status = Self {
            enabled: decision.enabled,
            rule: decision.rule,
            reason: decision.reason,
            can_leave: false,
            destination: target.map(Target::to_string),
            obstacle,
            spool: None,
            last_flush: None,
            next_attempt_at: None,
            attempts: Vec::new(),
            quarantined: Vec::new(),
            overflow_set_aside: None,
            spool_error: None,
            home: settings.home.dir().display().to_string(),
        };
        let due = status.read_spool(settings, target).unwrap_or_else(|error| {
            status.spool_error = Some(chain(&error));
            None
        });
        // Reading the spool may have repaired it or imported the overflow.
        status.quarantined = settings.home.quarantined();
        status.overflow_set_aside = Overflow::of(&settings.home).set_aside();
        if status.obstacle.is_none() {
            status.obstacle = obstacle_of(
                settings,
                &status,
                chosen.as_ref(),
                due.as_ref(),
                notice_shown,
            );
        }
        status.can_leave = status.obstacle.is_none();
        status
    }

    /// Fills in what the spool knows. Returns when the destination may be tried next.
    fn read_spool(
        &mut self,
        settings: &Settings,
        target: Option<&Target>,
    ) -> Result<Option<(Due, RetryState)>, SpoolError> {
        let (stats, attempts, last, retry) = Spool::read(&settings.home, |spool| {
            let retry = target.map(|target| spool.retry_state(target)).transpose()?;
            let last = spool.attempts(target, 1)?.into_iter().next();
            let attempts = spool.attempts(None, ATTEMPTS_SHOWN)?;
            Ok((spool.stats()?, attempts, last, retry))
        })?;
        self.spool = Some(stats);
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
    notice_shown: bool,
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
        return Some(chain(&error));
    }
    if chosen.notice_first && !notice_shown {
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
