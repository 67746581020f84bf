//! Building a request: which segments it contains, and which rows go into them.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::IgnoredAny;

use crate::destination::Capabilities;
use crate::destination::segment::{self, Batch, SegmentFile};
use crate::event::Payload;

/// How much may go into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchLimits {
    /// The most segments.
    pub(crate) segments: usize,
    /// The most events that are not confirmed yet.
    pub(crate) events: usize,
    /// The destination's limits for each segment.
    pub(crate) destination: Capabilities,
}

/// A segment that may change or whose upload is not confirmed.
struct Unfinished {
    id: i64,
    name: String,
    sealed: bool,
    stale: bool,
}

/// Builds a request: unconfirmed segments first, oldest first, then pending rows as far as the
/// limits allow. When a step is committed, its rows are `sending`.
pub(super) struct BatchBuilder<'d> {
    destination: &'d str,
    limits: BatchLimits,
    /// Names of segments that other files at the destination already have.
    taken: &'d HashSet<String>,
    unfinished: std::vec::IntoIter<Unfinished>,
    /// The request so far.
    pub(super) batch: Batch,
}

impl<'d> BatchBuilder<'d> {
    pub(super) fn start(
        connection: &Connection,
        destination: &'d str,
        limits: BatchLimits,
        taken: &'d HashSet<String>,
        aside: &BTreeSet<i64>,
    ) -> rusqlite::Result<Self> {
        let mut unfinished = unfinished(connection, destination)?;
        unfinished.retain(|segment| !aside.contains(&segment.id));
        Ok(Self {
            destination,
            limits,
            taken,
            unfinished: unfinished.into_iter(),
            batch: Batch::default(),
        })
    }

    /// Adds one segment; `false` when the request is complete.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.batch.files.len() == self.limits.segments {
            return Ok(false);
        }
        if let Some(segment) = self.unfinished.next() {
            let file = fill(connection, &segment, &mut self.limits)?;
            if file.unconfirmed > 0 || (segment.stale && file.events > 0) {
                self.note(connection, &file)?;
                self.batch.files.push(file);
            } else if segment.stale {
                self.batch.stale.push(file.name);
            }
            return Ok(true);
        }
        if self.limits.events == 0 {
            return Ok(false);
        }
        let Some(segment) = start_segment(connection, self.destination, self.taken)? else {
            return Ok(false);
        };
        let file = fill(connection, &segment, &mut self.limits)?;
        self.note(connection, &file)?;
        self.batch.files.push(file);
        Ok(true)
    }

    /// Stores what must be known of a segment before it is sent.
    fn note(&self, connection: &Connection, file: &SegmentFile) -> rusqlite::Result<()> {
        // Where files can be looked at, `forget` deletes them by name.
        if !self.limits.destination.can_look {
            note_senders(connection, self.destination, file)?;
        }
        note_attempt(connection, file)
    }
}

/// Stores the anonymous ids in what is about to be sent, for `forget` (see [`super::remote`]).
fn note_senders(
    connection: &Connection,
    destination: &str,
    file: &SegmentFile,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR IGNORE INTO sender (destination, anonymous_id)
             SELECT DISTINCT ?1, payload ->> 'anonymous_id' FROM event WHERE segment = ?2",
            params![destination, file.id],
        )
        .map(|_| ())
}

/// First the segments with `sending` rows, oldest first, so that rows that may have arrived already
/// are confirmed before anything new is sent. Then the open segment.
fn unfinished(connection: &Connection, destination: &str) -> rusqlite::Result<Vec<Unfinished>> {
    let mut statement = connection.prepare(
        "SELECT id, name, sealed, stale FROM segment WHERE destination = ?1
         AND (sealed = 0 OR stale = 1 OR id IN (SELECT DISTINCT segment FROM event WHERE state = 1))
         ORDER BY id NOT IN (SELECT DISTINCT segment FROM event WHERE state = 1), id",
    )?;
    let segments = statement.query_map([destination], |row| {
        Ok(Unfinished {
            id: row.get(0)?,
            name: row.get(1)?,
            sealed: row.get(2)?,
            stale: row.get(3)?,
        })
    })?;
    segments.collect()
}

/// Starts a segment for the oldest pending event, if there is one.
fn start_segment(
    connection: &Connection,
    destination: &str,
    taken: &HashSet<String>,
) -> rusqlite::Result<Option<Unfinished>> {
    let first = connection
        .query_row(
            "SELECT payload FROM event WHERE state = 0 ORDER BY seq LIMIT 1",
            [],
            |row| row.get::<_, String>(0),
        )
        .optional()?;
    let Some(first) = first else { return Ok(None) };
    let event_id = Payload::event_id_of(&first);
    for nth in 0.. {
        let name = segment::name(event_id, nth);
        if taken.contains(&name) {
            continue;
        }
        let made = connection.execute(
            "INSERT INTO segment (destination, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            [destination, &name],
        )?;
        if made == 1 {
            let id = connection.last_insert_rowid();
            return Ok(Some(Unfinished {
                id,
                name,
                sealed: false,
                stale: false,
            }));
        }
    }
    Ok(None)
}

