//! Looking at the spool, and deleting from it at the user's word: the use cases behind `spool`, `status`, `disable` and
//! `forget`.

use crate::home::{FlushLock, Home};
use crate::limits::RECORD_LOCK_WAIT;
use crate::spool::{Deleted, Overflow, Spool, SpoolError, lock_or_fail};

/// Opens the spool for looking; first takes in what waits in `overflow.jsonl`, where that can be done. `None` when there
/// is nothing at all.
///
/// # Errors
/// When there is a spool and it can't be opened.
pub fn look(home: &Home) -> Result<Option<Spool>, SpoolError> {
    if Overflow::of(home).waits()
        && let Ok(Some(lock)) = home.lock_spool(RECORD_LOCK_WAIT)
        && let Ok(mut spool) = Spool::open(home, &lock)
    {
        // Looking goes on without it: `overflow` in the numbers says that it still waits.
        let _ = spool.writer(&lock).import_overflow();
        return Ok(Some(spool));
    }
    Spool::open_to_read(home)
}

/// Deletes what was not sent, wherever it waits; with `all`, the rest too.
///
/// # Errors
/// When the spool can't be opened or written.
pub fn purge(home: &Home, all: bool) -> Result<Deleted, SpoolError> {
    if !home.spool_db().exists() && !Overflow::of(home).waits() {
        return Ok(Deleted::default());
    }
    let lock = lock_or_fail(home)?;
    let mut spool = Spool::open(home, &lock)?;
    let mut writer = spool.writer(&lock);
    writer.import_overflow()?;
    writer.purge(all)
}

/// Forgetting in steps, with no flush at work meanwhile: the caller deletes the remote files in between, and what could
/// not be deleted stays known for another try.
#[derive(Debug)]
pub struct Forgetting<'h> {
    home: &'h Home,
    _no_flush: Option<FlushLock>,
}

impl<'h> Forgetting<'h> {
    /// Keeps flushes out.
    ///
    /// # Errors
    /// When one is at work.
    pub fn begin(home: &'h Home) -> Result<Self, SpoolError> {
        if !home.dir().exists() {
            return Ok(Self {
                home,
                _no_flush: None,
            });
        }
        match home.lock_flush()? {
            Some(lock) => Ok(Self {
                home,
                _no_flush: Some(lock),
            }),
            None => Err(SpoolError::Locked {
                path: home.file("flush.lock"),
            }),
        }
    }

    /// This machine's files, by destination.
    ///
    /// # Errors
    /// When the spool can't be read.
    pub fn remote_files(&self) -> Result<Vec<(String, Vec<String>)>, SpoolError> {
        Spool::open_to_read(self.home)?.map_or_else(|| Ok(Vec::new()), |spool| spool.remote_files())
    }

    /// Forgets the names of files that were deleted.
    ///
    /// # Errors
    /// When the spool can't be written.
    pub fn remote_is_gone(&self, destination: &str) -> Result<(), SpoolError> {
        let lock = lock_or_fail(self.home)?;
        let mut spool = Spool::open(self.home, &lock)?;
        spool.writer(&lock).forget_files(destination)
    }

    /// Deletes everything here: rows, overflow, damaged copies; and makes a new id if there was one.
    ///
    /// # Errors
    /// When the home can't be written.
    pub fn finish(self) -> Result<Deleted, SpoolError> {
        let deleted = purge(self.home, true)?;
        self.home.delete_quarantined()?;
        if self.home.known_anonymous_id()?.is_some() {
            self.home.reset_anonymous_id()?;
        }
        Ok(deleted)
    }
}
