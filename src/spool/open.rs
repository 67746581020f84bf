//! Opening the database: connect → pragmas, each with its reason → migrate in one transaction when
//! the schema is older → ready.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{build, fail_to_create};
use super::{Spool, SpoolError, prune, repair};
use crate::clock;
use crate::files::{self, size_of};
use crate::home::{Home, HomeError, SpoolLock};

/// FULL: a commit is on disk when it returns (P1). No automatic checkpoints: a writer makes them
/// under the lock.
const PRAGMAS: &str = "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0";

/// Whether other processes can use the database while this one has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// They can, as SQLite's WAL mode allows.
    Shared,
    /// They can't, unless another process already has it open. Meant for one short write: SQLite
    /// then keeps the index of the WAL in memory, and a lone process does not have to create the
    /// shared file for it each time. Readers wait during that write.
    Exclusive,
}

impl Spool {
    /// Opens the spool of a home for a writer, which must hold the lock. Creates or migrates the
    /// database if necessary.
    pub(super) fn open(
        home: &Home,
        _lock: &SpoolLock,
        sharing: Sharing,
        busy_wait: Duration,
    ) -> Result<Self, SpoolError> {
        let path = home.spool_db();
        let there = is_there(&path)?;
        if !there && repair::is_unfinished(home) {
            repair::finish(home)?;
        } else {
            refuse_only_a_wal(home)?;
            if !there {
                Self::create(home)?;
            }
        }
        ensure_wal(home)?;
        let mut spool = Self::connect(home, &path, sharing, busy_wait)?;
        spool.migrate()?;
        Ok(spool)
    }

    fn create(home: &Home) -> Result<(), SpoolError> {
        let now = clock::now();
        let new = build(home, |target| prune::start_clock(target, now))?;
        fs::rename(new, home.spool_db())
            .and_then(|()| files::sync_dir(home.dir()))
            .map_err(|source| HomeError {
                operation: "create",
                path: home.spool_db(),
                source,
            })?;
        Ok(())
    }

    /// Connects to a database with the settings that this program relies on.
    pub(super) fn connect(
        home: &Home,
        path: &Path,
        sharing: Sharing,
        busy_wait: Duration,
    ) -> Result<Self, SpoolError> {
        // SQLite opens these files itself, whatever kind of file they are.
        is_there(&home.spool_wal())?;
        is_there(&home.file("spool.db-shm"))?;
        let fail = |source: rusqlite::Error| SpoolError::Database {
            operation: "open",
            path: path.to_owned(),
            source: source.into(),
        };
        // Never SQLITE_OPEN_CREATE: SQLite would create the file with the umask, but it must have
        // mode 0600 from the start.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
        // Otherwise the last process that closes the database would write the WAL back and delete
        // it, with several fsyncs each time.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(fail)?;
        let alone = sharing == Sharing::Exclusive && try_exclusive(&connection).map_err(fail)?;
        if !alone {
            connection.busy_timeout(busy_wait).map_err(fail)?;
            connection.execute_batch(PRAGMAS).map_err(fail)?;
        }
        Ok(Self {
            connection,
            home: home.clone(),
            unlocked: false,
        })
    }

    /// Sets how long to wait for SQLite's own locks from now on.
    pub(super) fn wait_when_busy(&self, wait: Duration) -> Result<(), SpoolError> {
        self.connection
            .busy_timeout(wait)
            .map_err(self.fail("open"))
    }

    /// Connects for reading only, without SQLite's locks and without the files that they need.
    pub(super) fn connect_without_locks(home: &Home) -> Result<Self, SpoolError> {
        const NO_LOCKS: &str = if cfg!(windows) {
            "win32-none"
        } else {
            "unix-none"
        };
        let path = home.spool_db();
        let connect = || {
            let connection = Connection::open_with_flags_and_vfs(
                &path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                NO_LOCKS,
            )?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // SQLite then keeps the index of the WAL in memory.
            connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE")?;
            Ok(connection)
        };
        Ok(Self {
            connection: connect().map_err(|source: rusqlite::Error| SpoolError::Database {
                operation: "open",
                path: path.clone(),
                source: source.into(),
            })?,
            home: home.clone(),
            unlocked: true,
        })
    }
}

/// Whether a file of our own exists. Anything else is an error, because SQLite would follow a link
/// and wait for a pipe.
pub(super) fn is_there(path: &Path) -> Result<bool, HomeError> {
    match files::own(path) {
        Ok(found) => Ok(found.is_some()),
        Err(source) => Err(HomeError {
            operation: "open",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether the database is gone or empty, but its WAL is there and may contain events.
pub(super) fn only_a_wal_is_left(home: &Home) -> bool {
    size_of(&home.spool_db()) == 0 && size_of(&home.spool_wal()) > 0
}

/// SQLite would delete the WAL of an empty database, or apply it to a new one. So this is damage,
/// and a repair looks for the events.
pub(super) fn refuse_only_a_wal(home: &Home) -> Result<(), SpoolError> {
    if only_a_wal_is_left(home) {
        return Err(SpoolError::Missing {
            path: home.spool_db(),
        });
    }
    Ok(())
}

/// Opens the database exclusively for this connection. Returns `false` and changes nothing when
/// another process has it open.
fn try_exclusive(connection: &Connection) -> rusqlite::Result<bool> {
    // No waiting for readers, because the database can be shared instead.
    connection.busy_timeout(Duration::ZERO)?;
    connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE")?;
    match connection.execute_batch(PRAGMAS) {
        Err(error) if is_busy(&error) => {
            connection.execute_batch("PRAGMA locking_mode=NORMAL")?;
            Ok(false)
        }
        opened => opened.map(|()| true),
    }
}

/// Whether another connection holds a lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Whether the database can't be opened because no files can be written in its directory.
pub(super) fn is_read_only(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// Makes sure that the name of the WAL file survives a power cut, since SQLite is compiled not to
/// sync the directory for it (.cargo/config.toml). The file is missing in a new home, and after
/// another program has closed the database.
fn ensure_wal(home: &Home) -> Result<(), HomeError> {
    let path = home.spool_wal();
    if is_there(&path)? {
        return Ok(());
    }
    files::open_own(
        &path,
        OpenOptions::new().write(true).create(true).truncate(false),
    )
    .and_then(|_| files::sync_dir(home.dir()))
    .map_err(fail_to_create(&path))
}
