//! The ledger: counts of events, for those whose rows have been deleted.

use rusqlite::{Connection, OptionalExtension, params};

use super::Spool;

/// Adds to a count.
pub(super) fn count(connection: &Connection, entry: &str, events: usize) -> rusqlite::Result<()> {
    if events > 0 {
        connection.execute(
            "INSERT INTO ledger (entry, count) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            params![entry, i64::try_from(events).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}

/// Subtracts from a count.
pub(super) fn uncount(connection: &Connection, entry: &str, events: usize) -> rusqlite::Result<()> {
    if events > 0 {
        connection.execute(
            "UPDATE ledger SET count = count - ?2 WHERE entry = ?1",
            params![entry, i64::try_from(events).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}

impl Spool {
    /// A count of the ledger.
    pub(super) fn ledger(&self, entry: &str) -> rusqlite::Result<u64> {
        let count = self.connection.query_row(
            "SELECT count FROM ledger WHERE entry = ?1",
            [entry],
            |row| row.get(0),
        );
        Ok(count.optional()?.unwrap_or(0))
    }
}
