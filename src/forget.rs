//! Forgetting: everything here, and this machine's files at the destinations.

use crate::destination::Owned;
use crate::home::{FlushLock, Home};
use crate::spool::{Caller, Deleted, Spool, SpoolError};

/// Forgetting in steps, with no flush at work meanwhile: the caller deletes the remote files in
/// between, and what could not be deleted stays known for another try.
#[derive(Debug)]
pub(crate) struct Forgetting<'h> {
    home: &'h Home,
    _no_flush: Option<FlushLock>,
    /// Sent rows that went with their remote files.
    sent: usize,
}

impl<'h> Forgetting<'h> {
    /// Keeps flushes out.
    ///
    /// # Errors
    /// When one is at work.
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
                // Events that retention took carried this one too.
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

    /// Forgets the names of files that were deleted, and the rows that were in them.
    ///
    /// # Errors
    /// When the spool can't be written.
    pub(crate) fn remote_is_gone(&mut self, destination: &str) -> Result<(), SpoolError> {
        self.sent += Spool::write(self.home, Caller::Command, |writer| {
            writer.forget_files(destination)
        })?;
        Ok(())
    }

    /// Deletes everything here: rows, overflow, damaged copies, what `view` kept, the count of scans;
    /// and makes a new id if there was one.
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