/// Reads a whole segment. Moves pending rows into it while it is open and the limits allow.
fn fill(
    connection: &Connection,
    segment: &Unfinished,
    limits: &mut BatchLimits,
) -> rusqlite::Result<SegmentFile> {
    let mut file = read_segment(connection, segment)?;
    limits.events = limits.events.saturating_sub(file.unconfirmed);
    if file.unconfirmed > 0 {
        connection.execute(
            "UPDATE event SET attempts = attempts + 1 WHERE segment = ?1 AND state = 1",
            [segment.id],
        )?;
    }
    if segment.sealed {
        return Ok(file);
    }
    let Some((first, last)) = take_pending(connection, segment, &mut file, limits)? else {
        return Ok(file);
    };
    if !limits.destination.segments_grow {
        seal(connection, segment.id)?;
    }
    // Pending rows were read oldest first and without gaps, so these are all pending rows up to the
    // last one read.
    connection.execute(
        "UPDATE event SET state = 1, segment = ?1, attempts = attempts + 1 WHERE state = 0 AND seq <= ?2",
        params![segment.id, last],
    )?;
    // Events that were given back can be older than those in the segment, but a file must have its
    // events in order.
    let newest_before = connection.query_row(
        "SELECT max(seq) FROM event WHERE segment = ?1 AND seq NOT BETWEEN ?2 AND ?3",
        [segment.id, first, last],
        |row| row.get::<_, Option<i64>>(0),
    )?;
    if newest_before.is_some_and(|seq| seq > first) {
        read_segment(connection, segment)
    } else {
        Ok(file)
    }
}

/// Stores the hash of what is about to be sent, so that the file is recognized even if the answer
/// is lost.
fn note_attempt(connection: &Connection, file: &SegmentFile) -> rusqlite::Result<()> {
    let sha256 = segment::sha256(file.content.as_bytes());
    // The last twenty hashes are enough, because each flush looks before it sends.
    connection
        .execute(
            "UPDATE segment SET attempted = substr(coalesce(attempted, '') || ' ' || ?2, -1300)
             WHERE id = ?1 AND instr(coalesce(attempted, ''), ?2) = 0",
            params![file.id, sha256],
        )
        .map(|_| ())
}

fn read_segment(connection: &Connection, segment: &Unfinished) -> rusqlite::Result<SegmentFile> {
    let mut file = SegmentFile {
        id: segment.id,
        name: segment.name.clone(),
        content: String::new(),
        events: 0,
        unconfirmed: 0,
    };
    let mut statement =
        connection.prepare("SELECT payload, state FROM event WHERE segment = ?1 ORDER BY seq")?;
    let mut rows = statement.query([segment.id])?;
    while let Some(row) = rows.next()? {
        add(&mut file, row)?;
        file.unconfirmed += usize::from(row.get::<_, i64>(1)? == 1);
    }
    Ok(file)
}

/// Adds pending rows to the file, oldest first, and seals the segment when the next row does not
/// fit. Returns the first and the last `seq` that were added.
fn take_pending(
    connection: &Connection,
    segment: &Unfinished,
    file: &mut SegmentFile,
    limits: &mut BatchLimits,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut added: Option<(i64, i64)> = None;
    let mut statement =
        connection.prepare("SELECT payload, seq FROM event WHERE state = 0 ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while limits.events > 0
        && let Some(row) = rows.next()?
    {
        let payload = row.get_ref(0)?.as_str()?.len();
        if !segment::has_room_for(
            file.content.len(),
            file.events,
            payload,
            &limits.destination,
        ) {
            seal(connection, segment.id)?;
            break;
        }
        add(file, row)?;
        file.unconfirmed += 1;
        limits.events -= 1;
        let seq = row.get(1)?;
        added = Some((added.map_or(seq, |(first, _)| first), seq));
    }
    Ok(added)
}

fn seal(connection: &Connection, segment: i64) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE segment SET sealed = 1 WHERE id = ?1", [segment])
        .map(|_| ())
}

/// Adds the payload of a row. A payload that is not JSON was damaged on the disk and must not be sent.
fn add(file: &mut SegmentFile, row: &Row<'_>) -> rusqlite::Result<()> {
    let payload = row.get_ref(0)?.as_str()?;
    serde_json::from_str::<IgnoredAny>(payload)
        .map_err(|error| FromSqlConversionFailure(0, Type::Text, error.into()))?;
    file.content.push_str(payload);
    file.content.push('\n');
    file.events += 1;
    Ok(())
}
