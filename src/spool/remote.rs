//! What this spool has sent, for `forget`, which deletes it there: the names of its files, and the
//! anonymous ids in them for destinations that delete by id. The ids are kept until `forget` has
//! succeeded there, even when the rows are gone or the id was replaced.

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
            let mut statement = self.connection.prepare(
                "SELECT destination, name, id FROM segment
                     UNION ALL SELECT DISTINCT destination, NULL, NULL FROM sender
                     ORDER BY destination, id",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let destination = row.get(0)?;
                if files.last().is_none_or(|(last, _)| *last != destination) {
                    files.push((destination, Vec::new()));
                }
                if let (Some((_, names)), Some(name)) = (files.last_mut(), row.get(1)?) {
                    names.push(name);
                }
            }
            Ok(files)
        };
        read().map_err(self.fail("read the files of"))
    }

    /// The anonymous ids in the events that were sent there, as far as they are known.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) fn anonymous_ids(&self, destination: &str) -> Result<Vec<Uuid>, SpoolError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT DISTINCT payload ->> 'anonymous_id' FROM event
                 WHERE segment IN (SELECT id FROM segment WHERE destination = ?1)
                 UNION SELECT anonymous_id FROM sender WHERE destination = ?1",
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
            transaction.execute("DELETE FROM sender WHERE destination = ?1", [destination])?;
            Ok(sent)
        })
    }
}
