//! This spool's files at its destinations, which `forget` deletes there.

use uuid::Uuid;

use super::{Spool, SpoolError, Writer, ledger};

impl Spool {
    /// This spool's files, by destination.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) fn remote_files(&self) -> Result<Vec<(String, Vec<String>)>, SpoolError> {
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

    /// The anonymous ids in the events that were sent there, as far as the rows still exist.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) fn anonymous_ids(&self, destination: &str) -> Result<Vec<Uuid>, SpoolError> {
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
}

impl Writer<'_> {
    /// Forgets the files at a destination after they were deleted there, and deletes the rows that
    /// were sent in them. Unconfirmed rows wait again. Returns the number of deleted rows.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn forget_files(&mut self, destination: &str) -> Result<usize, SpoolError> {
        self.commit("forget the files of", |transaction| {
            const OF_IT: &str = "segment IN (SELECT id FROM segment WHERE destination = ?1)";
            transaction.execute(
                &format!("UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND {OF_IT}"),
                [destination],
            )?;
            let sent =
                transaction.execute(&format!("DELETE FROM event WHERE {OF_IT}"), [destination])?;
            ledger::count(transaction, "forgotten", sent)?;
            transaction.execute("DELETE FROM segment WHERE destination = ?1", [destination])?;
            Ok(sent)
        })
    }
}
