//! Keeping the spool bounded: retention by age, number and size, in steps that keep the WAL small.
//! `retention.rs` decides what may be deleted.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::ledger::count;
use super::purge::Deleted;
use super::retention::{self, ClockMemory, Cutoffs};
use super::{Spool, SpoolError, Writer, ms, time};
use crate::event::Payload;
use crate::files;
use crate::limits::{RETENTION_STEP_PAGES, RETENTION_STEP_ROWS};

/// What became of events that were added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The `seq` of the first of them; the others follow.
    pub(crate) first: i64,
    /// How many unsent events, new or old, were dropped because the spool is full.
    pub(crate) dropped: usize,
    /// Everything up to this `seq` was dropped, oldest first; 0 when nothing was.
    pub(crate) dropped_up_to: i64,
}

/// The operation named in errors.
const PRUNE: &str = "prune";

impl Writer<'_> {
    /// Applies retention: age and number first, then the size limit. Gives free space back to the
    /// file system. Returns the number of deleted rows.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn prune(
        &mut self,
        now: DateTime<Utc>,
        max_bytes: u64,
    ) -> Result<Deleted, SpoolError> {
        let believed = self.commit(PRUNE, |transaction| read_clock(transaction, now))?;
        let cutoffs = retention::cutoffs(believed);
        let mut deleted = Deleted::default();
        loop {
            let step = self.commit(PRUNE, |transaction| expire(transaction, &cutoffs))?;
            if step == Deleted::default() {
                break;
            }
            deleted += step;
        }
        let bytes = self.spool.bytes_in_use().map_err(self.spool.fail(PRUNE))?;
        let mut excess = retention::excess(bytes, max_bytes);
        while excess > 0 {
            let step = self.commit(PRUNE, |transaction| shrink(transaction, &mut excess))?;
            if step == Deleted::default() {
                break;
            }
            deleted += step;
        }
        if deleted != Deleted::default() {
            self.give_space_back()?;
        }
        Ok(deleted)
    }

    /// Adds events and keeps the file under its size limit. Quick, because it looks only at the
    /// size of the file.
    ///
    /// # Errors
    /// When nothing was added.
    pub(crate) fn append_bounded(
        &mut self,
        payloads: &[Payload],
        now: DateTime<Utc>,
        max_bytes: u64,
    ) -> Result<Appended, SpoolError> {
        self.append(payloads)?;
        let last = self.spool.connection.last_insert_rowid();
        let count = i64::try_from(payloads.len()).unwrap_or(i64::MAX);
        let mut appended = Appended {
            first: last - count + 1,
            ..Appended::default()
        };
        if files::size_of(&self.spool.home.spool_db()) > max_bytes {
            // If that fails, the events are safe, and the next writer tries again.
            appended.dropped = self.prune(now, max_bytes).map_or(0, |gone| gone.unsent);
        }
        if appended.dropped > 0 {
            let oldest = self.spool.connection.query_row(
                "SELECT min(seq) FROM event WHERE state = 0",
                [],
                |row| row.get::<_, Option<i64>>(0),
            );
            // The events have been added, so no later error may be reported.
            appended.dropped_up_to = oldest.map_or(0, |seq| seq.map_or(last, |seq| seq - 1));
        }
        Ok(appended)
    }

    /// In steps, like everything here, to bound the WAL.
    fn give_space_back(&mut self) -> Result<(), SpoolError> {
        let vacuum = format!("PRAGMA incremental_vacuum({RETENTION_STEP_PAGES})");
        let free = |connection: &Connection| {
            connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u64>(0))
        };
        let mut left = u64::MAX;
        loop {
            let now_free = self.commit(PRUNE, |transaction| {
                let mut steps = transaction.prepare(&vacuum)?;
                let mut rows = steps.query([])?;
                while rows.next()?.is_some() {}
                free(transaction)
            })?;
            if now_free == 0 || now_free >= left {
                break;
            }
            left = now_free;
        }
        self.checkpoint()
            .map(|_| ())
            .map_err(self.spool.fail(PRUNE))
    }
}

/// Stores the first reading of the clock in a new spool.
pub(super) fn start_clock(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR IGNORE INTO clock (id, believed) VALUES (1, ?1)",
            [ms(now)],
        )
        .map(drop)
}

