//! The one gate that every request to a destination passes, whichever command makes it. Right
//! before each request it checks consent, whether the notice was shown, and any wait that the
//! server asked for.

use chrono::{DateTime, Utc};

use crate::clock;
use crate::consent::{Consent, Decision};
use crate::destination::retry::{Due, RetryState};
use crate::destination::verdict::Verdict;
use crate::destination::{Answer, Chosen, Destination, Target, Unconfirmed};
use crate::home::Home;
use crate::spool::{Caller, Spool, SpoolError};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sending events, or finding out whether they can be sent.
    Upload,
    /// Reading what was collected. No events leave this machine.
    Read,
    /// Deleting what was sent, at the user's request. Allowed while telemetry is disabled.
    Delete,
}

/// Why a request is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closed {
    /// Telemetry is disabled.
    #[error("telemetry is disabled: {}", .0.reason)]
    Disabled(Decision),
    /// The user did not choose this destination, and has not seen the banner yet.
    #[error("the notice has not been shown on this machine yet; `jmo-telemetry banner` shows it")]
    NoticeFirst,
    /// The server asked for a pause that is not over.
    #[error("it asked us to wait until {}", .0.format("%Y-%m-%dT%H:%M:%SZ"))]
    RateLimited(DateTime<Utc>),
}

/// The gate before one destination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate<'g> {
    home: &'g Home,
    consent: &'g Consent,
    notice_first: bool,
}

impl<'g> Gate<'g> {
    /// The gate before this destination.
    #[must_use]
    pub(crate) fn new(home: &'g Home, consent: &'g Consent, destination: &Chosen) -> Self {
        Self {
            home,
            consent,
            notice_first: destination.notice_first,
        }
    }

    /// Checks whether a request may be made; called right before each one. `retry` is the stored
    /// retry state of the destination.
    ///
    /// # Errors
    /// When the request must not be made.
    pub(crate) fn pass(&self, purpose: Purpose, retry: &RetryState) -> Result<(), Closed> {
        if purpose == Purpose::Upload {
            let decision = self.consent.now();
            if !decision.enabled {
                return Err(Closed::Disabled(decision));
            }
        }
        if self.notice_first && !self.home.notice_shown() {
            return Err(Closed::NoticeFirst);
        }
        match retry.due(clock::now(), "", true) {
            Due::RateLimited(until) => Err(Closed::RateLimited(until)),
            Due::Now | Due::Backoff(_) | Due::Paused(_) => Ok(()),
        }
    }

    /// Makes a request outside a flush. First waits until the destination's pause after the last
    /// write is over. If the answer asks for a wait, that is stored.
    ///
    /// # Errors
    /// When the request must not be made, or its answer proves nothing.
    pub(crate) fn ask<T>(
        &self,
        purpose: Purpose,
        destination: &mut dyn Destination,
        make: impl FnOnce(&mut dyn Destination) -> Answer<T>,
    ) -> Result<T, AskError> {
        let target = destination.target().clone();
        // If the spool can't be read, no wait is known. Other commands report that error.
        let retry = retry_state(self.home, &target).unwrap_or_default();
        self.pass(purpose, &retry)?;
        clock::sleep(retry.spacing_left(clock::now(), destination.capabilities().spacing));
        match make(destination) {
            Ok(confirmed) => Ok(confirmed.proof),
            Err(unconfirmed) => {
                remember(self.home, &target, &unconfirmed);
                Err(unconfirmed.into())
            }
        }
    }
}

/// The end of the wait that the server asked for, if any. It applies to reading, too.
#[must_use]
pub(crate) fn rate_limited(home: &Home, target: &Target) -> Option<DateTime<Utc>> {
    let retry = retry_state(home, target).ok()?;
    match retry.due(clock::now(), "", true) {
        Due::RateLimited(until) => Some(until),
        Due::Now | Due::Backoff(_) | Due::Paused(_) => None,
    }
}

/// Stores a wait that the server asked for. Without a spool there is nothing to upload later, so
/// nothing is stored.
pub(crate) fn remember(home: &Home, target: &Target, unconfirmed: &Unconfirmed) {
    if matches!(unconfirmed.verdict, Verdict::RateLimited(_))
        && let Ok(retry) = retry_state(home, target)
    {
        let after = retry.after(unconfirmed, clock::now(), "", 0.0);
        // The user needs to know the answer, not whether it could be stored.
        let _ = store(home, target, &after);
    }
}

/// Why a request outside a flush failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It was not made.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Its answer proved nothing.
    #[error(transparent)]
    Unconfirmed(#[from] Unconfirmed),
}

fn retry_state(home: &Home, target: &Target) -> Result<RetryState, SpoolError> {
    Spool::read(home, |spool| spool.retry_state(target))
}

fn store(home: &Home, target: &Target, retry: &RetryState) -> Result<(), SpoolError> {
    Spool::write(home, Caller::Command, |writer| {
        writer.store_retry_state(target, retry)
    })
}
