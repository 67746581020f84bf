//! Requests outside of a flush (`connect`, `forget`, `view`) keep to the waits and the spacing that
//! the server asks for, and remember new waits.

use chrono::{DateTime, Utc};

use crate::clock;
use crate::destination::Target;
use crate::destination::retry::{Due, RetryState};
use crate::destination::verdict::{self, Verdict};
use crate::destination::{Destination, Reply};
use crate::home::Home;
use crate::spool::{Caller, Spool, SpoolError};

/// Makes a request, unless the server has asked us to wait.
pub fn ask(
    home: &Home,
    destination: &mut dyn Destination,
    make: impl FnOnce(&mut dyn Destination) -> Reply,
) -> Reply {
    let target = destination.target().clone();
    // A spool that can't be read knows of no wait; that it can't be read is told elsewhere.
    let standing = standing(home, &target).unwrap_or_default();
    let now = clock::now();
    if let Due::Asked(until) = standing.due(now, "", true) {
        return Reply::Unproven {
            answer: None,
            error: format!(
                "it asked to be left alone until {}",
                until.format("%Y-%m-%dT%H:%M:%SZ")
            ),
        };
    }
    clock::sleep(standing.spacing_left(now, destination.spacing()));
    let reply = make(destination);
    if let Reply::Unproven {
        answer: Some(answer),
        ..
    } = &reply
        && let verdict @ Verdict::NotBefore(_) = verdict::judge(answer, now)
    {
        // As above: the answer itself is what matters to the user.
        let _ = remember(home, &target, &standing.after(verdict, now, "", 0.0));
    }
    reply
}

/// Until when the server asked to be left alone; that means reading too.
#[must_use]
pub fn asked_to_wait(home: &Home, target: &Target) -> Option<DateTime<Utc>> {
    match standing(home, target).ok()?.due(clock::now(), "", true) {
        Due::Asked(until) => Some(until),
        Due::Now | Due::Backoff(_) | Due::Paused(_) => None,
    }
}

/// Remembers for the flushes to come that the server asked to be left alone; a home without a spool
/// has none to come.
pub fn remember_wait(home: &Home, target: &Target, until: DateTime<Utc>) {
    if let Ok(standing) = standing(home, target) {
        let verdict = Verdict::NotBefore(until);
        // As above: the answer itself is what matters to the user.
        let _ = remember(
            home,
            target,
            &standing.after(verdict, clock::now(), "", 0.0),
        );
    }
}

fn standing(home: &Home, target: &Target) -> Result<RetryState, SpoolError> {
    Spool::read(home, |spool| spool.standing(target))
}

fn remember(home: &Home, target: &Target, standing: &RetryState) -> Result<(), SpoolError> {
    Spool::write(home, Caller::Command, |writer| {
        writer.store_standing(target, standing)
    })
}
