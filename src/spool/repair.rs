//! Repairing a damaged spool: everything that can still be read is copied into a new database, and
//! the damaged one is set aside, never deleted. The ledger is continued: events that can't be found
//! are counted as dropped with the reason `damaged`.
//!
//! The new database is complete and on disk before the damaged one is touched. So after a kill, on
//! a full disk, or when the caller runs out of time, the damaged one is still in its place for the
//! next attempt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{BUILDING, PARTS, part, remove_database};
use super::{PAGE_BYTES, Spool, SpoolError, salvage, schema};
use crate::clock::Deadline;
use crate::files::{self, size_of};
use crate::home::{Home, HomeError, SpoolLock};

/// The complete new database before it replaces the damaged one.
const REPAIRED: &str = "spool.db.repaired";

/// The copy of the damaged database that is read.
const COPY: &str = "spool.db.reading";

/// How much time a caller has for a repair, and how large a database it may try to repair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// The largest size of the database.
    pub(super) bytes: u64,
    /// When the repair must be done.
    pub(super) deadline: Deadline,
}

impl Spool {
    /// Replaces the damaged database with a new one that contains everything that can still be
    /// read, and sets the damaged one aside.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] when the repair would exceed the budget, or the system's reason when
    /// the new database can't be written. In both cases nothing has changed.
    pub(super) fn repair(
        home: &Home,
        _lock: &SpoolLock,
        now: DateTime<Utc>,
        budget: Budget,
    ) -> Result<(), SpoolError> {
        let too_long = || SpoolError::Damaged {
            path: home.spool_db(),
        };
        if size_of(&home.spool_db()) > budget.bytes {
            return Err(too_long());
        }
        let new = build_from_readable_rows(home, budget.deadline).map_err(|error| match error {
            SpoolError::Database { source, .. }
                if source.0.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                too_long()
            }
            error => error,
        })?;
        let repaired = home.file(REPAIRED);
        fs::rename(&new, &repaired)
            .and_then(|()| files::sync_dir(home.dir()))
            .map_err(|source| HomeError {
                operation: "create",
                path: repaired,
                source,
            })?;
        set_aside(home, now)?;
        Ok(finish(home)?)
    }
}

/// Whether a repair was killed just before its last step.
pub(super) fn is_unfinished(home: &Home) -> bool {
    home.file(REPAIRED).exists()
}

/// Deletes the files that a killed repair may have left behind, since they contain events.
pub(super) fn delete_leftovers(home: &Home) -> Result<(), HomeError> {
    for name in [REPAIRED, BUILDING, COPY] {
        let path = home.file(name);
        remove_database(&path).map_err(|source| HomeError {
            operation: "delete",
            path,
            source,
        })?;
    }
    Ok(())
}

/// The last step of a repair: sets aside the rest of the damaged database and gives the new one its
/// name. Also called when there is no database, in case a repair was killed at this point.
pub(super) fn finish(home: &Home) -> Result<(), HomeError> {
    let fail = |path: PathBuf| {
        move |source| HomeError {
            operation: "set aside",
            path,
            source,
        }
    };
    // The remaining files of the damaged database belong to the newest one that was set aside. Its
    // WAL must be gone before a new database takes the name, or SQLite would apply the WAL to it.
    for suffix in &PARTS[1..] {
        let path = part(&home.spool_db(), suffix);
        let moved = match home.quarantined().last() {
            Some(aside) => fs::rename(&path, part(&home.file(aside), suffix)),
            None => fs::remove_file(&path),
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(path)(error)),
            _ => {}
        }
    }
    fs::rename(home.file(REPAIRED), home.spool_db())
        .and_then(|()| files::sync_dir(home.dir()))
        .map_err(fail(home.spool_db()))
}

/// Renames the database to `spool.db.corrupt-<time>`. [`finish`] renames its other files.
fn set_aside(home: &Home, now: DateTime<Utc>) -> Result<(), HomeError> {
    let path = home.spool_db();
    let stamp = now.format("%Y%m%dT%H%M%S%3fZ");
    // Two repairs at the same moment keep both files.
    let aside = (0..)
        .map(|n| match n {
            0 => home.file(&format!("spool.db.corrupt-{stamp}")),
            n => home.file(&format!("spool.db.corrupt-{stamp}-{n}")),
        })
        .find(|aside| PARTS.iter().all(|suffix| !part(aside, suffix).exists()))
        .expect("names do not run out");
    let moved = match fs::rename(&path, &aside) {
        // Only the WAL is left.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::open_own(&aside, OpenOptions::new().write(true).create_new(true)).map(drop)
        }
        other => other,
    };
    moved.map_err(|source| HomeError {
        operation: "set aside",
        path,
        source,
    })
}

/// Builds a new database from everything that SQLite can still read in the damaged one.
fn build_from_readable_rows(home: &Home, deadline: Deadline) -> Result<PathBuf, SpoolError> {
    let fail = |source| HomeError {
        operation: "copy",
        path: home.spool_db(),
        source,
    };
    // Reads a copy, because opening a database with a WAL writes to it, and the damaged one must
    // stay unchanged for inspection.
    let copy = Copy::of(home).map_err(fail)?;
    let mut found = 0;
    let new = schema::build(home, |target| {
        // SQLite would delete the WAL of an empty database.
        if !copy.is_empty()
            && let Ok(source) = copy.open()
        {
            found = salvage::copy(&source, target, deadline)?;
        }
        Ok(())
    })?;
    if found > 0 {
        return Ok(new);
    }
    // All other pages are found through the first one, which is the same in every spool of this schema.
    if copy.transplant_first_page(&new).is_err() {
        return Ok(new);
    }
    schema::build(home, |target| {
        if let Ok(source) = copy.open() {
            salvage::copy(&source, target, deadline)?;
        }
        Ok(())
    })
}

/// A copy of the damaged database, deleted when it is no longer needed.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn of(home: &Home) -> io::Result<Self> {
        let copy = Self {
            path: home.file(COPY),
        };
        remove_database(&copy.path)?;
        // Without the -shm file, which SQLite creates again from the WAL.
        for suffix in &PARTS[..2] {
            let mut from = match File::open(part(&home.spool_db(), suffix)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let mut to = files::open_own(
                &part(&copy.path, suffix),
                OpenOptions::new().write(true).create_new(true),
            )?;
            io::copy(&mut from, &mut to)?;
        }
        Ok(copy)
    }

    /// Whether the database is missing or empty. Its WAL may be there.
    fn is_empty(&self) -> bool {
        size_of(&self.path) == 0
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Replaces the first page with that of a healthy database of the same schema, or adds it. If
    /// the WAL contains that page and others, SQLite reads those.
    fn transplant_first_page(&self, healthy: &Path) -> io::Result<()> {
        let mut page = [0; PAGE_BYTES];
        File::open(healthy)?.read_exact(&mut page)?;
        // The number of pages and the free pages are unknown. Zero makes SQLite count the pages
        // (https://sqlite.org/fileformat.html, 1.3.8).
        page[28..40].fill(0);
        let mut damaged = files::open_own(
            &self.path,
            OpenOptions::new().write(true).create(true).truncate(false),
        )?;
        damaged.write_all(&page)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // If this fails, the next repair deletes the copy.
        let _ = remove_database(&self.path);
    }
}
