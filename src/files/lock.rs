//! The kernel's file locks as values. A lock is held as long as its value lives, and the kernel
//! releases it when the process ends, however it ends.
//!
//! This is the only file that calls fs2. It does so by the full path of each function, because
//! today's `std::fs::File` has methods of the same names.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::open_own;
use crate::clock::{self, Deadline};

/// The file system has no locks.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("its file system has no locks")]
pub(crate) struct NoLocks;

impl From<NoLocks> for io::Error {
    fn from(reason: NoLocks) -> Self {
        Self::new(io::ErrorKind::Unsupported, reason)
    }
}

impl NoLocks {
    /// Whether a lock failed for this reason.
    #[must_use]
    pub(crate) fn is_reason_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|reason| reason.is::<Self>())
    }
}

/// Whether the system's error means that there are no locks. Some network and user-space file
/// systems have no `flock`, and they report it in different ways.
fn means_no_locks(error: &io::Error) -> bool {
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

/// An exclusive lock on an open file or directory.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
    locked: bool,
}

impl FileLock {
    /// Locks the file at `path`, one of our own. It is created (0600) when it does not exist. Waits
    /// at most `wait`; `None` when another process still holds the lock then.
    ///
    /// # Errors
    /// When the file can't be opened, [`NoLocks`], or the system's reason.
    pub(crate) fn acquire(path: &Path, wait: Duration) -> io::Result<Option<Self>> {
        let file = open_own(
            path,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false),
        )?;
        Self::lock(file, wait)
    }

    /// Locks an open file. Waits at most `wait`; `None` when another process still holds the lock
    /// then.
    ///
    /// # Errors
    /// [`NoLocks`], or the system's reason.
    pub(crate) fn lock(file: File, wait: Duration) -> io::Result<Option<Self>> {
        Self::lock_unless(file, wait, |_| false)
    }

    /// Like [`FileLock::lock`], but goes on without a lock where the file system has none. Only for a
    /// change that does no harm when two processes make it at once.
    ///
    /// # Errors
    /// The system's reason.
    pub(crate) fn lock_where_possible(file: File, wait: Duration) -> io::Result<Option<Self>> {
        Self::lock_unless(file, wait, NoLocks::is_reason_of)
    }

    /// Locks an open directory, or goes on without a lock where it can't be locked, whatever the
    /// reason. A directory can only be opened for reading, and NFS refuses an exclusive lock on such
    /// a handle with EBADF. `None` when another process still holds the lock after `wait`.
    pub(crate) fn lock_directory(dir: File, wait: Duration) -> io::Result<Option<Self>> {
        Self::lock_unless(dir, wait, |_| true)
    }

    /// Locks an open file, or goes on without a lock when the reason why it can't be locked is one
    /// that is `accepted`.
    fn lock_unless(
        file: File,
        wait: Duration,
        accepted: impl FnOnce(&io::Error) -> bool,
    ) -> io::Result<Option<Self>> {
        match wait_for(&file, wait) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(Self { file, locked: true })),
            Err(error) if accepted(&error) => Ok(Some(Self {
                file,
                locked: false,
            })),
            Err(error) => Err(error),
        }
    }

    /// Whether the lock is really held.
    #[must_use]
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// The open file or directory.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Whether the lock could be taken within this time.
fn wait_for(file: &File, wait: Duration) -> io::Result<bool> {
    let deadline = Deadline::after(wait);
    // flock has no timeout, so we try again: quickly at first, since most holders write for a
    // millisecond or two, and then less often. The process id makes processes that wait for the same
    // holder try at different times.
    let mut pause = Duration::from_micros(200 + u64::from(std::process::id() % 16) * 25);
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => return Ok(true),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if means_no_locks(&error) => return Err(NoLocks.into()),
            Err(error) => return Err(error),
        }
        if deadline.passed() {
            return Ok(false);
        }
        clock::sleep(pause.min(deadline.left()));
        pause = (pause * 3 / 2).min(Duration::from_millis(8));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use nix::errno::Errno;
    use nix::fcntl::OFlag;

    use super::*;

    #[test]
    fn a_handle_that_refuses_locks_is_an_error_for_a_file_and_accepted_for_a_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // flock answers EBADF to a handle of this kind, as NFS does to one that can only read.
        let handle = || {
            let mut options = OpenOptions::new();
            let path_only = options.read(true).custom_flags(OFlag::O_PATH.bits());
            path_only.open(dir.path()).expect("opens the directory")
        };
        let now = Duration::ZERO;
        for refused in [
            FileLock::lock(handle(), now),
            FileLock::lock_where_possible(handle(), now),
        ] {
            let error = refused.expect_err("is refused");
            assert_eq!(error.raw_os_error(), Some(Errno::EBADF as i32));
        }
        let lock = FileLock::lock_directory(handle(), now).expect("is accepted");
        assert!(!lock.expect("nobody else has it").is_locked());
    }

    #[test]
    fn a_directory_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let lock = || {
            let handle = File::open(dir.path()).expect("opens the directory");
            FileLock::lock_directory(handle, Duration::ZERO).expect("a file system with locks")
        };
        let first = lock().expect("is free");
        assert!(first.is_locked());
        assert!(lock().is_none(), "the first one holds it");
        drop(first);
        assert!(lock().is_some(), "the first one is gone");
    }
}
