//! Recording: drafts in, durable events out. The spool first; where it can't take them in time,
//! `overflow.jsonl`.

use std::iter::{self, Peekable};
use std::sync::mpsc;
use std::thread;

use uuid::Uuid;

use crate::clock;
use crate::consent::Consent;
use crate::event::vocabulary::ScanFrequency;
use crate::event::{Draft, Payload, Stamp, event_id};
use crate::home::{Home, HomeError};
use crate::limits::BATCHES_AT_ONCE;
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

/// Records events, in order; they survive `kill -9` and power loss when this returns (contract,
/// P1). One transaction and one fsync for all of them. Gives their ids; none when telemetry is
/// disabled.
///
/// # Errors
/// When none of them was recorded.
pub fn record(
    home: &Home,
    consent: &Consent,
    drafts: Vec<Draft>,
    max_bytes: u64,
) -> Result<Vec<Uuid>, RecordError> {
    let payloads = stamp(home, consent, drafts)?;
    let mut ids = Vec::new();
    keep(
        home,
        consent,
        iter::once((payloads, ())),
        max_bytes,
        |kept, ()| ids = kept,
    )?;
    Ok(ids)
}

/// Records batch after batch as [`record`] does, each with something of the caller's: while one is
/// made durable, the next is read and stamped on another thread. `kept` gets the ids of each.
///
/// # Errors
/// With the first batch that was not recorded, after which no more are read.
pub fn record_batches<T: Send>(
    home: &Home,
    consent: &Consent,
    mut batches: impl Iterator<Item = (Vec<Draft>, T)> + Send,
    max_bytes: u64,
    mut kept: impl FnMut(Vec<Uuid>, T),
) -> Result<(), RecordError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let piped = thread::scope(|scope| {
        // Dropped with an error below, so that the other side does not wait for ever.
        let receiver = receiver;
        let stamp_all = || {
            for (drafts, with) in &mut batches {
                let batch = (stamp(home, consent, drafts)?, with);
                if sender.send(batch).is_err() {
                    // This side has failed, and says why.
                    break;
                }
            }
            // Owned here: its end is the end of the batches.
            drop(sender);
            Ok(())
        };
        let stamping = thread::Builder::new().spawn_scoped(scope, stamp_all).ok()?;
        while let Ok(batch) = receiver.recv() {
            // Those that are ready by then go in while the spool is open.
            let ready = receiver.try_iter().take(BATCHES_AT_ONCE - 1);
            let batches = iter::once(batch).chain(ready);
            if let Err(error) = keep(home, consent, batches, max_bytes, &mut kept) {
                return Some(Err(error));
            }
        }
        Some(stamping.join().expect("the other thread does not panic"))
    });
    if let Some(recorded) = piped {
        return recorded;
    }
    // There is no second thread: one after the other, then.
    for (drafts, with) in batches {
        let batch = (stamp(home, consent, drafts)?, with);
        keep(home, consent, iter::once(batch), max_bytes, &mut kept)?;
    }
    Ok(())
}

/// Adds id, time and hint to each draft; nothing comes of them when telemetry is disabled.
fn stamp(home: &Home, consent: &Consent, drafts: Vec<Draft>) -> Result<Vec<Payload>, RecordError> {
    if drafts.is_empty() || !consent.now().enabled {
        return Ok(Vec::new());
    }
    let at = clock::now();
    let anonymous_id = home.anonymous_id()?;
    let scans = drafts.iter().filter(|draft| draft.counts_scan).count();
    let mut hints = scan_hints(home, scans as u64);
    // One system call for all of them.
    let mut random = vec![[0; 10]; drafts.len()];
    getrandom::fill(random.as_flattened_mut()).expect("the system has random numbers");
    let stamped = drafts.into_iter().zip(random).map(|(draft, random)| {
        let frequency = if draft.counts_scan {
            hints.next().flatten()
        } else {
            None
        };
        let stamp = Stamp {
            anonymous_id,
            at,
            frequency,
            event_id: event_id(at, random),
        };
        Payload::new(draft, &stamp)
    });
    Ok(stamped.collect())
}

/// Puts stamped events where they are safe, batch by batch, and tells their ids to `kept`; none
/// when the user has said no.
fn keep<T>(
    home: &Home,
    consent: &Consent,
    batches: impl Iterator<Item = (Vec<Payload>, T)>,
    max_bytes: u64,
    mut kept: impl FnMut(Vec<Uuid>, T),
) -> Result<(), RecordError> {
    let mut batches = batches.peekable();
    while let Some((_, with)) = batches.next_if(|(payloads, _)| payloads.is_empty()) {
        kept(Vec::new(), with);
    }
    if batches.peek().is_none() {
        return Ok(());
    }
    let mut appended = Vec::new();
    let spool = append(home, consent, &mut batches, max_bytes, &mut appended);
    for (payloads, with) in appended {
        kept(ids(&payloads), with);
    }
    match spool {
        Ok(()) => batches.for_each(|(_, with)| kept(Vec::new(), with)),
        Err(spool) => {
            for (payloads, with) in batches {
                match Overflow::of(home).append(&payloads, || consent.now().enabled) {
                    Ok(true) => kept(ids(&payloads), with),
                    Ok(false) => kept(Vec::new(), with),
                    Err(overflow) => {
                        let spool = Box::new(spool);
                        return Err(RecordError::Both { spool, overflow });
                    }
                }
            }
        }
    }
    Ok(())
}

fn ids(payloads: &[Payload]) -> Vec<Uuid> {
    payloads.iter().map(Payload::event_id).collect()
}

/// Moves batches that are in the spool, each in a transaction of its own, to `appended`. Leaves the
/// others where they are: the one that failed and those after it, or all when the user has said no
/// in the meantime; `disable` deletes under the lock that is held here, and nothing may come after
/// it.
fn append<T>(
    home: &Home,
    consent: &Consent,
    batches: &mut Peekable<impl Iterator<Item = (Vec<Payload>, T)>>,
    max_bytes: u64,
    appended: &mut Vec<(Vec<Payload>, T)>,
) -> Result<(), SpoolError> {
    let now = clock::now();
    Spool::write(home, Caller::Record, |writer| {
        if !consent.now().enabled {
            return Ok(());
        }
        while let Some((payloads, _)) = batches.peek() {
            writer.append(payloads)?;
            appended.extend(batches.next());
            let _ = writer.bound_size(now, max_bytes);
        }
        Ok(())
    })
}

/// Counts these scans; where the count can't be kept, an event is worth more than its hint.
fn scan_hints(home: &Home, scans: u64) -> impl Iterator<Item = Option<ScanFrequency>> {
    let counted = if scans == 0 {
        None
    } else {
        home.count_scans(scans).ok()
    };
    counted
        .into_iter()
        .flatten()
        .map(Some)
        .chain(std::iter::repeat(None))
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
        let ids = record(&home, &consent, vec![draft], u64::MAX).expect("does nothing");
        assert!(ids.is_empty());
        assert!(!home.dir().exists());
    }
}
