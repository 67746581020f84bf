//! Deleting events at the user's request.

use serde::Serialize;

use super::ledger::count;
use super::{SpoolError, Writer, repair};

/// What was deleted, in events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Deleted {
    /// Unsent rows: pending, sending and held.
    pub(crate) unsent: usize,
    /// Those of the unsent rows that were being sent, and may have arrived.
    #[serde(skip)]
    pub(crate) sending: usize,
    /// Sent rows. They are still counted as sent.
    pub(crate) sent: usize,
}

impl std::ops::AddAssign for Deleted {
    fn add_assign(&mut self, other: Self) {
        self.unsent += other.unsent;
        self.sending += other.sending;
        self.sent += other.sent;
    }
}

impl Writer<'_> {
    /// Deletes everything that was not sent: pending, sending and held rows, and the overflow. With
    /// `all`, deletes the sent rows, too. Afterwards no file of the spool contains them.
    ///
    /// # Errors
    /// When the database can't be written, or a reader still uses the old content.
    pub(crate) fn purge(&mut self, all: bool) -> Result<Deleted, SpoolError> {
        self.import_all_overflow()?;
        repair::delete_leftovers(&self.spool.home)?;
        // This file may contain events that were never sent.
        self.spool.home.delete_rejected_overflow()?;
        let fail = self.spool.fail("purge");
        match self.purge_rows(all).map_err(fail)? {
            (deleted, true) => Ok(deleted),
            (_, false) => Err(SpoolError::locked(self.spool.home.spool_db())),
        }
    }

    /// Returns what was deleted, and whether it is gone from the files.
    fn purge_rows(&mut self, all: bool) -> rusqlite::Result<(Deleted, bool)> {
        let deleted = self.in_transaction(|transaction| {
            let sending = transaction.execute("DELETE FROM event WHERE state = 1", [])?;
            let others = transaction.execute("DELETE FROM event WHERE state <> 2", [])?;
            let unsent = sending + others;
            count(transaction, "purged", unsent)?;
            let mut sent = 0;
            if all {
                sent = transaction.execute("DELETE FROM event WHERE state = 2", [])?;
                count(transaction, "forgotten", sent)?;
                // Their files must never be written again, because the rows in them are deleted here.
                transaction.execute("UPDATE segment SET sealed = 1, stale = 0", [])?;
            }
            Ok(Deleted {
                unsent,
                sending,
                sent,
            })
        })?;
        // Deleted rows are still in free pages and in the WAL. This removes them from both.
        self.spool.connection.execute_batch("VACUUM")?;
        Ok((deleted, self.checkpoint()?))
    }
}
