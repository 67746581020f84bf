//! A spool that can't be understood any more: it is set aside, never deleted, and what can still be
//! read of it is carried over into a new one. The ledger goes on: events that can't be found again
//! are counted as dropped, `damaged`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params, params_from_iter};

use super::schema::Sharing;
use super::wal::checkpoint;
use super::{PAGE_BYTES, Spool, SpoolError, State};
use crate::event::Payload;
use crate::files;
use crate::home::{Home, HomeError, SpoolLock};

/// The files of one SQLite database, by what is added to its name.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// How often in a row nothing may be found before the rest is given up.
const PATIENCE: i64 = 4_000;

/// Everything but the events, copied row by row: table, columns.
const TABLES: [(&str, &str); 5] = [
    (
        "segment",
        "id, destination, name, sealed, stale, last_error, bytes, sha256, url, confirmed_at",
    ),
    (
        "destination",
        "name, failures, retry_at, wait_until, paused_at, configuration, noted_at, last_write_at",
    ),
    (
        "attempt",
        "id, at, destination, outcome, http_status, events, error",
    ),
    ("ledger", "entry, count"),
    ("overflow", "generation, bytes"),
];

const EVENT_COLUMNS: &str =
    "seq, state, attempts, segment, recorded_at, sent_at, last_error, payload";

/// What could be read of a damaged spool.
#[derive(Debug, Default)]
struct Found {
    events: Vec<Vec<Value>>,
    tables: Vec<Vec<Vec<Value>>>,
    /// The highest `seq` ever given, as far as it is known.
    recorded: i64,
}

impl Spool {
    /// Sets the database aside and starts a new one with what can be carried over.
    ///
    /// # Errors
    /// When it can't be set aside, or the new one can't be written.
    pub(super) fn rescue(
        home: &Home,
        lock: &SpoolLock,
        now: DateTime<Utc>,
    ) -> Result<(), SpoolError> {
        let aside = set_aside(home, now)?;
        let mut spool = Self::open(home, lock, Sharing::Shared)?;
        let found = read_what_is_left(&aside, home);
        spool
            .writer(lock)
            .commit("carry events over into", |transaction| {
                carry_over(transaction, &found)
            })
    }
}

