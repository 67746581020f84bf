//! Appending events.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};

use super::{SpoolError, Writer, ms};
use crate::event::Payload;

/// Rows per statement; more would not make it faster.
const ROWS: usize = 50;

impl Writer<'_> {
    /// Adds events as `pending`, in order; durable when it returns. One transaction, one fsync.
    ///
    /// # Errors
    /// When none of them was added.
    pub fn append(&mut self, payloads: &[Payload]) -> Result<(), SpoolError> {
        const OPERATION: &str = "append to";
        match payloads {
            [] => Ok(()),
            [_] => {
                // A single statement is its own transaction.
                let fail = self.spool.fail(OPERATION);
                self.bound_wal();
                insert(&self.spool.connection, payloads).map_err(fail)
            }
            _ => self.commit(OPERATION, |transaction| insert(transaction, payloads)),
        }
    }
}

/// Adds a batch with few statements, because each statement costs about as much as a row.
pub(super) fn insert(connection: &Connection, payloads: &[Payload]) -> rusqlite::Result<()> {
    let (full, rest) = payloads.as_chunks::<ROWS>();
    if !full.is_empty() {
        let mut statement = connection.prepare(&insert_rows(ROWS))?;
        for chunk in full {
            statement.execute(params_from_iter(values(chunk)))?;
        }
    }
    if !rest.is_empty() {
        let mut statement = connection.prepare(&insert_rows(rest.len()))?;
        statement.execute(params_from_iter(values(rest)))?;
    }
    Ok(())
}

fn insert_rows(rows: usize) -> String {
    let mut sql = String::from("INSERT INTO event (recorded_at, payload) VALUES (?, ?)");
    sql.extend(std::iter::repeat_n(", (?, ?)", rows - 1));
    sql
}

fn values(payloads: &[Payload]) -> impl Iterator<Item = ToSqlOutput<'_>> {
    payloads
        .iter()
        .flat_map(|payload| [ms(payload.at()).into(), payload.as_str().into()])
}
