//! Keeping the spool bounded and honest: retention, deletion at the user's word, the ledger and its
//! check.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{Overflow, SetAside, Spool, SpoolError, State, Writer, access, ms, repair, time};
use crate::event::Payload;
use crate::files;
use crate::home::Home;
use crate::limits::{RETENTION_STEP_PAGES, RETENTION_STEP_ROWS};
use crate::spool::retention::{self, ClockMemory, Cutoffs};

/// What was deleted, in events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Not sent: pending, sending and held.
    pub unsent: usize,
    /// Sent rows; they stay counted as sent.
    pub sent: usize,
}

impl std::ops::AddAssign for Deleted {
    fn add_assign(&mut self, other: Self) {
        self.unsent += other.unsent;
        self.sent += other.sent;
    }
}

/// What became of events that were added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// The `seq` of the first of them; the others follow.
    pub first: i64,
    /// How many unsent events, of these or of earlier ones, had to go because the spool is full.
    pub dropped: usize,
    /// They went from the oldest up to this `seq`; 0 when none went.
    pub dropped_up_to: i64,
}

/// What `spool check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whether everything is as it should be.
    pub ok: bool,
    /// What is not, a sentence each.
    pub problems: Vec<String>,
    /// Whether the database itself is damaged.
    #[serde(skip)]
    pub damaged: bool,
}

/// Where there is no spool, nothing is wrong with it.
impl Default for Check {
    fn default() -> Self {
        Self {
            ok: true,
            problems: Vec::new(),
            damaged: false,
        }
    }
}

/// Verifies the spool of a home, and says what is damaged, set aside or lost. A damaged database is
/// repaired.
///
/// # Errors
/// When there is a spool and it can't be opened or read.
pub fn check(home: &Home) -> Result<Check, SpoolError> {
    let quarantined = home.quarantined();
    let lost_before = access::without_repair(home, lost).unwrap_or(0);
    let mut check = Spool::read(home, Spool::check)?;
    if check.damaged {
        access::repair_unless_done(home, &quarantined)?;
    }
    let mut set_aside = home.quarantined();
    set_aside.retain(|name| !quarantined.contains(name));
    if !set_aside.is_empty() {
        let lost = Spool::read(home, lost)?.saturating_sub(lost_before);
        check.problems.push(format!(
            "the database was damaged and set aside as `{}`; {lost} events were lost, the others carried over into a new one",
            set_aside.join("`, `")
        ));
    }
    if let Some(SetAside { path, lines, torn }) = Overflow::of(home).set_aside()
        && lines > torn
    {
        check.problems.push(format!(
            "{} lines of overflow.jsonl are no events of this program and were set aside in `{}`; delete that file once you have looked at it",
            lines - torn,
            path.display()
        ));
    }
    check.ok = check.problems.is_empty();
    Ok(check)
}

/// Events that were lost with a damaged database.
fn lost(spool: &Spool) -> Result<u64, SpoolError> {
    spool.ledger("dropped:damaged").map_err(spool.fail(CHECK))
}

/// For errors of a check.
const CHECK: &str = "check";

