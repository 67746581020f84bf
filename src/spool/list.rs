//! Reading the spool: listing rows, and statistics.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::value::RawValue;

use super::overflow::Overflow;
use super::{Spool, SpoolError, State, time};
use crate::event::Payload;
use crate::files::size_of;
use crate::home::Home;

/// One event of the spool, with the names and the order of `spool list --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its number; never used twice.
    pub seq: i64,
    /// The event's own id.
    pub event_id: String,
    /// Its name.
    pub event: String,
    /// Its state.
    pub state: State,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// When the destination confirmed it.
    pub sent_at: Option<DateTime<Utc>>,
    /// The number of requests that contained it until it was confirmed.
    pub attempts: u32,
    /// The remote file.
    pub segment: Option<String>,
    /// The destination.
    pub destination: Option<String>,
    /// Why it is held, or why its last request failed.
    pub last_error: Option<String>,
    /// The payload, byte for byte.
    pub payload: Box<RawValue>,
    /// The receipt of the file, once it is confirmed.
    #[serde(skip)]
    pub(crate) receipt: Option<crate::destination::segment::Receipt>,
}

/// Which rows to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only this event.
    pub event: Option<String>,
    /// At most this many, the newest ones.
    pub limit: Option<u32>,
    /// Only the event with this number.
    pub seq: Option<i64>,
}

/// The operation named in errors.
const LIST: &str = "list";

/// The statistics, with the names and the order of `spool stats --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Events that ever entered the spool.
    pub recorded: u64,
    /// Rows that wait for a flush.
    pub pending: u64,
    /// Rows in a segment that is not confirmed.
    pub sending: u64,
    /// Events ever confirmed, including those whose row has been deleted.
    pub sent: u64,
    /// Rows that the destination rejected.
    pub held: u64,
    /// Events that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Unsent events that the user deleted.
    pub purged: u64,
    /// Size of the database and its WAL.
    pub bytes: u64,
    /// Events in `overflow.jsonl`, not yet recorded here.
    pub overflow: u64,
}

impl Stats {
    /// Events that can still be confirmed: pending and sending.
    #[must_use]
    pub(crate) fn waiting(&self) -> u64 {
        self.pending + self.sending
    }

    /// All events that were dropped.
    #[must_use]
    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }
}

/// Rows per read transaction. A thousand of them take a few milliseconds and a few hundred KiB.
const PAGE_ROWS: u32 = 1_000;

/// Lists the rows of a home's spool, oldest first, and passes each to `show`. The rows are read in
/// pages, each in a short transaction of its own, so that a slow caller (a pager) does not block
/// writers. If damage is found on the way, the database is repaired and the list goes on after the
/// last row shown.
///
/// ```
/// use jmo_telemetry::home::Home;
/// use jmo_telemetry::spool::{Filter, SpoolError, State, list};
///
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// let home = Home::at(dir.path());
/// let waiting = Filter { state: Some(State::Pending), ..Filter::default() };
/// let mut lines = Vec::new();
/// list::<SpoolError>(&home, &waiting, |row| {
///     lines.push(row.payload.get().to_owned());
///     Ok(())
/// })?;
/// assert!(lines.is_empty(), "nothing was recorded here");
/// # Ok::<(), SpoolError>(())
/// ```
///
/// # Errors
/// When there is a spool and it can't be opened or read, or when `show` fails.
pub fn list<E: From<SpoolError>>(
    home: &Home,
    filter: &Filter,
    mut show: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), E> {
    let Some(mut range) = Spool::read(home, |spool| spool.range(filter))? else {
        return Ok(());
    };
    loop {
        let page = Spool::read(home, |spool| spool.page(filter, &range))?;
        let Some(last) = page.last().map(|row| row.seq) else {
            return Ok(());
        };
        page.into_iter().try_for_each(&mut show)?;
        if last >= *range.end() {
            return Ok(());
        }
        range = last + 1..=*range.end();
    }
}

impl Spool {
    /// The range of `seq` to list. Events recorded after this are not listed. The newest rows are
    /// searched backwards and shown forwards.
    fn range(&self, filter: &Filter) -> Result<Option<RangeInclusive<i64>>, SpoolError> {
        if let Some(seq) = filter.seq {
            return Ok(Some(seq..=seq));
        }
        let find = || {
            let newest = self
                .connection
                .query_row("SELECT max(seq) FROM event", [], |row| {
                    row.get::<_, Option<i64>>(0)
                })?;
            let Some(newest) = newest else {
                return Ok(None);
            };
            let oldest = match filter.limit {
                Some(limit) => self.nth_newest(filter, limit)?.unwrap_or(0),
                None => 0,
            };
            Ok(Some(oldest..=newest))
        };
        find().map_err(self.fail(LIST))
    }

