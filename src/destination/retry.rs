//! When a destination may be tried again: our own backoff, the waits that the server asked for, and
//! the pause after a refusal. The state is plain data that is stored between processes, together
//! with the destination's last answer; the rules are pure functions.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock;
use crate::destination::Unconfirmed;
use crate::destination::verdict::Verdict;
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, PAUSE, SERVER_WAIT_MAX};

/// What is stored about a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RetryState {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// When our own backoff ends.
    pub(crate) retry_at: Option<DateTime<Utc>>,
    /// When the wait that the server asked for ends.
    pub(crate) wait_until: Option<DateTime<Utc>>,
    /// When the server refused us.
    pub(crate) paused_at: Option<DateTime<Utc>>,
    /// How long the pause after that is; [`PAUSE`] by default.
    pub(crate) paused_for: Option<Duration>,
    /// The fingerprint of the address and the credentials that were refused.
    pub(crate) fingerprint: Option<String>,
    /// Why the last request failed; `None` after a success.
    pub(crate) failure: Option<LastFailure>,
    /// When the above was stored.
    pub(crate) noted_at: Option<DateTime<Utc>>,
    /// When the last write ended.
    pub(crate) last_write_at: Option<DateTime<Utc>>,
}

/// Why the last request to a destination failed, as the destination judged it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LastFailure {
    /// The HTTP status, if there was an answer.
    pub(crate) http_status: Option<u16>,
    /// Why.
    pub(crate) reason: String,
    /// What the user can do about it.
    pub(crate) advice: Option<String>,
}

/// Whether a destination may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It may be tried now.
    Now,
    /// Our own backoff is not over; `--now` ignores it.
    Backoff(DateTime<Utc>),
    /// The server asked us to wait; nothing ignores that.
    RateLimited(DateTime<Utc>),
    /// The server refused us. It is tried again at this time, when the fingerprint changes, or with
    /// `--now`.
    Paused(DateTime<Utc>),
}

impl Due {
    /// When the wait ends, if there is one.
    #[must_use]
    pub(crate) fn until(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Now => None,
            Self::Backoff(until) | Self::RateLimited(until) | Self::Paused(until) => Some(until),
        }
    }
}

impl RetryState {
    /// Whether the destination may be tried at `now` with this fingerprint; `forced` is true for
    /// `--now`. A stored wait that is longer than any wait of its kind can be is ignored.
    #[must_use]
    pub(crate) fn due(&self, now: DateTime<Utc>, fingerprint: &str, forced: bool) -> Due {
        let state = self.rebased(now);
        let ends = |until: Option<DateTime<Utc>>, longest| {
            until.filter(|at| *at > now && *at <= clock::after(now, longest))
        };
        let retry = ends(state.retry_at, BACKOFF_MAX);
        if let Some(until) = ends(state.wait_until, SERVER_WAIT_MAX) {
            return Due::RateLimited(until.max(retry.filter(|_| !forced).unwrap_or(until)));
        }
        if forced {
            return Due::Now;
        }
        let pause = state.paused_for.unwrap_or(PAUSE);
        let pause_ends = state.paused_at.map(|at| clock::after(at, pause));
        if state.fingerprint.as_deref() == Some(fingerprint)
            && let Some(until) = ends(pause_ends, pause)
        {
            return Due::Paused(until);
        }
        retry.map_or(Due::Now, Due::Backoff)
    }

    /// How much of the pause between two writes is left.
    #[must_use]
    pub(crate) fn spacing_left(&self, now: DateTime<Utc>, spacing: Duration) -> Duration {
        // If the last write is in the future, the clock was set back, and the full pause applies.
        let passed = |last: DateTime<Utc>| (now - last).to_std().unwrap_or(Duration::ZERO);
        self.last_write_at
            .map_or(Duration::ZERO, |last| spacing.saturating_sub(passed(last)))
    }

    /// If the clock has been set back to before the waits were stored, the same waits counted from
    /// now, since nobody knows how much of them has passed. A flush stores this, so that a clock
    /// that once was a year ahead blocks nothing.
    #[must_use]
    pub(crate) fn rebased(&self, now: DateTime<Utc>) -> Self {
        let Some(ahead) = self
            .noted_at
            .map(|noted| noted - now)
            .filter(|ahead| *ahead > TimeDelta::zero())
        else {
            return self.clone();
        };
        let back =
            |at: Option<DateTime<Utc>>| at.map(|at| at.checked_sub_signed(ahead).unwrap_or(now));
        Self {
            retry_at: back(self.retry_at),
            wait_until: back(self.wait_until),
            paused_at: back(self.paused_at),
            noted_at: Some(now),
            last_write_at: back(self.last_write_at),
            ..self.clone()
        }
    }

    /// The state after a failed request. `jitter` is random in 0..1.
    #[must_use]
    pub(crate) fn after(
        &self,
        unconfirmed: &Unconfirmed,
        now: DateTime<Utc>,
        fingerprint: &str,
        jitter: f64,
    ) -> Self {
        let failures = self.failures.saturating_add(1);
        let base = Self {
            failures,
            noted_at: Some(now),
            last_write_at: self.last_write_at,
            failure: Some(LastFailure {
                http_status: unconfirmed.http_status,
                reason: unconfirmed.reason.clone(),
                advice: unconfirmed.advice.clone(),
            }),
            ..Self::default()
        };
        match unconfirmed.verdict {
            // When a server limits us again and again, the waits grow, as GitHub's documentation
            // asks.
            Verdict::RateLimited(until) => Self {
                wait_until: Some(until),
                retry_at: Some(clock::after(now, backoff(failures, jitter))),
                ..base
            },
            Verdict::Refused(pause) => Self {
                paused_at: Some(now),
                paused_for: Some(pause),
                fingerprint: Some(fingerprint.to_owned()),
                ..base
            },
            Verdict::Later | Verdict::Conflict | Verdict::Rejected => Self {
                retry_at: Some(clock::after(now, backoff(failures, jitter))),
                ..base
            },
        }
    }

