//! The kernel's file locks as values: held while the value lives, gone with the process however it
//! ends. The only file that may call fs2, and it does so by its full name, since today's std has
//! methods of the same names on `File`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::clock::{self, Deadline};
use crate::files;

/// Why nothing can be locked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("its file system has no locks")]
pub struct NoLocks;

impl From<NoLocks> for io::Error {
    fn from(reason: NoLocks) -> Self {
        Self::new(io::ErrorKind::Unsupported, reason)
    }
}

/// Whether a lock failed because its file system has none ([`NoLocks`]).
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|reason| reason.is::<NoLocks>())
}

/// Some network and user-space file systems have no `flock`, and each says so in its own way.
fn no_locks_here(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use nix::errno::Errno;
        const ERRORS: [Errno; 4] = [
            Errno::ENOLCK,
            Errno::ENOSYS,
            Errno::EOPNOTSUPP,
            Errno::EINVAL,
        ];
        error
            .raw_os_error()
            .is_some_and(|number| ERRORS.contains(&Errno::from_raw(number)))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::Unsupported
    }
}

/// An exclusive lock on a file.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    locked: bool,
}

impl FileLock {
    /// Takes the lock on the file at `path`, which is created (0600) when it is not there. Waits at
    /// most `wait`; `None` when somebody else still holds it then.
    ///
    /// # Errors
    /// When the file can't be opened or the file system has no locks.
    pub fn acquire(path: &Path, wait: Duration) -> io::Result<Option<Self>> {
        let file = files::open_own(
            path,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false),
        )?;
        Self::lock(file, wait)
    }

    /// Takes the lock on an open file.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn lock(file: File, wait: Duration) -> io::Result<Option<Self>> {
        let deadline = Deadline::after(wait);
        // flock has no timeout, so we try again: quickly at first, since most holders write for a
        // millisecond or two, and then less often. The process id spreads those who wait for the
        // same holder.
        let mut pause = Duration::from_micros(200 + u64::from(std::process::id() % 16) * 25);
        loop {
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => return Ok(Some(Self { file, locked: true })),
                Err(error)
                    if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if no_locks_here(&error) => return Err(NoLocks.into()),
                Err(error) => return Err(error),
            }
            if deadline.passed() {
                return Ok(None);
            }
            clock::sleep(pause.min(deadline.left()));
            pause = (pause * 3 / 2).min(Duration::from_millis(8));
        }
    }

    /// The same, but a file system without locks is accepted. Only for a change that does no harm when
    /// two processes make it at once.
    ///
    /// # Errors
    /// When asking for the lock fails otherwise.
    pub fn lock_where_possible(file: File, wait: Duration) -> io::Result<Option<Self>> {
        let without = file.try_clone()?;
        match Self::lock(file, wait) {
            Err(error) if is_unsupported(&error) => Ok(Some(Self {
                file: without,
                locked: false,
            })),
            other => other,
        }
    }

    /// Whether there is a lock on it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// The locked file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }
}
