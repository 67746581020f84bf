//! The one gate that every request to a destination passes, whoever makes it: consent, the notice
//! that comes first, and the waits that the server asked for. It is checked right before each
//! request.

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
    /// Reading what was collected. Nothing leaves this machine.
    Read,
    /// Deleting what was sent, because the user wants it. It stays possible while telemetry is
    /// disabled.
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
    /// The server asked to be left alone.
    #[error("it asked to be left alone until {}", .0.format("%Y-%m-%dT%H:%M:%SZ"))]
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
    /// Before this destination.
    #[must_use]
    pub(crate) fn new(home: &'g Home, consent: &'g Consent, destination: &Chosen) -> Self {
        Self {
            home,
            consent,
            notice_first: destination.notice_first,
        }
    }

    /// Asked right before each request; `retry` is what is remembered of the destination.
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

    /// Makes a request outside of a flush. It keeps the pause after the last write that the
    /// destination wants, and remembers a wait that the server asks for.
    ///
    /// # Errors
    /// When the request must not be made, or proves nothing.
    pub(crate) fn ask<T>(
        &self,
        purpose: Purpose,
        destination: &mut dyn Destination,
        make: impl FnOnce(&mut dyn Destination) -> Answer<T>,
    ) -> Result<T, AskError> {
        let target = destination.target().clone();
        // A spool that can't be read knows of no wait. Other commands report the trouble itself.
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

/// Until when the server asked to be left alone. This applies to reading, too.
#[must_use]
pub(crate) fn rate_limited(home: &Home, target: &Target) -> Option<DateTime<Utc>> {
    let retry = retry_state(home, target).ok()?;
    match retry.due(clock::now(), "", true) {
        Due::RateLimited(until) => Some(until),
        Due::Now | Due::Backoff(_) | Due::Paused(_) => None,
    }
}

/// Remembers that the server asked to be left alone. Without a spool there is nothing to upload
/// later, so nothing is remembered.
pub(crate) fn remember(home: &Home, target: &Target, unconfirmed: &Unconfirmed) {
    if matches!(unconfirmed.verdict, Verdict::RateLimited(_))
        && let Ok(retry) = retry_state(home, target)
    {
        let after = retry.after(unconfirmed, clock::now(), "", 0.0);
        // The answer itself is what matters to the user, not whether it could be remembered.
        let _ = store(home, target, &after);
    }
}

/// Why a request outside of a flush led to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It was not made.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// It proved nothing.
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
