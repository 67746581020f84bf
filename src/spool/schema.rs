//! The schema: its migrations, and the building of a new database.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::{Spool, SpoolError};
use crate::files;
use crate::home::{Home, HomeError};

/// Landed migrations are never edited; a change of the schema is a new file at the end of this
/// list.
const MIGRATIONS: &[M<'_>] = &[
    M::up(include_str!("../../migrations/0001_spool.sql")),
    M::up(include_str!("../../migrations/0002_destination_answer.sql")),
    M::up(include_str!("../../migrations/0003_clock.sql")),
    M::up(include_str!("../../migrations/0004_copies.sql")),
];

/// The files of one SQLite database, by what is added to its name.
pub(super) const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// A database that is being built.
pub(super) const BUILDING: &str = "spool.db.new";

/// The schema this program writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub(super) const SCHEMA: i64 = MIGRATIONS.len() as i64;

impl Spool {
    /// The schema version of the database; a newer one than ours is an error.
    pub(super) fn schema(&self) -> Result<i64, SpoolError> {
        let found = self
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(self.fail("read the schema of"))?;
        if found > SCHEMA {
            return Err(SpoolError::Newer {
                path: self.home.spool_db(),
                found,
            });
        }
        Ok(found)
    }

    /// Brings an older schema to the latest.
    pub(super) fn migrate(&mut self) -> Result<(), SpoolError> {
        match self.schema()? {
            SCHEMA => Ok(()),
            // No spool has such a number: it was cut, or it is somebody else's.
            ..=0 => Err(SpoolError::Foreign {
                path: self.home.spool_db(),
            }),
            _ => self.migrate_from_older(),
        }
    }

    fn migrate_from_older(&mut self) -> Result<(), SpoolError> {
        to_latest(&mut self.connection, &self.home)
    }
}

fn to_latest(connection: &mut Connection, home: &Home) -> Result<(), SpoolError> {
    Migrations::from_slice(MIGRATIONS)
        .to_latest(connection)
        .map_err(|source| SpoolError::Migration {
            path: home.spool_db(),
            source,
        })
}

/// Builds a new database under a name of its own, fills it, and gives its path. It is complete and
/// on disk then, and gets its real name from the caller: so a file of the right name that is no
/// spool is always damage and never one half made.
pub(super) fn build(
    home: &Home,
    fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<PathBuf, SpoolError> {
    home.create()?;
    let path = home.file(BUILDING);
    let file = remove_database(&path)
        .and_then(|()| {
            files::open_own(
                &path,
                OpenOptions::new().read(true).write(true).create_new(true),
            )
        })
        .map_err(fail_to_create(&path))?;
    let fail = |source: rusqlite::Error| SpoolError::Database {
        operation: "create",
        path: path.clone(),
        source: source.into(),
    };
    let mut connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fail)?;
    connection
        // The first before the first table: space that retention frees can be given back. No file
        // is needed to go back, since a failure leaves nothing that is used; one sync comes at the
        // end.
        .execute_batch(
            "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF",
        )
        .map_err(fail)?;
    to_latest(&mut connection, home)?;
    let filled = (|| {
        let transaction = connection.transaction()?;
        fill(&transaction)?;
        transaction.commit()?;
        // Readers never block the writer.
        connection.execute_batch("PRAGMA journal_mode=WAL")
    })();
    filled.map_err(fail)?;
    drop(connection);
    file.sync_all().map_err(fail_to_create(&path))?;
    Ok(path)
}

/// An error of making a file of the spool.
pub(super) fn fail_to_create(path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError {
        operation: "create",
        path,
        source,
    }
}

/// One file of a database.
pub(super) fn part(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Deletes the files of a database, if there are any.
pub(super) fn remove_database(path: &Path) -> io::Result<()> {
    for suffix in PARTS {
        match fs::remove_file(part(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
