//! Delivery: pending rows → segments → confirmed or given back. Each step is one short transaction,
//! in an order that a kill at any point leaves safe: rows are assigned, durably, before their
//! segment is sent, and `sent` only after the proof. `flush.lock` makes sure that there is one
//! deliverer.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use uuid::Uuid;

use super::assign::BatchBuilder;
pub use super::assign::BatchLimits;
use super::{Spool, SpoolError, Writer, ms, time};
use crate::destination::retry::{LastFailure, RetryState};
use crate::destination::segment::{Batch, Receipt, SegmentFile};
use crate::destination::{Capabilities, Target};
use crate::limits::ATTEMPTS_KEPT;

/// One try to deliver, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When.
    pub at: DateTime<Utc>,
    /// Where to.
    pub destination: String,
    /// `sent`, or what stopped it.
    pub outcome: String,
    /// The answer's status, if there was one.
    pub http_status: Option<u16>,
    /// Events that it confirmed.
    pub sent: usize,
    /// What went wrong.
    pub error: Option<String>,
}

/// What became of a segment whose content was refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Halved {
    /// Half of its events stay in it for the next try, or none; the others wait again.
    Smaller,
    /// Its one event, with this `seq`, is held.
    Held(i64),
    /// There was nothing new in it.
    #[default]
    Settled,
}

