//! Opening: connect → pragmas, each with its reason → migrate in one transaction when the schema is older → ready.

use std::fs::OpenOptions;
use std::io;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::{Spool, SpoolError};
use crate::files;
use crate::home::{Home, HomeError, SpoolLock};
use crate::limits::{COMMAND_LOCK_WAIT, SQLITE_BUSY_WAIT};

/// Landed migrations are never edited; a change of the schema is a new file at the end of this list.
const MIGRATIONS: &[M<'_>] = &[M::up(include_str!("../../migrations/0001_spool.sql"))];

/// The schema this program writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub(super) const SCHEMA: i64 = MIGRATIONS.len() as i64;

impl Spool {
    /// Opens the spool of a home for a writer, who has the lock; makes or migrates it where needed.
    ///
    /// # Errors
    /// When it can't be made or opened, is damaged, or has a newer schema.
    pub fn open(home: &Home, _lock: &SpoolLock) -> Result<Self, SpoolError> {
        let mut spool = match Self::connect(home) {
            Ok(spool) => spool,
            Err(error) if !home.spool_db().exists() => {
                create_file(home).map_err(|made| {
                    if made.source.kind() == io::ErrorKind::AlreadyExists {
                        error
                    } else {
                        made.into()
                    }
                })?;
                Self::connect(home)?
            }
            Err(error) => return Err(error),
        };
        spool.migrate()?;
        Ok(spool)
    }

    /// Opens the spool of a home for reading; `None` when there is none. Takes the lock only to migrate an older one.
    ///
    /// # Errors
    /// When it can't be opened, is damaged, or has a newer schema.
    pub fn open_to_read(home: &Home) -> Result<Option<Self>, SpoolError> {
        if !home.spool_db().exists() {
            return Ok(None);
        }
        let spool = Self::connect(home)?;
        if spool.schema()? < SCHEMA {
            let lock = lock_or_fail(home)?;
            return Self::open(home, &lock).map(Some);
        }
        Ok(Some(spool))
    }

    fn connect(home: &Home) -> Result<Self, SpoolError> {
        let path = home.spool_db();
        let fail = |source| SpoolError::Database {
            operation: "open",
            path: path.clone(),
            source,
        };
        // Never SQLITE_OPEN_CREATE: SQLite would make the file by the umask, and this one must be 0600 from the start.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(fail)?;
        connection.busy_timeout(SQLITE_BUSY_WAIT).map_err(fail)?;
        // The last process to close would write the WAL back and delete it, with several fsyncs, each time.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(fail)?;
        connection
            // FULL: a commit is on disk when it returns (P1). No automatic checkpoint: a writer does it under the lock.
            .execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0")
            .map_err(fail)?;
        Ok(Self {
            connection,
            home: home.clone(),
        })
    }

    fn schema(&self) -> Result<i64, SpoolError> {
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

    fn migrate(&mut self) -> Result<(), SpoolError> {
        if self.schema()? == SCHEMA {
            return Ok(());
        }
        let fail = self.fail("migrate");
        let path = self.home.spool_db();
        let prepare = || {
            // Before the first table: space that retention frees can be given back, and readers never block the writer.
            self.connection
                .execute_batch("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL")?;
            let tables: i64 =
                self.connection
                    .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            Ok(tables)
        };
        let tables = prepare().map_err(fail)?;
        if tables > 0 && self.schema()? == 0 {
            // Somebody else's database under our name.
            return Err(SpoolError::Foreign { path });
        }
        Migrations::from_slice(MIGRATIONS)
            .to_latest(&mut self.connection)
            .map_err(|source| SpoolError::Migration { path, source })
    }
}

fn create_file(home: &Home) -> Result<(), HomeError> {
    home.create()?;
    let path = home.spool_db();
    files::private(OpenOptions::new().write(true).create_new(true))
        .open(&path)
        .and_then(|_| files::sync_dir(home.dir()))
        .map_err(|source| HomeError {
            operation: "create",
            path,
            source,
        })
}

/// Takes `spool.lock` as a command that a person waits for does.
///
/// # Errors
/// When another process holds it for longer than [`COMMAND_LOCK_WAIT`], or it can't be opened.
pub fn lock_or_fail(home: &Home) -> Result<SpoolLock, SpoolError> {
    home.lock_spool(COMMAND_LOCK_WAIT)?
        .ok_or_else(|| SpoolError::Locked {
            path: home.file("spool.lock"),
        })
}
