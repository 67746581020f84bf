//! Delivery: pending rows → segments → confirmed or given back. Each step is one short transaction,
//! in an order that a kill at any point leaves safe: rows are assigned, durably, before their
//! segment is sent, and `sent` only after the proof. `flush.lock` makes sure that there is one
//! deliverer.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::assign::BatchBuilder;
pub use super::assign::BatchLimits;
use super::attempts::{Attempt, remember, set_retry_state};
use super::{SpoolError, Writer, ms, stored};
use crate::destination::retry::RetryState;
use crate::destination::segment::{Batch, Receipt, SegmentFile};
use crate::destination::{Capabilities, Target};

/// What became of a segment whose content was refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Halved {
    /// Half of its events stay in it for the next try, or none; the others wait again.
    Smaller,
    /// Its one event stands alone, and is as it was.
    Alone,
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
    /// `taken`. Segments that were put `aside` stay as they are. Afterwards every row in it is `sending`.
    ///
    /// # Errors
    /// When the database can't be read or written.
    pub fn assign(
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
    /// refused; refused there, it is for the caller to say whether it is held.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn halve(&mut self, file: &SegmentFile, at_most: usize) -> Result<Halved, SpoolError> {
        self.commit("halve a refused segment in", |transaction| {
            match (file.unconfirmed, file.events) {
                // It was to be made right, and the destination keeps what it has.
                (0, _) => settle(transaction, file.id).map(|()| Halved::Settled),
                (1, 1) => Ok(Halved::Alone),
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
            }
        })
    }

    /// Holds what the destination rejected in a segment. Gives the number of events.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn hold(&mut self, segment: i64) -> Result<usize, SpoolError> {
        self.commit("hold a rejected event in", |transaction| {
            let held = transaction.execute(
                "UPDATE event SET state = 3, last_error = (SELECT last_error FROM segment WHERE id = ?1), segment = NULL
                 WHERE segment = ?1 AND state = 1",
                [segment],
            )?;
            reopen(transaction, segment)?;
            // Should an earlier try of it have arrived, it must not stay there.
            mark_stale(transaction, segment)?;
            Ok(held)
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