impl Writer<'_> {
    /// Takes back what other destinations did not confirm. Their segments stay open and are marked
    /// stale, as what they hold remotely is not known: they are written again, or deleted, should
    /// that destination come back.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub fn reassign(&mut self, target: &Target) -> Result<(), SpoolError> {
        let destination = target.to_string();
        self.commit("reassign unconfirmed events in", |transaction| {
            reassign_rows(transaction, &destination)
        })
    }

    /// Puts the next request together: first the segments whose upload is not confirmed, then
    /// pending rows, oldest first, into the open segment and new ones after it, whose names are not
    /// `taken`. Afterwards every row in it is `sending`.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub fn assign(
        &mut self,
        target: &Target,
        limits: BatchLimits,
        taken: &HashSet<String>,
    ) -> Result<Batch, SpoolError> {
        const OPERATION: &str = "assign events in";
        let destination = target.to_string();
        let mut builder = BatchBuilder::start(&self.spool.connection, &destination, limits, taken)
            .map_err(self.spool.fail(OPERATION))?;
        // One transaction for each segment: that bounds the WAL.
        while self.commit(OPERATION, |transaction| builder.step(transaction))? {}
        Ok(builder.batch)
    }

    /// The files that a flush of everything would write, by the same steps, undone afterwards.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn preview(
        &mut self,
        target: Option<&Target>,
        limit: usize,
    ) -> Result<Vec<SegmentFile>, SpoolError> {
        let fail = self.spool.fail("preview");
        let nothing_taken = HashSet::new();
        // Without a destination the files are those of any new one.
        let destination = target.map(Target::to_string).unwrap_or_default();
        let capabilities = target.map_or(Capabilities::USUAL, Target::capabilities);
        let mut preview = || {
            let transaction = self
                .spool
                .connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            reassign_rows(&transaction, &destination)?;
            let limits = BatchLimits {
                segments: usize::MAX,
                events: limit,
                destination: capabilities,
            };
            let mut builder =
                BatchBuilder::start(&transaction, &destination, limits, &nothing_taken)?;
            while builder.step(&transaction)? {}
            let batch = builder.batch;
            transaction.rollback()?;
            Ok(batch.files)
        };
        preview().map_err(fail)
    }

    /// Marks a batch `sent` and stores its receipts, in one transaction for each segment, and the
    /// attempt with the last. Gives the number of events confirmed by it.
    ///
    /// # Errors
    /// When the database can't be written; then what was not marked is sent again, as the same
    /// files.
    pub fn confirm(
        &mut self,
        target: &Target,
        batch: &Batch,
        receipts: &[Receipt],
        now: DateTime<Utc>,
        http_status: Option<u16>,
    ) -> Result<usize, SpoolError> {
        const OPERATION: &str = "confirm events in";
        let destination = target.to_string();
        let files: Vec<_> = batch.files.iter().zip(receipts).collect();
        let (others, last) = files.split_at(files.len().saturating_sub(1));
        let mut sent = 0;
        for (file, receipt) in others {
            sent += self.commit(OPERATION, |transaction| {
                confirm_file(transaction, file, receipt, now)
            })?;
        }
        self.commit(OPERATION, |transaction| {
            for (file, receipt) in last {
                sent += confirm_file(transaction, file, receipt, now)?;
            }
            for name in &batch.stale {
                transaction.execute(
                    "DELETE FROM segment WHERE destination = ?1 AND name = ?2",
                    [&destination, name],
                )?;
            }
            set_retry_state(transaction, &destination, &RetryState::after_success(now))?;
            let attempt = Attempt {
                at: now,
                destination: destination.clone(),
                outcome: "sent".to_owned(),
                http_status,
                sent,
                error: None,
            };
            remember(transaction, &attempt)?;
            Ok(sent)
        })
    }

    /// Remembers an attempt that confirmed nothing: what it was, when the destination may be tried
    /// again, and the reason on each row of the batch. With `give_back` the rows are `pending` again,
    /// else they stay in their segments.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn failed(
        &mut self,
        target: &Target,
        batch: &Batch,
        attempt: &Attempt,
        retry: &RetryState,
        give_back: bool,
    ) -> Result<(), SpoolError> {
        self.commit("note a failed upload in", |transaction| {
            for file in &batch.files {
                transaction.execute(
                    "UPDATE segment SET last_error = ?2 WHERE id = ?1",
                    params![file.id, attempt.error],
                )?;
                if give_back {
                    release(transaction, file.id, 0)?;
                    // An earlier try of the same rows may have arrived; should they end up
                    // elsewhere, this file must go.
                    mark_stale(transaction, file.id)?;
                }
            }
            set_retry_state(transaction, &target.to_string(), retry)?;
            remember(transaction, attempt)
        })
    }

    /// After the destination rejected the content of one segment: halves what is unconfirmed in it,
    /// and keeps `at_most` so many.
    /// A last event gets a segment to itself, since it may be the size of the others that was
    /// refused; refused there, it is held.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn halve(
        &mut self,
        file: &SegmentFile,
        at_most: usize,
        error: &str,
    ) -> Result<Halved, SpoolError> {
        self.commit("halve a refused segment in", |transaction| match (file.unconfirmed, file.events) {
            // It was to be made right, and the destination keeps what it has.
            (0, _) => settle(transaction, file.id).map(|()| Halved::Settled),
            (1, 1) => {
                let seq = transaction.query_row(
                    "SELECT seq FROM event WHERE segment = ?1 AND state = 1",
                    [file.id],
                    |row| row.get(0),
                )?;
                transaction.execute(
                    "UPDATE event SET state = 3, segment = NULL, last_error = ?2 WHERE segment = ?1 AND state = 1",
                    params![file.id, error],
                )?;
                reopen(transaction, file.id)?;
                // Should an earlier try of it have arrived, it must not stay there.
                mark_stale(transaction, file.id).map(|()| Halved::Held(seq))
            }
            (unconfirmed, _) => {
                let kept = (unconfirmed / 2).min(at_most);
                release(transaction, file.id, kept)?;
                if kept == 0 {
                    // The same; and it is to go into another segment.
                    settle(transaction, file.id)?;
                    mark_stale(transaction, file.id)?;
                }
                Ok(Halved::Smaller)
            }
        })
    }

    /// Puts held events back to `pending`: one, or all. Gives their number.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn retry(&mut self, seq: Option<i64>) -> Result<usize, SpoolError> {
        self.commit("put held events back in", |transaction| {
            transaction.execute(
                "UPDATE event SET state = 0, attempts = 0, last_error = NULL WHERE state = 3 AND (?1 IS NULL OR seq = ?1)",
                [seq],
            )
        })
    }

    /// Forgets the files at a destination, which were deleted there, and the rows that were sent in
    /// them; what was not confirmed waits again. Gives the number of sent rows.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn forget_files(&mut self, destination: &str) -> Result<usize, SpoolError> {
        self.commit("forget the files of", |transaction| {
            const OF_IT: &str = "segment IN (SELECT id FROM segment WHERE destination = ?1)";
            transaction.execute(
                &format!("UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND {OF_IT}"),
                [destination],
            )?;
            let sent =
                transaction.execute(&format!("DELETE FROM event WHERE {OF_IT}"), [destination])?;
            super::ledger::count(transaction, "forgotten", sent)?;
            transaction.execute("DELETE FROM segment WHERE destination = ?1", [destination])?;
            Ok(sent)
        })
    }

    /// Stores when a destination may be tried again.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn store_retry_state(
        &mut self,
        target: &Target,
        retry: &RetryState,
    ) -> Result<(), SpoolError> {
        set_retry_state(&self.spool.connection, &target.to_string(), retry)
            .map_err(self.spool.fail("note a wait in"))
    }
}

