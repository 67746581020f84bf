//! A spool that can't be understood any more: what can still be read of it is carried over into a
//! new one, and it is set aside, never deleted. The ledger goes on: events that can't be found again
//! are counted as dropped, `damaged`.
//!
//! The new database is complete and on disk before the damaged one is touched. So a kill, a full
//! disk or the end of the caller's time leaves the damaged one where it is, for the next try.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{BUILDING, PARTS, part, remove_database};
use super::{PAGE_BYTES, Spool, SpoolError, salvage, schema};
use crate::clock::Deadline;
use crate::files::{self, size_of};
use crate::home::{Home, HomeError, SpoolLock};

/// A complete new database that has not taken the damaged one's place yet.
const REPAIRED: &str = "spool.db.repaired";

/// The copy of the damaged database that is read.
const COPY: &str = "spool.db.reading";

/// How much time a caller has for a repair, and how large a database it is worth beginning with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Bytes of the database.
    pub(super) bytes: u64,
    /// The end of the time.
    pub(super) deadline: Deadline,
}

impl Spool {
    /// Puts a new database with what can be read of the damaged one in its place, and sets the
    /// damaged one aside.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] when it would take more than the budget; and when the new one can't
    /// be written. Then nothing has changed.
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
        let new = build_from_what_is_left(home, budget.deadline).map_err(|error| match error {
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

/// Whether a repair was killed just before its end.
pub(super) fn is_unfinished(home: &Home) -> bool {
    home.file(REPAIRED).exists()
}

/// Deletes what a repair that was killed may have left behind: it holds events.
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

/// The end of a repair: the damaged database is set aside, and the new one takes its name. Also
/// called by whoever finds no database, for a repair that was killed here.
pub(super) fn finish(home: &Home) -> Result<(), HomeError> {
    let fail = |path: PathBuf| {
        move |source| HomeError {
            operation: "set aside",
            path,
            source,
        }
    };
    // What is left of the damaged database belongs to the newest one that was set aside. Its log
    // must be gone before a new database takes the name, or SQLite would write it into that.
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

/// Renames the database to `spool.db.corrupt-<time>`. Its other parts follow in [`finish`].
fn set_aside(home: &Home, now: DateTime<Utc>) -> Result<(), HomeError> {
    let path = home.spool_db();
    let stamp = now.format("%Y%m%dT%H%M%S%3fZ");
    // Two repairs in the same moment keep both.
    let aside = (0..)
        .map(|n| match n {
            0 => home.file(&format!("spool.db.corrupt-{stamp}")),
            n => home.file(&format!("spool.db.corrupt-{stamp}-{n}")),
        })
        .find(|aside| PARTS.iter().all(|suffix| !part(aside, suffix).exists()))
        .expect("names do not run out");
    let moved = match fs::rename(&path, &aside) {
        // Only its log is there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::create_new(&aside).map(drop),
        other => other,
    };
    moved.map_err(|source| HomeError {
        operation: "set aside",
        path,
        source,
    })
}

/// Builds a new database from whatever SQLite still understands of the damaged one.
fn build_from_what_is_left(home: &Home, deadline: Deadline) -> Result<PathBuf, SpoolError> {
    let fail = |source| HomeError {
        operation: "copy",
        path: home.spool_db(),
        source,
    };
    // A copy is read, so that the evidence stays as it was: opening a database with a WAL writes to
    // it.
    let copy = Copy::of(home).map_err(fail)?;
    let mut found = 0;
    let new = schema::build(home, |target| {
        if let Ok(source) = copy.open() {
            found = salvage::copy(&source, target, deadline)?;
        }
        Ok(())
    })?;
    if found > 0 {
        return Ok(new);
    }
    // The first page leads to all others, and it is the same in every spool of this schema.
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
        // Without the -shm: SQLite makes it anew from the WAL.
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

    fn open(&self) -> rusqlite::Result<Connection> {
        Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Replaces the first page by that of a healthy database of the same schema.
    fn transplant_first_page(&self, healthy: &Path) -> io::Result<()> {
        let mut page = [0; PAGE_BYTES];
        File::open(healthy)?.read_exact(&mut page)?;
        let mut damaged = files::open_own(&self.path, OpenOptions::new().read(true).write(true))?;
        let length = damaged.metadata()?.len();
        if length < PAGE_BYTES as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The size in the header must be that of this file (https://sqlite.org/fileformat.html,
        // 1.3.8), and its free pages are unknown.
        let pages = u32::try_from(length / PAGE_BYTES as u64).unwrap_or(u32::MAX);
        page[28..32].copy_from_slice(&pages.to_be_bytes());
        page[32..40].fill(0);
        damaged.seek(SeekFrom::Start(0))?;
        damaged.write_all(&page)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Whoever repairs next deletes it otherwise.
        let _ = remove_database(&self.path);
    }
}