/// Stores this reading of the clock. Returns the time to use for expiry.
fn read_clock(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<DateTime<Utc>> {
    let known = connection
        .query_row("SELECT believed, doubted FROM clock", [], |row| {
            Ok(ClockMemory {
                believed: time(row.get(0)?),
                doubted: row.get::<_, Option<i64>>(1)?.map(time),
            })
        })
        .optional()?;
    let memory = known.unwrap_or(ClockMemory::starting_at(now)).after(now);
    if known != Some(memory) {
        connection.execute(
            "INSERT OR REPLACE INTO clock (id, believed, doubted) VALUES (1, ?1, ?2)",
            params![ms(memory.believed), memory.doubted.map(ms)],
        )?;
    }
    Ok(memory.believed)
}

/// Sent rows that may be deleted: those in sealed segments without unconfirmed rows. The files of
/// the other segments will be written again as a whole.
const SETTLED: &str = "state = 2 AND (segment IS NULL OR segment IN
    (SELECT id FROM segment WHERE sealed = 1 AND stale = 0 AND id NOT IN (SELECT DISTINCT segment FROM event WHERE state = 1)))";

/// Deletes a limited number of rows that are too old or too many. Returns zero when none are left.
fn expire(connection: &Connection, cutoffs: &Cutoffs) -> rusqlite::Result<Deleted> {
    let keep = i64::try_from(cutoffs.sent_rows).unwrap_or(i64::MAX);
    let newest_kept = connection
        .query_row(
            "SELECT seq FROM event WHERE state = 2 ORDER BY seq DESC LIMIT 1 OFFSET ?1",
            [keep],
            |row| row.get::<_, i64>(0),
        )
        .optional()?
        .unwrap_or(-1);
    let sent = connection.execute(
        &format!(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM event
             WHERE {SETTLED} AND (sent_at < ?1 OR seq <= ?2) ORDER BY seq LIMIT {RETENTION_STEP_ROWS})"
        ),
        params![ms(cutoffs.sent_before), newest_kept],
    )?;
    count(connection, "forgotten", sent)?;
    let unsent = connection.execute(
        &format!(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM event
             WHERE state = 0 AND recorded_at < ?1 ORDER BY seq LIMIT {RETENTION_STEP_ROWS})"
        ),
        [ms(cutoffs.pending_before)],
    )?;
    count(connection, "dropped:expired", unsent)?;
    Ok(Deleted {
        unsent,
        sent,
        ..Deleted::default()
    })
}

/// Frees part of `excess` bytes: sent rows first, then the oldest pending ones.
fn shrink(connection: &Connection, excess: &mut u64) -> rusqlite::Result<Deleted> {
    let sent = delete_oldest(connection, SETTLED, excess)?;
    count(connection, "forgotten", sent)?;
    let unsent = if sent == 0 {
        delete_oldest(connection, "state = 0", excess)?
    } else {
        0
    };
    count(connection, "dropped:spool_full", unsent)?;
    Ok(Deleted {
        unsent,
        sent,
        ..Deleted::default()
    })
}

/// The bytes that a row takes in addition to its payload: its numbers and its index entries.
const ROW_COST: usize = 64;

fn delete_oldest(connection: &Connection, which: &str, left: &mut u64) -> rusqlite::Result<usize> {
    let mut last = None;
    let mut statement = connection.prepare(&format!(
        "SELECT seq, octet_length(payload) + {ROW_COST} FROM event WHERE {which} ORDER BY seq LIMIT {RETENTION_STEP_ROWS}"
    ))?;
    let mut rows = statement.query([])?;
    while *left > 0
        && let Some(row) = rows.next()?
    {
        last = Some(row.get::<_, i64>(0)?);
        *left = left.saturating_sub(row.get(1)?);
    }
    drop(rows);
    let Some(last) = last else { return Ok(0) };
    connection.execute(
        &format!("DELETE FROM event WHERE {which} AND seq <= ?1"),
        [last],
    )
}

impl Spool {
    /// Bytes of the database that are not free pages.
    pub(super) fn bytes_in_use(&self) -> rusqlite::Result<u64> {
        let number = |pragma: &str| {
            self.connection
                .query_row(pragma, [], |row| row.get::<_, u64>(0))
        };
        Ok(
            (number("PRAGMA page_count")? - number("PRAGMA freelist_count")?)
                * number("PRAGMA page_size")?,
        )
    }
}
