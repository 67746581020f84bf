//! Recording in two steps: `stamp` turns drafts into events, and `store` makes the events
//! durable, in the spool or, when the spool can't take them in time, in `overflow.jsonl`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock::{self, Deadline};
use crate::consent::Consent;
use crate::event::vocabulary::ScanFrequency;
use crate::event::{Draft, Payload, Stamp, event_id};
use crate::home::{Home, HomeError};
use crate::limits::RECORD_WAIT;
use crate::spool::{Caller, Overflow, Spool, SpoolError};

/// Nothing could be made durable.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The home itself can't be written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Neither the spool nor the overflow file took the events.
    #[error("{spool}; and {overflow}")]
    Both {
        /// Why the spool did not.
        spool: Box<SpoolError>,
        /// Why the overflow file did not.
        #[source]
        overflow: HomeError,
    },
}

/// What became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Those that are safe now, in order. An event in `overflow.jsonl` has no `seq` yet.
    pub events: Vec<(Option<i64>, Uuid)>,
    /// How many events, new or old, were dropped because the spool is full.
    pub dropped: usize,
    /// Everything up to this `seq` was dropped, oldest first; 0 when nothing was.
    pub dropped_up_to: i64,
}

impl Stored {
    /// Whether some of them are in `overflow.jsonl`, because the spool was not available in time.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.events.iter().any(|(seq, _)| seq.is_none())
    }
}

/// Records events, in order: checks consent, then takes both steps. Stores nothing when telemetry
/// is disabled.
///
/// # Errors
/// When none of them was recorded.
pub fn record(
    home: &Home,
    consent: &Consent,
    drafts: Vec<Draft>,
    max_bytes: u64,
) -> Result<Stored, RecordError> {
    if !consent.now().enabled {
        return Ok(Stored::default());
    }
    let deadline = Deadline::after(RECORD_WAIT);
    let payloads = stamp(home, drafts, deadline)?;
    store(home, consent, &payloads, max_bytes, deadline)
}

/// Turns drafts into events. Each gets an id and the time, and a `scan.started` that counts as a
/// scan gets its frequency hint. Creates the anonymous id if there is none yet.
///
/// # Errors
/// When there is no anonymous id and none can be created before the deadline.
pub(crate) fn stamp(
    home: &Home,
    drafts: Vec<Draft>,
    deadline: Deadline,
) -> Result<Vec<Payload>, HomeError> {
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let anonymous_id = home.anonymous_id(deadline.left())?;
    let scans = drafts.iter().filter(|draft| draft.counts_scan).count() as u64;
    let hints = if scans == 0 {
        None
    } else {
        // An event without a hint is better than no event.
        home.count_scans(scans, deadline.left()).ok()
    };
    let hints = hints.into_iter().flatten();
    Ok(stamp_all(anonymous_id, clock::now(), hints, drafts))
}

/// The events that [`stamp`] would make of these drafts now, without touching the disk. If there is
/// no anonymous id yet, a random one stands in for it; the scan is not counted.
#[must_use]
pub(crate) fn preview(home: &Home, drafts: Vec<Draft>) -> Vec<Payload> {
    let known = home.known_anonymous_id().ok().flatten();
    let next = home.scan_count().saturating_add(1);
    let hints = (next..=u64::MAX).map(ScanFrequency::of_scan);
    let anonymous_id = known.unwrap_or_else(Uuid::new_v4);
    stamp_all(anonymous_id, clock::now(), hints, drafts)
}

fn stamp_all(
    anonymous_id: Uuid,
    at: DateTime<Utc>,
    mut hints: impl Iterator<Item = ScanFrequency>,
    drafts: Vec<Draft>,
) -> Vec<Payload> {
    let random = random_bits(drafts.len());
    let stamped = drafts.into_iter().zip(random).map(|(draft, random)| {
        let frequency = draft.counts_scan.then(|| hints.next()).flatten();
        let stamp = Stamp {
            anonymous_id,
            at,
            frequency,
            event_id: event_id(at, random),
        };
        Payload::new(draft, &stamp)
    });
    stamped.collect()
}

/// The random parts of `count` ids, from one system call.
fn random_bits(count: usize) -> Vec<[u8; 10]> {
    let mut random = vec![[0; 10]; count];
    getrandom::fill(random.as_flattened_mut()).expect("the system has random numbers");
    random
}

/// Stores events so that they survive `kill -9` and power loss once this returns: one transaction
/// and one fsync for all of them. If the spool does not take them before the deadline, they go to
/// `overflow.jsonl`. Nothing is stored when telemetry was disabled in the meantime.
///
/// # Errors
/// When none of them was stored.
pub(crate) fn store(
    home: &Home,
    consent: &Consent,
    payloads: &[Payload],
    max_bytes: u64,
    deadline: Deadline,
) -> Result<Stored, RecordError> {
    if payloads.is_empty() {
        return Ok(Stored::default());
    }
    append(home, consent, payloads, max_bytes, deadline).or_else(|spool| {
        match Overflow::of(home).append(payloads, || consent.now().enabled) {
            Ok(true) => Ok(Stored {
                events: payloads
                    .iter()
                    .map(|event| (None, event.event_id()))
                    .collect(),
                ..Stored::default()
            }),
            Ok(false) => Ok(Stored::default()),
            Err(overflow) => Err(RecordError::Both {
                spool: Box::new(spool),
                overflow,
            }),
        }
    })
}

/// Adds events to the spool. Consent is checked while the lock is held, because `disable` deletes
/// events under the same lock and no event may be added after that.
fn append(
    home: &Home,
    consent: &Consent,
    payloads: &[Payload],
    max_bytes: u64,
    deadline: Deadline,
) -> Result<Stored, SpoolError> {
    let now = clock::now();
    Spool::write(home, Caller::Record(deadline), |writer| {
        if !consent.now().enabled {
            return Ok(Stored::default());
        }
        let appended = writer.append_bounded(payloads, now, max_bytes)?;
        let ids = payloads.iter().map(Payload::event_id);
        let events = (appended.first..).map(Some).zip(ids);
        Ok(Stored {
            events: events
                .filter(|(seq, _)| *seq > Some(appended.dropped_up_to))
                .collect(),
            dropped: appended.dropped,
            dropped_up_to: appended.dropped_up_to,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Environment;

    #[test]
    fn after_a_no_nothing_is_made_not_even_the_home() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::at(dir.path().join("home"));
        let environment: Environment = [("DO_NOT_TRACK", "1")].into_iter().collect();
        let consent = Consent::new(&environment, &home, None);
        let line = br#"{"event":"tool.failed","metadata":{"tool":"zap","failure_type":"crash","profile":"fast"}}"#;
        let draft = Draft::from_json(line).expect("an event").draft;
        let stored = record(&home, &consent, vec![draft], u64::MAX).expect("does nothing");
        assert_eq!(stored, Stored::default());
        assert!(!home.dir().exists());
    }
}
