//! Reconciling with what a destination holds, before anything is written there. A copy of this spool
//! (a golden image, a restored backup, a snapshot put back) may have written in the meantime: then a
//! segment that is still open here holds more there, and rows that wait here have arrived.
//!
//! A file is still ours when it is what we confirmed or sent last, or holds nothing but rows of its
//! segment. Any other is left to its writer: the segment is sealed, what of our rows is in it is
//! sent, and what is not waits again for a segment of another name. What is held here and is there
//! all the same is sent, too.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::attempts::remember;
use super::{Attempt, Spool, SpoolError, Writer, ledger, ms, stored};
use crate::destination::{RemoteFile, Seen, Target};
use crate::event::Payload;
use crate::limits::FLUSH_EVENTS;

/// What a flush wants to know before it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// The files that it may write again or delete.
    pub files: HashSet<String>,
    /// The events that it may send, those in these files, and those that are held.
    pub events: HashSet<Uuid>,
}

/// What came of a look at a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Events that were there already.
    pub arrived: usize,
    /// Whether what was to be written has to be put together anew.
    pub changed: bool,
}

/// The segments of a destination that may be written or deleted.
const UNSETTLED: &str = "destination = ?1
    AND (sealed = 0 OR stale = 1 OR id IN (SELECT DISTINCT segment FROM event WHERE state = 1))";

impl Spool {
    /// What has to be looked for at a destination before it is written.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn unsettled(&self, target: &Target) -> Result<Unsettled, SpoolError> {
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
    /// Takes note of what was seen at a destination, in one transaction for each file.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub fn reconcile(
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
            let there = There { file, now };
            arrived += self.commit(OPERATION, |transaction| {
                let segment = match segment_named(transaction, &destination, name)? {
                    Some(segment) => {
                        changed |= unsettled.files.contains(name)
                            && there.is_left_to_its_writer(transaction, &segment, &mut waiting)?;
                        segment.id
                    }
                    None => there.becomes_known(transaction, &destination, name)?,
                };
                there.arrives(transaction, segment, &mut waiting)
            })?;
        }
        // What can't be seen can't be known to be ours.
        for name in &seen.unread {
            let left = self.commit(OPERATION, |transaction| {
                leave(transaction, &destination, name)
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

/// Rows by the ids of their events.
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

/// A file as it is at the destination now.
struct There<'f> {
    file: &'f RemoteFile,
    now: DateTime<Utc>,
}

impl There<'_> {
    /// Seals a segment whose file is not ours any more; what is not in it waits again.
    fn is_left_to_its_writer(
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

    /// A file that another copy of this spool wrote under a name that is not known here.
    fn becomes_known(
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

    /// What waits here and is in the file is sent: to see it there is a proof.
    fn arrives(
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

/// Leaves a segment whose file is there and can't be seen: it takes no more. What this flush has
/// just put into it waits again; what was under way before is sent again as it was.
fn leave(connection: &Connection, destination: &str, name: &str) -> rusqlite::Result<usize> {
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