    fn nth_newest(&self, filter: &Filter, nth: u32) -> rusqlite::Result<Option<i64>> {
        // Two statements: with a state, the index finds the newest rows at once; without one, the
        // table does.
        let sql = if filter.state.is_some() {
            "SELECT seq FROM event WHERE state = ?1 AND (?2 IS NULL OR payload LIKE ?2) ORDER BY seq DESC LIMIT 1 OFFSET ?3"
        } else {
            "SELECT seq FROM event WHERE ?1 IS NULL AND (?2 IS NULL OR payload LIKE ?2) ORDER BY seq DESC LIMIT 1 OFFSET ?3"
        };
        let parameters = params![filter.state(), filter.pattern(), nth.saturating_sub(1)];
        self.connection
            .query_row(sql, parameters, |row| row.get(0))
            .optional()
    }

    /// The first rows of a range.
    fn page(&self, filter: &Filter, range: &RangeInclusive<i64>) -> Result<Vec<Row>, SpoolError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT seq, state, recorded_at, sent_at, attempts, name, destination,
                        coalesce(CASE state WHEN 1 THEN segment.last_error END, event.last_error), payload,
                        bytes, sha256, url
                 FROM event LEFT JOIN segment ON segment.id = event.segment
                 WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR payload LIKE ?4)
                 ORDER BY seq LIMIT ?5",
            )?;
            let parameters = params![
                range.start(),
                range.end(),
                filter.state(),
                filter.pattern(),
                PAGE_ROWS
            ];
            let rows = statement.query_map(parameters, read_row)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail(LIST))
    }

    /// Counts and sizes.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn stats(&self) -> Result<Stats, SpoolError> {
        // One read transaction, so that all numbers belong to the same moment.
        let _moment = self
            .connection
            .unchecked_transaction()
            .map_err(self.fail("count"))?;
        self.stats_of_the_moment()
    }

    /// The same, in the caller's transaction.
    pub(super) fn stats_of_the_moment(&self) -> Result<Stats, SpoolError> {
        let overflow = Overflow::of(&self.home).waiting();
        let counts = || {
            let recorded = self
                .connection
                .query_row(
                    "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
                    [],
                    |row| row.get(0),
                )
                .optional()?
                .unwrap_or(0);
            let mut dropped = BTreeMap::new();
            let mut statement = self.connection.prepare(
                "SELECT substr(entry, 9), count FROM ledger WHERE entry LIKE 'dropped:%'",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                dropped.insert(row.get(0)?, row.get(1)?);
            }
            Ok(Stats {
                recorded,
                pending: self.count_rows(State::Pending)?,
                sending: self.count_rows(State::Sending)?,
                sent: self.ledger("sent")?,
                held: self.count_rows(State::Held)?,
                dropped,
                purged: self.ledger("purged")?,
                bytes: size_of(&self.home.spool_db()) + size_of(&self.home.spool_wal()),
                overflow,
            })
        };
        counts().map_err(self.fail("count"))
    }

    /// The number of rows in a state, from the index alone.
    pub(super) fn count_rows(&self, state: State) -> rusqlite::Result<u64> {
        self.connection.query_row(
            "SELECT count(*) FROM event WHERE state = ?1",
            [state as i64],
            |row| row.get(0),
        )
    }
}

impl Filter {
    fn state(&self) -> Option<i64> {
        self.state.map(|state| state as i64)
    }

    /// The pattern that payloads of this event match. A payload starts with the event's name, so
    /// there is no column for it.
    fn pattern(&self) -> Option<String> {
        self.event
            .as_ref()
            .map(|event| format!("{{\"event\":\"{event}\",%"))
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let payload: String = row.get(8)?;
    let state = State::stored(row.get(1)?)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(1, row.get(1)?))?;
    let receipt = match (state, row.get(9)?, row.get(10)?, row.get(11)?) {
        (State::Sent, Some(bytes), Some(sha256), Some(url)) => {
            Some(crate::destination::segment::Receipt {
                bytes,
                sha256,
                url,
                rejected: Vec::new(),
            })
        }
        _ => None,
    };
    Ok(Row {
        seq: row.get(0)?,
        event_id: Payload::event_id_of(&payload).to_string(),
        event: payload
            .strip_prefix("{\"event\":\"")
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default()
            .to_owned(),
        state,
        recorded_at: time(row.get(2)?),
        sent_at: row.get::<_, Option<i64>>(3)?.map(time),
        attempts: row.get(4)?,
        segment: row.get(5)?,
        destination: row.get(6)?,
        last_error: row.get(7)?,
        payload: RawValue::from_string(payload).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(8, rusqlite::types::Type::Text, error.into())
        })?,
        receipt,
    })
}
