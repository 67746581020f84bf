//! Delivery: pending rows are assigned to segments and are then confirmed or given back. Each step
//! is one short transaction, and a kill at any point does no harm: rows are assigned, durably,
//! before their segment is sent, and they become `sent` only after the proof. `flush.lock` makes
//! sure that only one process delivers.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::assign::BatchBuilder;
pub(crate) use super::assign::BatchLimits;
use super::attempts::{Attempt, remember, set_retry_state};
use super::{SpoolError, Writer, ms, stored};
use crate::destination::retry::RetryState;
use crate::destination::segment::{Batch, Receipt, SegmentFile};
use crate::destination::{Capabilities, Target};

/// What was done with a segment whose content was rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Halved {
    /// At most half of its events stay in it for the next attempt; the others wait again.
    Smaller,
    /// It has only one event, and is unchanged.
    Alone,
    /// It contained nothing new, and is left as its remote file is.
    #[default]
    Settled,
}

impl Writer<'_> {
    /// Takes back rows that other destinations have not confirmed. The segments there are left open
    /// and marked stale, because the content of their remote files is unknown. If that destination
    /// is used again, the files are written again or deleted.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub(crate) fn reassign(&mut self, target: &Target) -> Result<(), SpoolError> {
        let destination = target.to_string();
        self.commit("reassign unconfirmed events in", |transaction| {
            reassign_rows(transaction, &destination)
        })
    }

    /// Builds the next request: first the segments whose upload is not confirmed; then pending
    /// rows, oldest first, in the open segment and in new ones, whose names must not be among
    /// `taken`. Segments in `aside` are left as they are. Afterwards every row in the request is
    /// `sending`.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub(crate) fn assign(
        &mut self,
        target: &Target,
        limits: BatchLimits,
        taken: &HashSet<String>,
        aside: &BTreeSet<i64>,
    ) -> Result<Batch, SpoolError> {
        const OPERATION: &str = "assign events in";
        let destination = target.to_string();
        let mut builder =
            BatchBuilder::start(&self.spool.connection, &destination, limits, taken, aside)
                .map_err(self.spool.fail(OPERATION))?;
        // One transaction per segment, to bound the WAL.
        while self.commit(OPERATION, |transaction| builder.step(transaction))? {}
        Ok(builder.batch)
    }

    /// The files that a flush of everything would write. Takes the same steps and rolls them back.
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
        // Without a destination, the files are those that a new destination would get.
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
            let mut builder = BatchBuilder::start(
                &transaction,
                &destination,
                limits,
                &nothing_taken,
                &BTreeSet::new(),
            )?;
            while builder.step(&transaction)? {}
            let batch = builder.batch;
            transaction.rollback()?;
            Ok(batch.files)
        };
        preview().map_err(fail)
    }

    /// Marks a batch as `sent` and stores its receipts, in one transaction per segment; the last
    /// one also stores the attempt. Returns the number of confirmed events.
    ///
    /// # Errors
    /// When the database can't be written. The rows that were not marked are then sent again in the
    /// same files.
    pub(crate) fn confirm(
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

    /// Stores an attempt that confirmed nothing: its result, when the destination may be tried
    /// again, and the reason for each row of the batch. With `give_back` the rows become `pending`
    /// again, else they stay in their segments.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn failed(
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
                    // An earlier attempt with the same rows may have arrived. If the rows end up in
                    // another file, this one must be deleted.
                    mark_stale(transaction, file.id)?;
                }
            }
            set_retry_state(transaction, &target.to_string(), retry)?;
            remember(transaction, attempt)
        })
    }

    /// Halves the unconfirmed rows of a segment that the destination rejected, and keeps `at_most`
    /// that many in it. The last one is moved to a segment of its own, because the rest of the
    /// segment may have been the reason. If it is rejected there as well, the caller decides
    /// whether to hold it.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn halve(
        &mut self,
        file: &SegmentFile,
        at_most: usize,
    ) -> Result<Halved, SpoolError> {
        self.commit("halve a refused segment in", |transaction| {
            match (file.unconfirmed, file.events) {
                // The stale file was to be replaced, but the destination keeps the old one.
                (0, _) => settle(transaction, file.id).map(|()| Halved::Settled),
                (1, 1) => Ok(Halved::Alone),
                (unconfirmed, _) => {
                    let kept = (unconfirmed / 2).min(at_most);
                    release(transaction, file.id, kept)?;
                    if kept == 0 {
                        // The same, and the row goes into another segment.
                        settle(transaction, file.id)?;
                        mark_stale(transaction, file.id)?;
                    }
                    Ok(Halved::Smaller)
                }
            }
        })
    }

    /// Holds the rows of a segment that the destination rejected. Returns their number.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn hold(&mut self, segment: i64) -> Result<usize, SpoolError> {
        self.commit("hold a rejected event in", |transaction| {
            let held = transaction.execute(
                "UPDATE event SET state = 3, last_error = (SELECT last_error FROM segment WHERE id = ?1), segment = NULL
                 WHERE segment = ?1 AND state = 1",
                [segment],
            )?;
            reopen(transaction, segment)?;
            // If an earlier attempt arrived after all, its file must be deleted.
            mark_stale(transaction, segment)?;
            Ok(held)
        })
    }

    /// Makes held events `pending` again: one, or all. Returns their number.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn retry(&mut self, seq: Option<i64>) -> Result<usize, SpoolError> {
        self.commit("put held events back in", |transaction| {
            transaction.execute(
                "UPDATE event SET state = 0, attempts = 0, last_error = NULL WHERE state = 3 AND (?1 IS NULL OR seq = ?1)",
                [seq],
            )
        })
    }
}

/// Stores the receipt of one segment. Its rows become sent, except those that the destination
/// rejected, which are held. Returns the number of newly sent rows.
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

/// Gives back the unconfirmed rows of a segment except the first `kept`, and reopens the segment.
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

/// Notes that the content of a segment's remote file is unknown. The file must be written again, or
/// deleted if the segment has no rows left.
fn mark_stale(connection: &Connection, segment: i64) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE segment SET stale = 1 WHERE id = ?1", [segment])
        .map(|_| ())
}

/// Seals a segment and leaves its remote file as it is.
fn settle(connection: &Connection, segment: i64) -> rusqlite::Result<()> {
    connection
        .execute(
            "UPDATE segment SET sealed = 1, stale = 0 WHERE id = ?1",
            [segment],
        )
        .map(|_| ())
}

/// Gives back the rows that destinations other than this one have not confirmed.
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
