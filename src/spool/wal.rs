//! Keeps the WAL small. Closing the database does not checkpoint, so a writer does when the WAL has
//! grown past its limit.

use std::time::Duration;

use rusqlite::{Connection, Transaction};

use super::{PAGE_BYTES, SpoolError, Writer};
use crate::files;
use crate::limits::{WAL_CHECKPOINT_BYTES, WAL_MAX_BYTES};

impl Writer<'_> {
    /// Keeps the WAL small and runs `work` in one immediate transaction. `operation` is the verb
    /// for the error message.
    pub(super) fn commit<T>(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, SpoolError> {
        let fail = self.spool.fail(operation);
        self.bound_wal();
        self.in_transaction(work).map_err(fail)
    }

    /// Runs `work` in one immediate transaction, which is rolled back when it fails.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self
            .spool
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Writes the WAL back when it has grown past its limit, just before a commit. The commit then
    /// overwrites the file from its beginning, which is cheaper than extending a truncated file. A
    /// failure (a reader in the way, a full disk) is harmless: the events are safe in the WAL, and
    /// the next writer tries again.
    pub(super) fn bound_wal(&mut self) {
        let size = files::size_of(&self.spool.home.spool_wal());
        if size > WAL_MAX_BYTES {
            let _ = self.truncate_unless_read();
        } else if size > WAL_CHECKPOINT_BYTES
            && self
                .wal_frames()
                .is_ok_and(|n| n * PAGE_BYTES as u64 > WAL_CHECKPOINT_BYTES)
        {
            let _ = self
                .spool
                .connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }

    /// Writes the WAL back and truncates it, without waiting for readers.
    fn truncate_unless_read(&mut self) -> rusqlite::Result<()> {
        let connection = &self.spool.connection;
        let wait = connection.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0))?;
        connection.busy_timeout(Duration::ZERO)?;
        let truncated = checkpoint(connection);
        connection.busy_timeout(Duration::from_millis(wait.into()))?;
        truncated.map(drop)
    }

    /// The number of pages in the WAL that may not have been written back.
    fn wal_frames(&self) -> rusqlite::Result<u64> {
        self.spool
            .connection
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
                Ok(row.get::<_, i64>(1)?.max(0).unsigned_abs())
            })
    }

    /// Writes the WAL back and truncates it; `false` when a reader is in the way.
    pub(super) fn checkpoint(&mut self) -> rusqlite::Result<bool> {
        checkpoint(&self.spool.connection)
    }
}

/// Writes a database's WAL back and truncates it; `false` when a reader is in the way.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0).map(|busy| busy == 0)
    })
}
