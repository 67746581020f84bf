//! Taking in what waits in `overflow.jsonl`.
//!
//! Each event is taken once: one whose commit only seemed to fail is in the database already, and so
//! is one whose import was killed before the file was emptied. Both are found by their `event_id`.
//! A line that is no event of this program's is set aside (`overflow.jsonl.corrupt`).

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use super::append::insert;
use super::overflow::{Held, Overflow};
use super::{SpoolError, Writer, ms};
use crate::event::Payload;
use crate::limits::RECORD_BATCH_EVENTS;

/// For errors of an import.
const OPERATION: &str = "import overflow.jsonl into";

impl Writer<'_> {
    /// Moves what waits in `overflow.jsonl` into the database. Gives the number of events that are
    /// new there. A file that is locked for longer than `wait` is left alone.
    ///
    /// # Errors
    /// When the file can't be read, or the events can't be added; then the file is as it was.
    pub(super) fn import_overflow(&mut self, wait: Duration) -> Result<usize, SpoolError> {
        match Overflow::of(&self.spool.home).hold(wait)? {
            Some(held) => self.import(held),
            None => Ok(0),
        }
    }

    /// The same, and sure of it: afterwards nobody is about to append who asked for consent before
    /// this.
    ///
    /// # Errors
    /// As above, and when another process keeps the file locked.
    pub(super) fn import_all_overflow(&mut self) -> Result<usize, SpoolError> {
        match Overflow::of(&self.spool.home).hold_surely()? {
            Some(held) => self.import(held),
            None => Ok(0),
        }
    }

    fn import(&mut self, mut held: Held) -> Result<usize, SpoolError> {
        let content = held.read()?;
        let (ours, others) = read_lines(&content);
        held.set_aside(&others)?;
        let fresh =
            without_known(&self.spool.connection, ours).map_err(self.spool.fail(OPERATION))?;
        for batch in fresh.chunks(RECORD_BATCH_EVENTS) {
            self.commit(OPERATION, |transaction| insert(transaction, batch))?;
        }
        held.empty()?;
        Ok(fresh.len())
    }
}

/// The events among the lines of a file, and the lines that are none.
fn read_lines(content: &[u8]) -> (Vec<Payload>, Vec<&[u8]>) {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for line in content.split(|byte| *byte == b'\n') {
        match std::str::from_utf8(line).ok().and_then(Payload::reread) {
            Some(payload) => ours.push(payload),
            None if line.is_empty() => {}
            None => others.push(line),
        }
    }
    (ours, others)
}

/// Leaves out events that the database has already, and repeated ones. This reads the whole table:
/// an index would cost every record something, and an import is rare.
fn without_known(
    connection: &Connection,
    mut payloads: Vec<Payload>,
) -> rusqlite::Result<Vec<Payload>> {
    let mut seen = HashSet::new();
    payloads.retain(|payload| seen.insert(payload.event_id()));
    let times = || payloads.iter().map(|payload| ms(payload.at()));
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Ok(payloads);
    };
    let mut known: HashSet<Uuid> = HashSet::new();
    // An event keeps the time of its stamp on either way.
    let mut statement =
        connection.prepare("SELECT payload FROM event WHERE recorded_at BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query([first, last])?;
    while let Some(row) = rows.next()? {
        let event_id = Payload::event_id_of(row.get_ref(0)?.as_str()?);
        if seen.contains(&event_id) {
            known.insert(event_id);
        }
    }
    payloads.retain(|payload| !known.contains(&payload.event_id()));
    Ok(payloads)
}
