//! Appending, and taking in what waits in `overflow.jsonl`.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params, params_from_iter};

use super::overflow::{Held, Overflow};
use super::{SpoolError, Writer, ms};
use crate::event::Payload;

/// Rows in one statement; more gain nothing.
const ROWS: usize = 50;

impl Writer<'_> {
    /// Adds events as `pending`, in order; durable when it returns. One transaction, one fsync.
    ///
    /// # Errors
    /// When nothing of it was added.
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

    /// Moves what waits in `overflow.jsonl` into the database, once and only once, also when this
    /// is killed half-way: the same transaction that adds the events remembers how far the file was
    /// read, and the file is emptied after it. Gives the number of events. Lines that are not ours
    /// are left out.
    ///
    /// # Errors
    /// When the file can't be read or the events can't be added; then the file is as it was.
    pub fn import_overflow(&mut self) -> Result<usize, SpoolError> {
        match Overflow::of(&self.spool.home).hold()? {
            Some(held) => self.import(held),
            None => Ok(0),
        }
    }

    /// The same, and sure of it: afterwards nobody is about to append who asked for consent before
    /// this.
    ///
    /// # Errors
    /// As above, and when somebody else keeps the file locked.
    pub(super) fn import_all_overflow(&mut self) -> Result<usize, SpoolError> {
        match Overflow::of(&self.spool.home).hold_surely()? {
            Some(held) => self.import(held),
            None => Ok(0),
        }
    }

    fn import(&mut self, mut held: Held) -> Result<usize, SpoolError> {
        let content = held.read()?;
        let (generation, fresh) = self.not_imported_yet(&content)?;
        let payloads: Vec<_> = fresh.lines().filter_map(Payload::reread).collect();
        if !payloads.is_empty() {
            self.commit("import overflow.jsonl into", |transaction| {
                insert(transaction, &payloads)?;
                transaction.execute("DELETE FROM overflow", [])?;
                let bytes = i64::try_from(content.len()).unwrap_or(i64::MAX);
                transaction.execute(
                    "INSERT INTO overflow (generation, bytes) VALUES (?1, ?2)",
                    params![generation, bytes],
                )?;
                Ok(())
            })?;
        }
        held.empty()?;
        Ok(payloads.len())
    }

    /// The name of this filling of the file, and the part of it that no earlier import has
    /// committed.
    fn not_imported_yet<'c>(&self, content: &'c str) -> Result<(String, &'c str), SpoolError> {
        let generation = content
            .lines()
            .find_map(Payload::reread)
            .map_or_else(String::new, |first| first.event_id().to_string());
        let imported = self.spool.connection.query_row(
            "SELECT bytes FROM overflow WHERE generation = ?1",
            [&generation],
            |row| row.get::<_, i64>(0),
        );
        let imported = match imported {
            Ok(bytes) => usize::try_from(bytes).unwrap_or(0),
            Err(rusqlite::Error::QueryReturnedNoRows) => 0,
            Err(error) => return Err(self.spool.fail("read the overflow mark of")(error)),
        };
        Ok((generation, content.get(imported..).unwrap_or("")))
    }
}

/// Adds a batch with few statements: what each of them costs beside its rows is as much as a row.
fn insert(connection: &Connection, payloads: &[Payload]) -> rusqlite::Result<()> {
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