impl Spool {
    /// When a destination may be tried again, and what it last answered.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn retry_state(&self, target: &Target) -> Result<RetryState, SpoolError> {
        let state = self.connection.query_row(
            "SELECT failures, retry_at, wait_until, paused_at, paused_for, configuration, noted_at, last_write_at,
                    http_status, reason, advice
             FROM destination WHERE name = ?1",
            [target.to_string()],
            |row| {
                let at = |column: usize| -> rusqlite::Result<_> {
                    Ok(row.get::<_, Option<i64>>(column)?.map(time))
                };
                let failure = |reason| {
                    Ok::<_, rusqlite::Error>(LastFailure {
                        http_status: row.get(8)?,
                        reason,
                        advice: row.get(10)?,
                    })
                };
                Ok(RetryState {
                    failures: row.get(0)?,
                    retry_at: at(1)?,
                    wait_until: at(2)?,
                    paused_at: at(3)?,
                    paused_for: row.get::<_, Option<u64>>(4)?.map(Duration::from_secs),
                    fingerprint: row.get(5)?,
                    noted_at: at(6)?,
                    last_write_at: at(7)?,
                    failure: row.get::<_, Option<String>>(9)?.map(failure).transpose()?,
                })
            },
        );
        Ok(state
            .optional()
            .map_err(self.fail("read"))?
            .unwrap_or_default())
    }

    /// This spool's files, by destination.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn remote_files(&self) -> Result<Vec<(String, Vec<String>)>, SpoolError> {
        let read = || {
            let mut files: Vec<(String, Vec<String>)> = Vec::new();
            let mut statement = self
                .connection
                .prepare("SELECT destination, name FROM segment ORDER BY destination, id")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (destination, name) = (row.get(0)?, row.get(1)?);
                match files.last_mut() {
                    Some((last, names)) if *last == destination => names.push(name),
                    _ => files.push((destination, vec![name])),
                }
            }
            Ok(files)
        };
        read().map_err(self.fail("read the files of"))
    }

    /// The ids that the events of these files carry, as far as the events are still here.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn anonymous_ids(&self, destination: &str) -> Result<Vec<Uuid>, SpoolError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT DISTINCT payload ->> 'anonymous_id' FROM event
                 WHERE segment IN (SELECT id FROM segment WHERE destination = ?1)",
            )?;
            let ids = statement.query_map([destination], |row| row.get::<_, String>(0))?;
            ids.collect::<rusqlite::Result<Vec<_>>>()
        };
        let ids = read().map_err(self.fail("read the ids of"))?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// The last attempts, newest first; of one destination or of all.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn attempts(
        &self,
        target: Option<&Target>,
        limit: u32,
    ) -> Result<Vec<Attempt>, SpoolError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT at, destination, outcome, http_status, events, error FROM attempt
                 WHERE ?1 IS NULL OR destination = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let destination = target.map(Target::to_string);
            let attempts = statement.query_map(params![destination, limit], |row| {
                Ok(Attempt {
                    at: time(row.get(0)?),
                    destination: row.get(1)?,
                    outcome: row.get(2)?,
                    http_status: row.get(3)?,
                    sent: row.get(4)?,
                    error: row.get(5)?,
                })
            })?;
            attempts.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail("read the attempts of"))
    }
}

/// Stores the receipt of one segment: its rows are sent, but for those that the destination did not
/// take, which are held. Gives the number of rows that are sent.
fn confirm_file(
    connection: &Connection,
    file: &SegmentFile,
    receipt: &Receipt,
    now: DateTime<Utc>,
) -> rusqlite::Result<usize> {
    let lines = if receipt.rejected.is_empty() {
        Vec::new()
    } else {
        rows_of(connection, file.id)?
    };
    for rejected in &receipt.rejected {
        connection.execute(
            "UPDATE event SET state = 3, segment = NULL, last_error = ?2 WHERE seq = ?1 AND state = 1",
            params![lines.get(rejected.line), rejected.reason],
        )?;
    }
    let sent = connection.execute(
        "UPDATE event SET state = 2, sent_at = ?2, last_error = NULL WHERE segment = ?1 AND state = 1",
        params![file.id, ms(now)],
    )?;
    connection.execute(
        "UPDATE segment SET stale = 0, attempted = NULL, last_error = NULL, bytes = ?2, sha256 = ?3, url = ?4, confirmed_at = ?5 WHERE id = ?1",
        params![file.id, stored(receipt.bytes), receipt.sha256, receipt.url, ms(now)],
    )?;
    super::ledger::count(connection, "sent", sent)?;
    Ok(sent)
}

