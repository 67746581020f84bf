//! How this program opens and writes files.
//!
//! There are two kinds. A file of *our own* is one of the files of the home: a regular file that
//! belongs to this user and is private. [`open_own`] refuses anything else under such a name; it is
//! never followed, waited for or written to. A *given* file is one that the user names (`jmo.yml`,
//! a token file). It may be a symbolic link, but it must lead to a regular file, and no more of it
//! is read than the caller allows.
//!
//! There is one way to write a whole file: [`NewFile`]. It is written under a random name and gets
//! its real name when it is complete and on disk.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the place that opens and writes files"
)]

mod lock;
mod new_file;
mod system;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

pub(crate) use lock::{FileLock, NoLocks};
pub(crate) use new_file::{NewFile, remove_partials, replace_own, unnamed_in};
use system::{NO_LINK, NO_WAIT, flags, foreign, private};
pub(crate) use system::{is_at, keep_the_owners_rights, readable_by_others};

/// Why a file can't be used: it is not a regular file of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOrdinary {
    /// A symbolic link.
    #[error("it is a symbolic link, where an ordinary file is expected")]
    Link,
    /// A directory.
    #[error("it is a directory, where an ordinary file is expected")]
    Directory,
    /// A FIFO, a socket or a device.
    #[error("it is a pipe, a socket or a device, where an ordinary file is expected")]
    Special,
    /// Another user's file.
    #[error("it belongs to another user")]
    Foreign,
}

impl NotOrdinary {
    /// The reason inside an error of this module, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<NotOrdinary> for io::Error {
    fn from(reason: NotOrdinary) -> Self {
        Self::new(io::ErrorKind::InvalidInput, reason)
    }
}

/// Looks at a file of our own without opening it; `None` when it does not exist.
///
/// # Errors
/// [`NotOrdinary`], or the system's reason when it can't be looked at.
pub(crate) fn own(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            ordinary(&metadata)?;
            if foreign(&metadata) {
                return Err(NotOrdinary::Foreign.into());
            }
            Ok(Some(metadata))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file, or a directory on its path, does not exist.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Opens a file of our own. If it is created, only its owner can read and write it.
///
/// # Errors
/// [`NotOrdinary`], or the system's reason.
pub(crate) fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Looked at before it is opened, because merely opening a device can have an effect.
    own(path)?;
    private(options);
    flags(options, NO_LINK | NO_WAIT);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    ordinary(&metadata)?;
    if foreign(&metadata) {
        return Err(NotOrdinary::Foreign.into());
    }
    Ok(file)
}

/// Reads a file of our own.
///
/// # Errors
/// [`NotOrdinary`], `FileTooLarge` when it is longer than `limit` bytes, or the system's reason.
pub(crate) fn read_own(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(open_own(path, OpenOptions::new().read(true))?, limit)
}

/// Reads a file that the user names.
///
/// # Errors
/// [`NotOrdinary`], `FileTooLarge` when it is longer than `limit` bytes, or the system's reason.
pub(crate) fn read_given(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(open_given(path)?, limit)
}

/// Opens a file that the user names, to read it.
///
/// # Errors
/// [`NotOrdinary`], or the system's reason.
pub(crate) fn open_given(path: &Path) -> io::Result<File> {
    ordinary(&fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    let file = flags(options.read(true), NO_WAIT).open(path)?;
    ordinary(&file.metadata()?)?;
    Ok(file)
}

fn read(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let length = file.metadata()?.len();
    if length > limit {
        return Err(too_large());
    }
    // Allocates for the file's current size, even if it grows meanwhile.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Makes the names in a directory durable. Windows can't open a directory as a file; there a name
/// is durable once its file has been synced ([`NewFile::finish`]).
///
/// # Errors
/// The system's reason.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(or_here(dir))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// The parent of a bare file name is empty and stands for the working directory.
fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    }
}

fn ordinary(metadata: &Metadata) -> Result<(), NotOrdinary> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_symlink() {
        Err(NotOrdinary::Link)
    } else if kind.is_dir() {
        Err(NotOrdinary::Directory)
    } else {
        Err(NotOrdinary::Special)
    }
}

/// The size of a file of our own in bytes; 0 when it does not exist.
#[must_use]
pub(crate) fn size_of(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn anything_but_a_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("target"), "text").expect("a file");
        symlink(path("target"), path("link")).expect("a link");
        symlink("/dev/zero", path("device")).expect("a link");
        fs::create_dir(path("directory")).expect("a directory");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let refused = |result: io::Result<Vec<u8>>| NotOrdinary::of(&result.expect_err("refused"));
        let own = |name| refused(read_own(&path(name), 10));
        let given = |name| refused(read_given(&path(name), 10));
        assert_eq!(own("link"), Some(NotOrdinary::Link));
        assert_eq!(own("fifo"), Some(NotOrdinary::Special));
        assert_eq!(own("directory"), Some(NotOrdinary::Directory));
        assert_eq!(read_given(&path("link"), 10).expect("followed"), b"text");
        assert_eq!(given("device"), Some(NotOrdinary::Special));
        assert_eq!(given("fifo"), Some(NotOrdinary::Special));
        for name in ["link", "fifo", "directory"] {
            let mut options = OpenOptions::new();
            let opened = open_own(&path(name), options.append(true).create(true));
            assert!(NotOrdinary::of(&opened.expect_err("refused")).is_some());
            let replaced = replace_own(&path(name), b"new");
            assert!(NotOrdinary::of(&replaced.expect_err("refused")).is_some());
        }
        assert_eq!(fs::read(path("target")).expect("a file"), b"text");
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("large");
        let file = File::create(&path).expect("a file");
        // Sparse: reading it would take minutes.
        file.set_len(1 << 40).expect("a length");
        let error = read_given(&path, 1024).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        file.set_len(1024).expect("a length");
        assert_eq!(read_given(&path, 1024).expect("all of it").len(), 1024);
    }
}