/// Adds to an entry of the ledger.
pub(super) fn count(connection: &Connection, entry: &str, events: usize) -> rusqlite::Result<()> {
    if events > 0 {
        connection.execute(
            "INSERT INTO ledger (entry, count) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            params![entry, i64::try_from(events).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}

/// Takes back from an entry of the ledger.
pub(super) fn uncount(connection: &Connection, entry: &str, events: usize) -> rusqlite::Result<()> {
    if events > 0 {
        connection.execute(
            "UPDATE ledger SET count = count - ?2 WHERE entry = ?1",
            params![entry, i64::try_from(events).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}

/// For errors of retention.
const PRUNE: &str = "prune";

impl Writer<'_> {
    /// Deletes what the user does not want to be sent, wherever it waits: pending, sending and held
    /// rows and the overflow, and with `all` the sent rows too. Deleted means gone from every file
    /// of the spool.
    ///
    /// # Errors
    /// When the database can't be written, or a reader holds on to what it contained before.
    pub fn purge(&mut self, all: bool) -> Result<Deleted, SpoolError> {
        self.import_all_overflow()?;
        repair::delete_leftovers(&self.spool.home)?;
        // It may hold events that were never sent.
        self.spool.home.delete_rejected_overflow()?;
        let fail = self.spool.fail("purge");
        match self.purge_rows(all).map_err(fail)? {
            (deleted, true) => Ok(deleted),
            (_, false) => Err(SpoolError::locked(self.spool.home.spool_db())),
        }
    }

    /// What was deleted, and whether it is gone from the files.
    fn purge_rows(&mut self, all: bool) -> rusqlite::Result<(Deleted, bool)> {
        let deleted = self.in_transaction(|transaction| {
            let unsent = transaction.execute("DELETE FROM event WHERE state <> 2", [])?;
            count(transaction, "purged", unsent)?;
            let mut sent = 0;
            if all {
                sent = transaction.execute("DELETE FROM event WHERE state = 2", [])?;
                count(transaction, "forgotten", sent)?;
                // Their files must never be written again: what they hold is not here any more.
                transaction.execute("UPDATE segment SET sealed = 1, stale = 0", [])?;
            }
            Ok(Deleted { unsent, sent })
        })?;
        // Rows leave their bytes in free pages and in the WAL; this removes both.
        self.spool.connection.execute_batch("VACUUM")?;
        Ok((deleted, self.checkpoint()?))
    }

    /// Applies retention: age and number first, then the size limit; gives space back to the file
    /// system. Gives the number of rows that went.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn prune(&mut self, now: DateTime<Utc>, max_bytes: u64) -> Result<Deleted, SpoolError> {
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

    /// Adds events and keeps the file under its limit, for a writer in a hurry: looks at the size
    /// of the file alone.
    ///
    /// # Errors
    /// When nothing was added.
    pub fn append_bounded(
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
            // Where that fails, the events are safe, and the next writer tries again.
            appended.dropped = self.prune(now, max_bytes).map_or(0, |gone| gone.unsent);
        }
        if appended.dropped > 0 {
            let oldest = self.spool.connection.query_row(
                "SELECT min(seq) FROM event WHERE state = 0",
                [],
                |row| row.get::<_, Option<i64>>(0),
            );
            // The events are added: nothing after that may say that they are not.
            appended.dropped_up_to = oldest.map_or(0, |seq| seq.map_or(last, |seq| seq - 1));
        }
        Ok(appended)
    }

    /// A step at a time, as everything here: that bounds the WAL.
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

/// Begins to remember the clock, in a new spool.
pub(super) fn start_clock(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR IGNORE INTO clock (id, believed) VALUES (1, ?1)",
            [ms(now)],
        )
        .map(drop)
}

/// Remembers this reading of the clock, and gives the time by which rows expire.
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

/// Sent rows that may go: of sealed segments with nothing under way. The others' files are written
/// again, whole.
const SETTLED: &str = "state = 2 AND (segment IS NULL OR segment IN
    (SELECT id FROM segment WHERE sealed = 1 AND stale = 0 AND id NOT IN (SELECT DISTINCT segment FROM event WHERE state = 1)))";

/// Deletes some of what is too old or too much; nothing when there is nothing left of that.
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
    Ok(Deleted { unsent, sent })
}

/// Frees some of so many bytes: sent rows first, then the oldest pending ones.
fn shrink(connection: &Connection, excess: &mut u64) -> rusqlite::Result<Deleted> {
    let sent = delete_oldest(connection, SETTLED, excess)?;
    count(connection, "forgotten", sent)?;
    let unsent = if sent == 0 {
        delete_oldest(connection, "state = 0", excess)?
    } else {
        0
    };
    count(connection, "dropped:spool_full", unsent)?;
    Ok(Deleted { unsent, sent })
}

/// What a row takes beside its payload, in bytes: its numbers and its entries in the indexes.
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

    /// Verifies the database and the conservation law (docs/design.md, P6): what was recorded is pending,
    /// sending, sent, held, dropped or purged, where `recorded` is the highest `seq` ever given and
    /// the rest are rows and counted deletions.
    ///
    /// # Errors
    /// When the database can't be read at all.
    fn check(&self) -> Result<Check, SpoolError> {
        let mut problems = self.damage().map_err(self.fail(CHECK))?;
        let damaged = !problems.is_empty();
        problems.extend(self.strays().map_err(self.fail(CHECK))?);
        let stats = self.stats()?;
        let accounted = stats.pending
            + stats.sending
            + stats.sent
            + stats.held
            + stats.dropped_total()
            + stats.purged;
        if stats.recorded != accounted {
            problems.push(format!(
                "{} events were recorded, but {accounted} are accounted for",
                stats.recorded
            ));
        }
        let rows = self.count_rows(State::Sent).map_err(self.fail(CHECK))?;
        let forgotten = self.ledger("forgotten").map_err(self.fail(CHECK))?;
        if stats.sent != rows + forgotten {
            problems.push(format!(
                "{} events were sent, but {rows} rows and {forgotten} forgotten ones are known",
                stats.sent
            ));
        }
        Ok(Check {
            ok: problems.is_empty(),
            problems,
            damaged,
        })
    }

    /// What SQLite finds wrong with its own structures.
    fn damage(&self) -> rusqlite::Result<Vec<String>> {
        let mut problems = Vec::new();
        let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                problems.push(format!("the database is damaged: {line}"));
            }
        }
        Ok(problems)
    }

    /// Events whose state does not fit their segment.
    fn strays(&self) -> rusqlite::Result<Option<String>> {
        let stray: i64 = self.connection.query_row(
            "SELECT count(*) FROM event WHERE (state IN (1, 2)) <> (segment IS NOT NULL)
             OR (segment IS NOT NULL AND segment NOT IN (SELECT id FROM segment))",
            [],
            |row| row.get(0),
        )?;
        Ok((stray > 0)
            .then(|| format!("{stray} events have a state that does not fit their segment")))
    }

    /// An entry of the ledger.
    pub(super) fn ledger(&self, entry: &str) -> rusqlite::Result<u64> {
        let count = self.connection.query_row(
            "SELECT count FROM ledger WHERE entry = ?1",
            [entry],
            |row| row.get(0),
        );
        Ok(count.optional()?.unwrap_or(0))
    }
}