    /// The state after a confirmed write.
    #[must_use]
    pub(crate) fn after_success(now: DateTime<Utc>) -> Self {
        Self {
            noted_at: Some(now),
            last_write_at: Some(now),
            ..Self::default()
        }
    }
}

/// The pause after this many failures in a row, with full jitter: random between 0 and a ceiling
/// that doubles from [`BACKOFF_FIRST`] to [`BACKOFF_MAX`].
#[must_use]
pub(crate) fn backoff(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let ceiling = BACKOFF_FIRST
        .saturating_mul(1 << doublings)
        .min(BACKOFF_MAX);
    // In whole milliseconds, the precision of stored times.
    let pause = ceiling.mul_f64(jitter.clamp(0.0, 1.0)).as_millis();
    Duration::from_millis(u64::try_from(pause).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T10:00:00Z".parse().expect("a time")
    }

    fn unconfirmed(verdict: Verdict) -> Unconfirmed {
        Unconfirmed {
            verdict,
            ..Unconfirmed::later("no luck")
        }
    }

    #[test]
    fn the_ceiling_doubles_from_a_minute_to_six_hours() {
        let ceilings: Vec<_> = (1..=11).map(|n| backoff(n, 1.0).as_secs() / 60).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
    }

    #[test]
    fn now_overrides_our_own_backoff_but_not_the_wait_of_a_server() {
        let asked = RetryState::default().after(
            &unconfirmed(Verdict::RateLimited(now() + TimeDelta::minutes(9))),
            now(),
            "c",
            0.5,
        );
        assert_eq!(
            asked.due(now(), "c", true),
            Due::RateLimited(now() + TimeDelta::minutes(9))
        );
        assert_eq!(
            asked.due(now() + TimeDelta::minutes(9), "c", false),
            Due::Now
        );
        let failed = RetryState::default().after(&unconfirmed(Verdict::Later), now(), "c", 0.5);
        assert_eq!(
            failed.due(now(), "c", false),
            Due::Backoff(now() + TimeDelta::seconds(30))
        );
        assert_eq!(failed.due(now(), "c", true), Due::Now);
    }

    #[test]
    fn waits_grow_when_a_server_limits_us_again_and_again() {
        let minute = now() + TimeDelta::minutes(1);
        let often = RetryState {
            failures: 5,
            ..RetryState::default()
        };
        let asked = often.after(&unconfirmed(Verdict::RateLimited(minute)), now(), "c", 0.5);
        let later = now() + TimeDelta::minutes(16);
        assert_eq!(asked.due(now(), "c", false), Due::RateLimited(later));
        assert_eq!(asked.due(now(), "c", true), Due::RateLimited(minute));
        assert_eq!(asked.due(minute, "c", false), Due::Backoff(later));
        assert_eq!(asked.due(minute, "c", true), Due::Now);
    }

    #[test]
    fn a_pause_ends_with_new_credentials_with_force_or_after_a_day() {
        let paused = RetryState::default().after(
            &unconfirmed(Verdict::Refused(PAUSE)),
            now(),
            "old token",
            0.5,
        );
        assert_eq!(
            paused.due(now(), "old token", false),
            Due::Paused(now() + TimeDelta::days(1))
        );
        assert_eq!(paused.due(now(), "new token", false), Due::Now);
        assert_eq!(paused.due(now(), "old token", true), Due::Now);
        assert_eq!(
            paused.due(now() + TimeDelta::days(1), "old token", false),
            Due::Now
        );
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_blocks_nothing_and_setting_it_back_shortens_no_wait() {
        let ahead = now() + TimeDelta::days(365);
        let asked = RetryState::default().after(
            &unconfirmed(Verdict::RateLimited(ahead + TimeDelta::minutes(10))),
            ahead,
            "c",
            0.5,
        );
        let stored = asked.rebased(now());
        assert_eq!(
            stored.due(now(), "c", false),
            Due::RateLimited(now() + TimeDelta::minutes(10))
        );
        assert_eq!(
            stored.due(now() + TimeDelta::minutes(10), "c", false),
            Due::Now
        );
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_kind_allows(
            failures in 0u32..100, jitter in 0.0f64..1.0, noted in -400i64..400, wait_minutes in 1i64..1440, verdict in 0usize..3,
        ) {
            let noted = now() + TimeDelta::days(noted);
            let verdict = [Verdict::Later, Verdict::RateLimited(noted + TimeDelta::minutes(wait_minutes)), Verdict::Refused(PAUSE)][verdict];
            let state = RetryState { failures, ..RetryState::default() }.after(&unconfirmed(verdict), noted, "c", jitter);
            let (until, longest) = match state.due(now(), "c", false) {
                Due::Now => return Ok(()),
                Due::Backoff(until) => (until, TimeDelta::hours(6)),
                Due::RateLimited(until) | Due::Paused(until) => (until, TimeDelta::days(1)),
            };
            prop_assert!(until > now() && until <= now() + longest);
        }
    }
}
