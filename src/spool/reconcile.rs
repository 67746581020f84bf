//! Reconciling the spool with what a destination holds, before anything is written there. A copy of
//! this spool (from a golden image, a restored backup, a reverted snapshot) may have written there
//! in the meantime. Then the remote file of an open segment may hold more events than the segment,
//! and rows that wait here may already have arrived.
//!
//! A file is still ours when it is what was last confirmed or sent here, or contains only rows of
//! its segment. Any other file is left to its writer: the segment is sealed, its rows that are in
//! the file are sent, and the others wait again for a segment with another name. An event that is
//! held here but present in a remote file is sent, too.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::attempts::remember;
use super::{Attempt, Spool, SpoolError, Writer, ledger, ms, stored};
use crate::destination::{RemoteFile, Seen, Target};
use crate::event::Payload;
use crate::limits::FLUSH_EVENTS;

/// What a flush looks for at a destination before it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unsettled {
    /// The files that it may write again or delete.
    pub(crate) files: HashSet<String>,
    /// The events that it may send, those in these files, and those that are held.
    pub(crate) events: HashSet<Uuid>,
}

/// The result of looking at a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// The number of waiting events that had already arrived.
    pub(crate) arrived: usize,
    /// Whether the request must be built again.
    pub(crate) changed: bool,
}

/// The segments of a destination that may be written or deleted.
const UNSETTLED: &str = "destination = ?1
    AND (sealed = 0 OR stale = 1 OR id IN (SELECT DISTINCT segment FROM event WHERE state = 1))";

impl Spool {
    /// What to look for at a destination before anything is written there.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) fn unsettled(&self, target: &Target) -> Result<Unsettled, SpoolError> {
        let destination = target.to_string();
        let read = || {
            let files = self
                .connection
                .prepare(&format!("SELECT name FROM segment WHERE {UNSETTLED}"))?
                .query_map([&destination], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let events = self
                .connection
                .prepare(&format!(
                    "SELECT payload FROM event WHERE state IN (0, 3) OR segment IN (SELECT id FROM segment WHERE {UNSETTLED})
                     ORDER BY seq LIMIT {FLUSH_EVENTS}"
                ))?
                .query_map([&destination], |row| {
                    Ok(Payload::event_id_of(row.get_ref(0)?.as_str()?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Unsettled { files, events })
        };
        read().map_err(self.fail("read what waits in"))
    }
}

impl Writer<'_> {
    /// Updates the spool with what was seen at a destination, in one transaction per file.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub(crate) fn reconcile(
        &mut self,
        target: &Target,
        unsettled: &Unsettled,
        seen: &Seen,
        now: DateTime<Utc>,
        http_status: Option<u16>,
    ) -> Result<Reconciled, SpoolError> {
        const OPERATION: &str = "reconcile";
        let destination = target.to_string();
        let mut waiting = if seen.files.is_empty() {
            HashMap::new()
        } else {
            let connection = &self.spool.connection;
            rows(connection, "state <> 2", []).map_err(self.spool.fail(OPERATION))?
        };
        let mut arrived = 0;
        let mut changed = false;
        for (name, file) in &seen.files {
            let seen = FileSeen { file, now };
            arrived += self.commit(OPERATION, |transaction| {
                let segment = match segment_named(transaction, &destination, name)? {
                    Some(segment) => {
                        changed |= unsettled.files.contains(name)
                            && seen.leave_to_its_writer(transaction, &segment, &mut waiting)?;
                        segment.id
                    }
                    None => seen.add_segment(transaction, &destination, name)?,
                };
                seen.mark_arrived(transaction, segment, &mut waiting)
            })?;
        }
        // A file that can't be read can't be recognized as ours.
        for name in &seen.unread {
            let left = self.commit(OPERATION, |transaction| {
                seal_unreadable(transaction, &destination, name)
            })?;
            changed |= left > 0;
        }
        if arrived > 0 {
            let attempt = Attempt {
                at: now,
                destination,
                outcome: "sent".to_owned(),
                http_status,
                sent: arrived,
                error: None,
            };
            self.commit(OPERATION, |transaction| remember(transaction, &attempt))?;
        }
        Ok(Reconciled {
            arrived,
            changed: changed || arrived > 0,
        })
    }
}

struct Segment {
    id: i64,
    confirmed: Option<String>,
    attempted: Option<String>,
}

fn segment_named(
    connection: &Connection,
    destination: &str,
    name: &str,
) -> rusqlite::Result<Option<Segment>> {
    let found = connection.query_row(
        "SELECT id, sha256, attempted FROM segment WHERE destination = ?1 AND name = ?2",
        [destination, name],
        |row| {
            Ok(Segment {
                id: row.get(0)?,
                confirmed: row.get(1)?,
                attempted: row.get(2)?,
            })
        },
    );
    found.optional()
}

/// Rows by event id.
type Rows = HashMap<Uuid, SegmentRow>;

struct SegmentRow {
    seq: i64,
    sent: bool,
}

fn rows(
    connection: &Connection,
    which: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(&format!(
        "SELECT payload, seq, state = 2 FROM event WHERE {which}"
    ))?;
    let rows = statement.query_map(params, |row| {
        let id = Payload::event_id_of(row.get_ref(0)?.as_str()?);
        let row = SegmentRow {
            seq: row.get(1)?,
            sent: row.get(2)?,
        };
        Ok((id, row))
    })?;
    rows.collect()
}

/// A file of the destination as it was just seen.
struct FileSeen<'f> {
    file: &'f RemoteFile,
    now: DateTime<Utc>,
}