/// The rows of a segment in the order of its lines.
fn rows_of(connection: &Connection, segment: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        connection.prepare("SELECT seq FROM event WHERE segment = ?1 ORDER BY seq")?;
    let rows = statement.query_map([segment], |row| row.get(0))?;
    rows.collect()
}

/// Gives back the unconfirmed rows of a segment beyond the first `kept`, and opens it for others.
fn release(connection: &Connection, segment: i64, kept: usize) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE event SET state = 0, last_error = (SELECT last_error FROM segment WHERE id = ?1), segment = NULL WHERE seq IN
         (SELECT seq FROM event WHERE segment = ?1 AND state = 1 ORDER BY seq LIMIT -1 OFFSET ?2)",
        params![segment, stored(kept)],
    )?;
    reopen(connection, segment)
}

fn reopen(connection: &Connection, segment: i64) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE segment SET sealed = 0 WHERE id = ?1", [segment])
        .map(|_| ())
}

/// What the remote file of a segment holds is not known: it is to be written again, or deleted when
/// nothing is left of it.
fn mark_stale(connection: &Connection, segment: i64) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE segment SET stale = 1 WHERE id = ?1", [segment])
        .map(|_| ())
}

/// Leaves a segment as its file is.
fn settle(connection: &Connection, segment: i64) -> rusqlite::Result<()> {
    connection
        .execute(
            "UPDATE segment SET sealed = 1, stale = 0 WHERE id = ?1",
            [segment],
        )
        .map(|_| ())
}

/// Gives back what other destinations than this one did not confirm.
fn reassign_rows(connection: &Connection, destination: &str) -> rusqlite::Result<()> {
    const FOREIGN: &str =
        "destination <> ?1 AND id IN (SELECT DISTINCT segment FROM event WHERE state = 1)";
    let find = format!("SELECT 1 FROM segment WHERE {FOREIGN} LIMIT 1");
    if connection
        .query_row(&find, [destination], |_| Ok(()))
        .optional()?
        .is_none()
    {
        return Ok(());
    }
    connection.execute(
        &format!("UPDATE segment SET sealed = 0, stale = 1 WHERE {FOREIGN}"),
        [destination],
    )?;
    connection.execute(
        "UPDATE event SET state = 0, segment = NULL,
                last_error = (SELECT last_error FROM segment WHERE id = event.segment)
         WHERE state = 1 AND segment IN (SELECT id FROM segment WHERE destination <> ?1)",
        [destination],
    )?;
    Ok(())
}

fn set_retry_state(
    connection: &Connection,
    destination: &str,
    retry: &RetryState,
) -> rusqlite::Result<()> {
    let failure = retry.failure.as_ref();
    connection
        .execute(
            "INSERT OR REPLACE INTO destination
             (name, failures, retry_at, wait_until, paused_at, paused_for, configuration, noted_at, last_write_at,
              http_status, reason, advice)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                destination,
                retry.failures,
                retry.retry_at.map(ms),
                retry.wait_until.map(ms),
                retry.paused_at.map(ms),
                retry.paused_for.map(|pause| pause.as_secs()),
                retry.fingerprint,
                retry.noted_at.map(ms),
                retry.last_write_at.map(ms),
                failure.and_then(|failure| failure.http_status),
                failure.map(|failure| &failure.reason),
                failure.and_then(|failure| failure.advice.as_ref()),
            ],
        )
        .map(|_| ())
}

pub(super) fn remember(connection: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO attempt (at, destination, outcome, http_status, events, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            ms(attempt.at),
            attempt.destination,
            attempt.outcome,
            attempt.http_status,
            stored(attempt.sent),
            attempt.error
        ],
    )?;
    connection.execute(
        "DELETE FROM attempt WHERE id <= ?1 - ?2",
        params![connection.last_insert_rowid(), ATTEMPTS_KEPT],
    )?;
    Ok(())
}

/// A size as SQLite stores it.
pub(super) fn stored(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
