//! Copies everything that can still be read in a damaged database into a new one, row by row.
//! Memory is bounded, and every loop ends because the range that is left to read shrinks with each
//! step.

use std::ops::{ControlFlow, RangeInclusive};

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Statement, params_from_iter};

use super::{State, consistency};
use crate::clock::Deadline;
use crate::event::Payload;

/// After this many misses in a row the rest is given up.
const PATIENCE: u32 = 4_000;

/// After this many misses the distance to the next attempt doubles.
const MISSES_PER_STEP: u32 = 64;

/// All tables except the events.
const TABLES: [&str; 6] = [
    "segment",
    "destination",
    "attempt",
    "ledger",
    "clock",
    "sender",
];

/// Copies everything readable from `source`, a damaged database, into `target`, a new one. Returns
/// the number of events that were found.
///
/// # Errors
/// When the target can't be written, or `OperationInterrupted` when the deadline has passed.
/// Unreadable parts of the source are not an error; fewer events are found.
pub(super) fn copy(
    source: &Connection,
    target: &Connection,
    deadline: Deadline,
) -> rusqlite::Result<usize> {
    // With a writable schema SQLite also reads a truncated file, which it would refuse otherwise.
    let _ = source.execute_batch("PRAGMA writable_schema=ON");
    let recorded = source.query_row(
        "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
        [],
        |row| row.get(0),
    );
    let recorded = recorded.unwrap_or(0).max(0);
    for table in TABLES {
        copy_table(source, target, table, deadline)?;
    }
    let found = copy_events(source, target, recorded, deadline)?;
    consistency::restore(target, recorded)?;
    Ok(found)
}

/// The columns that both databases have: the damaged one may have an older schema.
fn columns(source: &Connection, target: &Connection, table: &str) -> Vec<String> {
    let of = |connection: &Connection| {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get(0))?;
        names.collect::<rusqlite::Result<Vec<String>>>()
    };
    let there = of(source).unwrap_or_default();
    let mut columns = of(target).unwrap_or_default();
    columns.retain(|column| there.contains(column));
    columns
}

fn insert_into(table: &str, columns: &[String]) -> String {
    let places = vec!["?"; columns.len()].join(", ");
    let columns = columns.join(", ");
    format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})")
}

fn copy_table(
    source: &Connection,
    target: &Connection,
    table: &str,
    deadline: Deadline,
) -> rusqlite::Result<()> {
    let columns = columns(source, target, table);
    if columns.is_empty() {
        return Ok(());
    }
    let mut insert = target.prepare(&insert_into(table, &columns))?;
    let Ok(mut select) = source.prepare(&format!("SELECT {} FROM {table}", columns.join(", ")))
    else {
        return Ok(());
    };
    let Ok(mut rows) = select.query([]) else {
        return Ok(());
    };
    while let Ok(Some(row)) = rows.next() {
        check_deadline(deadline)?;
        if let Ok(values) = values(row, columns.len()) {
            write(&mut insert, &values)?;
        }
    }
    Ok(())
}

