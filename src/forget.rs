//! Forgetting: deletes everything on this machine, and what this machine sent to the destinations.

use crate::destination::Owned;
use crate::home::{FlushLock, Home};
use crate::spool::{Caller, Deleted, Spool, SpoolError};

/// Forgetting in steps, while no flush can run. The caller deletes the remote files between the
/// steps. Files that could not be deleted are remembered for another try.
#[derive(Debug)]
pub(crate) struct Forgetting<'h> {
    home: &'h Home,
    _no_flush: Option<FlushLock>,
    /// How many sent rows were deleted along with their remote files.
    sent: usize,
}

impl<'h> Forgetting<'h> {
    /// Starts, and keeps flushes from running.
    ///
    /// # Errors
    /// When a flush is running.
    pub(crate) fn begin(home: &'h Home) -> Result<Self, SpoolError> {
        if !home.dir().exists() {
            return Ok(Self {
                home,
                _no_flush: None,
                sent: 0,
            });
        }
        match home.lock_flush()? {
            Some(lock) => Ok(Self {
                home,
                _no_flush: Some(lock),
                sent: 0,
            }),
            None => Err(SpoolError::locked(home.file("flush.lock"))),
        }
    }

    /// What this machine sent, by destination.
    ///
    /// # Errors
    /// When the spool can't be read.
    pub(crate) fn owned(&self) -> Result<Vec<(String, Owned)>, SpoolError> {
        let current = self.home.known_anonymous_id().ok().flatten();
        Spool::read(self.home, |spool| {
            let of = |(destination, files): (String, Vec<String>)| {
                let mut anonymous_ids = spool.anonymous_ids(&destination)?;
                // Events that retention has deleted carried this id, too.
                anonymous_ids.extend(current.filter(|id| !anonymous_ids.contains(id)));
                let owned = Owned {
                    files,
                    anonymous_ids,
                };
                Ok((destination, owned))
            };
            spool.remote_files()?.into_iter().map(of).collect()
        })
    }

    /// Forgets files that were deleted at a destination, and the rows that were in them.
    ///
    /// # Errors
    /// When the spool can't be written.
    pub(crate) fn remote_is_gone(&mut self, destination: &str) -> Result<(), SpoolError> {
        self.sent += Spool::write(self.home, Caller::Command, |writer| {
            writer.forget_files(destination)
        })?;
        Ok(())
    }

    /// Deletes everything on this machine: rows, overflow, damaged copies, the cache of `view`, and
    /// the count of scans. Replaces the id with a new one if there was one.
    ///
    /// # Errors
    /// When the home can't be written.
    pub(crate) fn finish(self) -> Result<Deleted, SpoolError> {
        let deleted = Spool::write(self.home, Caller::Command, |writer| writer.purge(true))?;
        self.home.delete_quarantined()?;
        self.home.delete_view_cache()?;
        self.home.forget_scan_count()?;
        self.home.forget_anonymous_id()?;
        Ok(Deleted {
            sent: deleted.sent + self.sent,
            ..deleted
        })
    }
}