impl FileSeen<'_> {
    /// Seals the segment if its file is not ours any more. Its rows that are not in the file wait
    /// again. Returns whether that was so.
    fn leave_to_its_writer(
        &self,
        connection: &Connection,
        segment: &Segment,
        waiting: &mut Rows,
    ) -> rusqlite::Result<bool> {
        let rows = rows(connection, "segment = ?1", [segment.id])?;
        let (confirmed, attempted) = (segment.confirmed.as_deref(), segment.attempted.as_deref());
        if self
            .file
            .is_still_ours(confirmed, attempted, |id| rows.contains_key(id))
        {
            return Ok(false);
        }
        let there: HashSet<_> = self.file.events.iter().collect();
        let mut no_longer_sent = 0;
        for (id, row) in rows {
            if there.contains(&id) {
                continue;
            }
            connection.execute(
                "UPDATE event SET state = 0, segment = NULL, sent_at = NULL WHERE seq = ?1",
                [row.seq],
            )?;
            no_longer_sent += usize::from(row.sent);
            waiting.insert(id, SegmentRow { sent: false, ..row });
        }
        ledger::uncount(connection, "sent", no_longer_sent)?;
        let receipt = &self.file.receipt;
        connection.execute(
            "UPDATE segment SET sealed = 1, stale = 0, attempted = NULL, last_error = NULL, bytes = ?2,
                    sha256 = ?3, url = ?4, confirmed_at = ?5
             WHERE id = ?1",
            params![
                segment.id,
                stored(receipt.bytes),
                receipt.sha256,
                receipt.url,
                ms(self.now)
            ],
        )?;
        Ok(true)
    }

    /// Adds a sealed segment for a file that another copy of this spool wrote under a name that is
    /// unknown here.
    fn add_segment(
        &self,
        connection: &Connection,
        destination: &str,
        name: &str,
    ) -> rusqlite::Result<i64> {
        let receipt = &self.file.receipt;
        connection.execute(
            "INSERT INTO segment (destination, name, sealed, bytes, sha256, url, confirmed_at)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6)",
            params![
                destination,
                name,
                stored(receipt.bytes),
                receipt.sha256,
                receipt.url,
                ms(self.now)
            ],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// Marks waiting rows that are in the file as sent: seeing them there is a proof.
    fn mark_arrived(
        &self,
        connection: &Connection,
        segment: i64,
        waiting: &mut Rows,
    ) -> rusqlite::Result<usize> {
        let mut arrived = 0;
        for row in self.file.events.iter().filter_map(|id| waiting.remove(id)) {
            connection.execute(
                "UPDATE event SET state = 2, segment = ?2, sent_at = ?3, last_error = NULL WHERE seq = ?1",
                params![row.seq, segment, ms(self.now)],
            )?;
            arrived += 1;
        }
        if arrived > 0 {
            let receipt = &self.file.receipt;
            connection.execute(
                "UPDATE segment SET bytes = ?2, sha256 = ?3, url = ?4, confirmed_at = ?5 WHERE id = ?1",
                params![segment, stored(receipt.bytes), receipt.sha256, receipt.url, ms(self.now)],
            )?;
        }
        ledger::count(connection, "sent", arrived)?;
        Ok(arrived)
    }
}

/// Seals a segment whose file exists but can't be read. Rows that this flush has just put into it
/// wait again. Rows that were being sent before are sent again as they were.
fn seal_unreadable(
    connection: &Connection,
    destination: &str,
    name: &str,
) -> rusqlite::Result<usize> {
    const OPEN: &str = "destination = ?1 AND name = ?2 AND sealed = 0 AND confirmed_at IS NOT NULL";
    connection.execute(
        &format!(
            "UPDATE event SET state = 0, segment = NULL, attempts = 0
             WHERE state = 1 AND attempts <= 1 AND segment IN (SELECT id FROM segment WHERE {OPEN})"
        ),
        [destination, name],
    )?;
    connection.execute(
        &format!("UPDATE segment SET sealed = 1 WHERE {OPEN}"),
        [destination, name],
    )
}