/// Writes a row. Skips a row that violates the schema, as damage can produce any values.
fn write(insert: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    use rusqlite::ErrorCode::{ConstraintViolation, TypeMismatch};
    match insert.execute(params_from_iter(values)) {
        Err(error)
            if !matches!(
                error.sqlite_error_code(),
                Some(ConstraintViolation | TypeMismatch)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn values(row: &Row<'_>, columns: usize) -> rusqlite::Result<Vec<Value>> {
    (0..columns).map(|column| row.get(column)).collect()
}

fn check_deadline(deadline: Deadline) -> rusqlite::Result<()> {
    if deadline.passed() {
        let interrupted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
        return Err(rusqlite::Error::SqliteFailure(interrupted, None));
    }
    Ok(())
}

/// Copies events in the order of their number, first upwards. Around an unreadable part, reading
/// downwards from the next readable event may find events that reading upwards had to skip.
fn copy_events(
    source: &Connection,
    target: &Connection,
    recorded: i64,
    deadline: Deadline,
) -> rusqlite::Result<usize> {
    let columns = columns(source, target, "event");
    let (Some(seq), Some(state), Some(payload)) = (
        columns.iter().position(|column| column == "seq"),
        columns.iter().position(|column| column == "state"),
        columns.iter().position(|column| column == "payload"),
    ) else {
        return Ok(0);
    };
    let insert = target.prepare(&insert_into("event", &columns))?;
    let mut events = Events {
        source,
        insert,
        columns,
        places: [seq, state, payload],
        deadline,
        found: 0,
        newest: 0,
    };
    let last = if recorded > 0 { recorded } else { i64::MAX };
    for gap in events.copy(1..=last, Direction::Up)? {
        let end = (*gap.end()).min(
            events
                .newest
                .saturating_add(i64::from(PATIENCE))
                .max(recorded),
        );
        events.copy(*gap.start()..=end, Direction::Down)?;
    }
    Ok(events.found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// What remains of a range after skipping `step` numbers.
    fn skip(self, range: &RangeInclusive<i64>, step: i64) -> RangeInclusive<i64> {
        match self {
            Self::Up => range.start().saturating_add(step)..=*range.end(),
            Self::Down => *range.start()..=range.end().saturating_sub(step),
        }
    }

    /// What remains of a range after the number `seq` in it.
    fn after(self, range: &RangeInclusive<i64>, seq: i64) -> RangeInclusive<i64> {
        match self {
            Self::Up => seq.saturating_add(1)..=*range.end(),
            Self::Down => *range.start()..=seq.saturating_sub(1),
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Up => "ASC",
            Self::Down => "DESC",
        }
    }
}

/// The distance to the next attempt after this many misses: one row at first, then exponentially
/// more, so that the end of any range is reached.
fn step(misses: u32) -> i64 {
    1 << (misses / MISSES_PER_STEP).min(62)
}

/// The copying of events from one database to the other.
struct Events<'c> {
    source: &'c Connection,
    insert: Statement<'c>,
    columns: Vec<String>,
    /// The positions of `seq`, `state` and `payload` among the columns.
    places: [usize; 3],
    deadline: Deadline,
    found: usize,
    /// The highest number that was found.
    newest: i64,
}

impl Events<'_> {
    /// Copies a range of events in one direction. After an unreadable event, looks for the next
    /// readable one. Returns the ranges in which something could not be read (only when going
    /// upwards).
    fn copy(
        &mut self,
        range: RangeInclusive<i64>,
        direction: Direction,
    ) -> rusqlite::Result<Vec<RangeInclusive<i64>>> {
        let mut gaps = Vec::new();
        let mut gap = None;
        let mut left = range.clone();
        let mut misses = 0;
        while !left.is_empty() && misses < PATIENCE {
            let before = left.clone();
            let complete = self.copy_until_damage(&mut left, direction)?;
            if left != before {
                misses = 0;
                if let Some(start) = gap.take() {
                    // The first row of this run ends the gap. The gap is extended to the end of the
                    // run: reading a few rows again is cheaper than remembering the first.
                    gaps.push(start..=*left.start());
                }
            }
            if complete {
                break;
            }
            gap.get_or_insert(*left.start());
            left = direction.skip(&left, step(misses));
            misses += 1;
        }
        gaps.extend(gap.map(|start| start..=*range.end()));
        Ok(gaps)
    }

    /// Copies rows until the end of `left`, which returns `true`, or until one can't be read.
    /// Removes from `left` the part that was read.
    fn copy_until_damage(
        &mut self,
        left: &mut RangeInclusive<i64>,
        direction: Direction,
    ) -> rusqlite::Result<bool> {
        let sql = format!(
            "SELECT {} FROM event NOT INDEXED WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq {}",
            self.columns.join(", "),
            direction.sql()
        );
        let Ok(mut select) = self.source.prepare(&sql) else {
            return Ok(false);
        };
        let Ok(mut rows) = select.query([left.start(), left.end()]) else {
            return Ok(false);
        };
        loop {
            check_deadline(self.deadline)?;
            match rows.next() {
                Ok(Some(row)) => {
                    if self.copy_row(row, left, direction)?.is_break() {
                        return Ok(false);
                    }
                }
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Copies one row. Breaks at a row that is out of order, since the damaged tree may lead
    /// backwards or in a circle.
    fn copy_row(
        &mut self,
        row: &Row<'_>,
        left: &mut RangeInclusive<i64>,
        direction: Direction,
    ) -> rusqlite::Result<ControlFlow<()>> {
        let [seq, state, payload] = self.places;
        let Ok(number) = row.get::<_, i64>(seq) else {
            return Ok(ControlFlow::Break(()));
        };
        if !left.contains(&number) {
            return Ok(ControlFlow::Break(()));
        }
        *left = direction.after(left, number);
        let Ok(values) = values(row, self.columns.len()) else {
            return Ok(ControlFlow::Continue(()));
        };
        if is_an_event(&values[state], &values[payload]) {
            write(&mut self.insert, &values)?;
            self.found += 1;
            self.newest = self.newest.max(number);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Whether a row is an event and not the result of damage: its payload must be a line that this
/// program wrote.
fn is_an_event(state: &Value, payload: &Value) -> bool {
    match (state, payload) {
        (Value::Integer(state), Value::Text(payload)) => {
            State::stored(*state).is_some() && Payload::reread(payload).is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_search_for_readable_rows_always_ends(start in 1i64.., end in 1i64.., up: bool) {
            let direction = if up { Direction::Up } else { Direction::Down };
            let mut left = start..=end;
            let mut misses = 0;
            while !left.is_empty() && misses < PATIENCE {
                let shorter = direction.skip(&left, step(misses));
                prop_assert!(shorter.is_empty() || shorter.end() - shorter.start() < left.end() - left.start());
                left = shorter;
                misses += 1;
            }
            prop_assert!(left.is_empty());
        }

        #[test]
        fn the_rest_after_a_row_is_smaller_and_does_not_contain_it(start in any::<i64>(), length in 0i64..1000, at in 0i64..1000, up: bool) {
            let direction = if up { Direction::Up } else { Direction::Down };
            let range = start..=start.saturating_add(length);
            let seq = start.saturating_add(at.min(length));
            let left = direction.after(&range, seq);
            prop_assert!(seq == i64::MAX || seq == i64::MIN || !left.contains(&seq));
            prop_assert!(left.is_empty() || range.contains(left.start()) && range.contains(left.end()));
        }
    }
}
