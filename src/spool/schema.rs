//! The schema: its migrations, and how a new database is built.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::{Spool, SpoolError};
use crate::files;
use crate::home::{Home, HomeError};

/// A released migration is never edited. A change of the schema is a new file at the end of this
/// list.
const MIGRATIONS: &[M<'_>] = &[
    M::up(include_str!("../../migrations/0001_spool.sql")),
    M::up(include_str!("../../migrations/0002_destination_answer.sql")),
    M::up(include_str!("../../migrations/0003_clock.sql")),
    M::up(include_str!("../../migrations/0004_copies.sql")),
    M::up(include_str!("../../migrations/0005_senders.sql")),
];

/// The suffixes of the files of one SQLite database.
pub(super) const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// The name of a database that is being built.
pub(super) const BUILDING: &str = "spool.db.new";

/// The schema version that this program writes.
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

    /// Migrates an older schema to the latest.
    pub(super) fn migrate(&mut self) -> Result<(), SpoolError> {
        match self.schema()? {
            SCHEMA => Ok(()),
            // No spool has this version: the file was truncated, or it belongs to another program.
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

/// Builds a new database under a temporary name, fills it, and returns its path. It is then
/// complete and on disk, and the caller renames it. So a file with the real name that is not a
/// valid spool is always damaged, never half built.
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
        // `auto_vacuum` must be set before the first table; it lets retention give space back. No
        // journal file and no syncs, because the file is not used until it is complete; it is
        // synced once at the end.
        .execute_batch(
            "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF",
        )
        .map_err(fail)?;
    to_latest(&mut connection, home)?;
    let filled = (|| {
        let transaction = connection.transaction()?;
        fill(&transaction)?;
        transaction.commit()?;
        // In WAL mode readers never block the writer.
        connection.execute_batch("PRAGMA journal_mode=WAL")
    })();
    filled.map_err(fail)?;
    drop(connection);
    file.sync_all().map_err(fail_to_create(&path))?;
    Ok(path)
}

/// The error for a file of the spool that can't be created.
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
