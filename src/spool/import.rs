//! Importing the events that wait in `overflow.jsonl`.
//!
//! Each event is imported once. It may already be in the database, because its commit only seemed
//! to fail or because an import was killed before it emptied the file; such events are recognized
//! by their `event_id`. A line that this program did not write is set aside
//! (`overflow.jsonl.corrupt`).

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use super::append::insert;
use super::overflow::{LockedOverflow, Overflow};
use super::{SpoolError, Writer, ms};
use crate::event::Payload;
use crate::limits::RECORD_BATCH_EVENTS;

/// The operation named in errors.
const OPERATION: &str = "import overflow.jsonl into";

impl Writer<'_> {
    /// Moves the events of `overflow.jsonl` into the database. Returns how many of them are new
    /// there. A file that is locked for longer than `wait` is left alone.
    ///
    /// # Errors
    /// When the file can't be read or the events can't be added. The file is then unchanged.
    pub(super) fn import_overflow(&mut self, wait: Duration) -> Result<usize, SpoolError> {
        match Overflow::of(&self.spool.home).lock_unless_empty(wait)? {
            Some(overflow) => self.import(&overflow),
            None => Ok(0),
        }
    }

    /// The same, but takes the lock even when the file is empty. So afterwards no process can
    /// append events for which it checked consent before this.
    ///
    /// # Errors
    /// As above, and when another process keeps the file locked.
    pub(super) fn import_all_overflow(&mut self) -> Result<usize, SpoolError> {
        match Overflow::of(&self.spool.home).lock_even_if_empty()? {
            Some(overflow) => self.import(&overflow),
            None => Ok(0),
        }
    }

    fn import(&mut self, overflow: &LockedOverflow) -> Result<usize, SpoolError> {
        let content = overflow.read()?;
        let (ours, others) = read_lines(&content);
        overflow.set_aside(&others)?;
        let fresh =
            without_known(&self.spool.connection, ours).map_err(self.spool.fail(OPERATION))?;
        for batch in fresh.chunks(RECORD_BATCH_EVENTS) {
            self.commit(OPERATION, |transaction| insert(transaction, batch))?;
        }
        overflow.empty()?;
        Ok(fresh.len())
    }
}

/// Separates the lines of a file into events and other lines.
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

/// Leaves out repeated events and those that the database already has. This reads the whole table:
/// an index would slow down every `record`, and an import is rare.
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
    // An event has the same time whether it was added directly or imported, so only that period is
    // read.
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