/// Renames the database's files to `spool.db.corrupt-<time>`; gives the new path. The main file
/// goes last: after a kill in between it is still damaged, and set aside the next time.
fn set_aside(home: &Home, now: DateTime<Utc>) -> Result<PathBuf, HomeError> {
    let path = home.spool_db();
    let fail = |source| HomeError {
        operation: "set aside",
        path: path.clone(),
        source,
    };
    let stamp = now.format("%Y%m%dT%H%M%S%3fZ");
    // Two rescues in the same moment keep both.
    let name = |n: u32| {
        if n == 0 {
            String::new()
        } else {
            format!("-{n}")
        }
    };
    let aside = (0..)
        .map(|n| home.file(&format!("spool.db.corrupt-{stamp}{}", name(n))))
        .find(|aside| !aside.exists())
        .expect("names do not run out");
    for part in PARTS.iter().rev() {
        match fs::rename(with(&path, part), with(&aside, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    files::sync_dir(home.dir()).map_err(fail)?;
    Ok(aside)
}

fn with(path: &Path, part: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(part);
    PathBuf::from(name)
}

/// Reads whatever SQLite still understands. Nothing here can fail: less is found instead.
fn read_what_is_left(aside: &Path, home: &Home) -> Found {
    // A copy is read, so that the evidence stays as it was: opening a database with a WAL writes to
    // it.
    let Ok(scratch) = Scratch::of(aside) else {
        return Found::default();
    };
    let found = read(&scratch.path);
    if !found.events.is_empty() {
        return found;
    }
    // The first page leads to all others, and it is the same in every spool of this schema.
    match scratch.transplant_first_page(&home.spool_db()) {
        Ok(()) => read(&scratch.path),
        Err(_) => found,
    }
}

fn read(database: &Path) -> Found {
    let mut found = Found::default();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(connection) = Connection::open_with_flags(database, flags) else {
        return found;
    };
    // With a writable schema SQLite reads on where it would refuse a file that was cut.
    let _ = connection.execute_batch("PRAGMA writable_schema=ON");
    read_rows(
        &connection,
        "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
        |row| {
            if let Some(Value::Integer(seq)) = row.into_iter().next() {
                found.recorded = seq;
            }
        },
    );
    read_events(&connection, &mut found);
    for (table, columns) in TABLES {
        let mut rows = Vec::new();
        read_rows(
            &connection,
            &format!("SELECT {columns} FROM {table}"),
            |row| rows.push(row),
        );
        found.tables.push(rows);
    }
    found
}

/// Reads events by their number, first upwards and then downwards, so that what one way has to jump
/// over is met by the other.
fn read_events(connection: &Connection, found: &mut Found) {
    let mut events = BTreeMap::new();
    let last = if found.recorded > 0 {
        found.recorded
    } else {
        i64::MAX
    };
    read_events_from(connection, 1..=last, true, &mut events);
    let last = last.min(
        events
            .keys()
            .next_back()
            .copied()
            .unwrap_or(0)
            .saturating_add(PATIENCE),
    );
    read_events_from(connection, 1..=last, false, &mut events);
    found.events = events.into_values().collect();
}

/// Reads in one direction, and after each unreadable place looks for the next readable one: row by
/// row at first, then faster and faster.
fn read_events_from(
    connection: &Connection,
    mut range: RangeInclusive<i64>,
    upwards: bool,
    events: &mut BTreeMap<i64, Vec<Value>>,
) {
    let order = if upwards { "ASC" } else { "DESC" };
    let behind = |range: &RangeInclusive<i64>, step: i64| {
        if upwards {
            range.start().saturating_add(step)..=*range.end()
        } else {
            *range.start()..=range.end().saturating_sub(step)
        }
    };
    let mut misses = 0;
    while !range.is_empty() && misses < PATIENCE {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM event NOT INDEXED WHERE seq BETWEEN {} AND {} ORDER BY seq {order}",
            range.start(),
            range.end()
        );
        misses += 1;
        let complete = read_rows(connection, &sql, |row| {
            if let Some(Value::Integer(seq)) = row.first() {
                range = if upwards {
                    *seq..=*range.end()
                } else {
                    *range.start()..=*seq
                };
                range = behind(&range, 1);
                misses = 0;
                if is_an_event(&row) {
                    events.insert(*seq, row);
                }
            }
        });
        if complete {
            return;
        }
        range = behind(&range, 1 << (misses / 64).min(40));
    }
}

/// A flipped bit must not become an event: the payload has to be a line that this program wrote.
fn is_an_event(row: &[Value]) -> bool {
    match row {
        [
            Value::Integer(1..),
            Value::Integer(state),
            ..,
            Value::Text(payload),
        ] => State::stored(*state).is_some() && Payload::reread(payload).is_some(),
        _ => false,
    }
}

/// Hands rows over until the end (`true`) or the first that can't be read.
fn read_rows(connection: &Connection, sql: &str, mut each: impl FnMut(Vec<Value>)) -> bool {
    let Ok(mut statement) = connection.prepare(sql) else {
        return false;
    };
    let columns = statement.column_count();
    let Ok(mut rows) = statement.query([]) else {
        return false;
    };
    loop {
        match rows.next() {
            Ok(Some(row)) => match (0..columns).map(|column| row.get(column)).collect() {
                Ok(values) => each(values),
                Err(_) => continue,
            },
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn carry_over(connection: &Connection, found: &Found) -> rusqlite::Result<()> {
    for ((table, columns), rows) in TABLES.iter().zip(&found.tables) {
        insert(connection, table, columns, rows)?;
    }
    insert(connection, "event", EVENT_COLUMNS, &found.events)?;
    connection.execute_batch(
        // A row without its segment is on no way any more.
        "UPDATE event SET segment = NULL WHERE state IN (0, 3);
         UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment NOT IN (SELECT id FROM segment);
         UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment IS NULL;
         INSERT OR IGNORE INTO segment (id, destination, name, sealed)
             SELECT DISTINCT segment, '', 'lost-' || segment, 1 FROM event
             WHERE state = 2 AND segment IS NOT NULL AND segment NOT IN (SELECT id FROM segment);
         DELETE FROM event WHERE state = 2 AND segment IS NULL;",
    )?;
    seal_what_lost_rows(connection)?;
    settle(connection, found)
}

/// Rows that don't fit the schema are passed over; a flipped bit can make any.
fn insert(
    connection: &Connection,
    table: &str,
    columns: &str,
    rows: &[Vec<Value>],
) -> rusqlite::Result<()> {
    let places = vec!["?"; columns.split(',').count()].join(", ");
    let mut statement = connection.prepare(&format!(
        "INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"
    ))?;
    for row in rows {
        let _ = statement.execute(params_from_iter(row));
    }
    Ok(())
}

/// A segment whose confirmed rows are not all here must never be written again: its remote file has
/// them. What was under way in it goes another way; should it have arrived unseen, it will be there
/// twice, which is the lesser evil.
fn seal_what_lost_rows(connection: &Connection) -> rusqlite::Result<()> {
    const LOST: &str = "SELECT id FROM segment WHERE coalesce(bytes, 0) >
        (SELECT coalesce(sum(octet_length(payload) + 1), 0) FROM event WHERE segment = segment.id AND state = 2)";
    connection.execute(
        &format!(
            "UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment IN ({LOST})"
        ),
        [],
    )?;
    connection.execute(
        &format!("UPDATE segment SET sealed = 1, stale = 0 WHERE id IN ({LOST})"),
        [],
    )?;
    Ok(())
}

/// Makes the ledger whole again: what was recorded and is neither a row nor counted was lost with
/// the damage.
fn settle(connection: &Connection, found: &Found) -> rusqlite::Result<()> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    connection.execute("DELETE FROM ledger WHERE count < 0", [])?;
    let recorded = found
        .recorded
        .max(number("SELECT coalesce(max(seq), 0) FROM event")?);
    // Sent rows that are missing stay counted as sent; a count that is missing is made from the
    // rows.
    let sent_rows = number("SELECT count(*) FROM event WHERE state = 2")?;
    let sent = number("SELECT coalesce((SELECT count FROM ledger WHERE entry = 'sent'), 0)")?
        .max(sent_rows);
    for (entry, count) in [("sent", sent), ("forgotten", sent - sent_rows)] {
        connection.execute(
            "INSERT OR REPLACE INTO ledger (entry, count) VALUES (?1, ?2)",
            params![entry, count],
        )?;
    }
    let accounted = sent
        + number("SELECT count(*) FROM event WHERE state <> 2")?
        + number(
            "SELECT coalesce(sum(count), 0) FROM ledger WHERE entry = 'purged' OR entry LIKE 'dropped:%'",
        )?;
    super::ledger::count(
        connection,
        "dropped:damaged",
        usize::try_from(recorded - accounted).unwrap_or(0),
    )?;
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'event'", [])?;
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?1)",
        [recorded.max(accounted)],
    )?;
    Ok(())
}

/// A copy of a database, deleted when it is no longer needed.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn of(database: &Path) -> io::Result<Self> {
        let scratch = Self {
            path: with(database, ".reading"),
        };
        // Without the -shm: SQLite makes it anew from the WAL.
        for part in &PARTS[..2] {
            match fs::copy(with(database, part), with(&scratch.path, part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(scratch)
    }

    /// Replaces the first page by that of a healthy database of the same schema.
    fn transplant_first_page(&self, healthy: &Path) -> io::Result<()> {
        // The healthy one is new: what it has is in its WAL, so it is copied whole and written
        // back.
        let donor = Self::of(healthy)?;
        let connection =
            Connection::open_with_flags(&donor.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
                .map_err(io::Error::other)?;
        checkpoint(&connection).map_err(io::Error::other)?;
        drop(connection);
        let page = fs::read(&donor.path)?;
        let mut damaged = fs::read(&self.path)?;
        if page.len() < PAGE_BYTES || damaged.len() < PAGE_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        damaged[..PAGE_BYTES].copy_from_slice(&page[..PAGE_BYTES]);
        // The size in the header must be that of this file (https://sqlite.org/fileformat.html,
        // 1.3.8), and its free pages are unknown.
        let pages = u32::try_from(damaged.len() / PAGE_BYTES).unwrap_or(u32::MAX);
        damaged[28..32].copy_from_slice(&pages.to_be_bytes());
        damaged[32..40].fill(0);
        fs::write(&self.path, damaged)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for part in PARTS {
            let _ = fs::remove_file(with(&self.path, part));
        }
    }
}
