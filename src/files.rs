//! Files as this program opens and makes them.
//!
//! There are two kinds. A file of *our own* stands under one of the home's names: it is an ordinary
//! file of this user, private to him, and whatever else has taken its name is refused by
//! [`open_own`], never followed, waited for or written into. A *given* file is one that the user
//! names (`jmo.yml`, a token file): it may be a link, but it is an ordinary file too, and no more is
//! read of it than the caller allows.
//!
//! There is one way to write a whole file: [`NewFile`]. It is written under a random name of its own
//! and takes its real name when it is complete and on disk.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;

/// A copy that is this old was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How the name of an unfinished copy ends.
const PARTIAL: &str = ".partial";

/// Why a name can't be used: what stands there is not an ordinary file of this user.
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
    /// The reason behind an error of this module, if it is this one.
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

/// What stands under one of the home's names: `None` when there is nothing.
///
/// # Errors
/// [`NotOrdinary`] when it is not an ordinary file of this user, or the system's reason when there
/// is no telling.
pub fn own(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            ordinary(&metadata)?;
            if foreign(&metadata) {
                return Err(NotOrdinary::Foreign.into());
            }
            Ok(Some(metadata))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Opens a file of our own. One that the options create is readable and writable by its owner alone.
///
/// # Errors
/// [`NotOrdinary`], or the system's reason.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Looked at before it is opened, since opening a device can already do something.
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
pub fn read_own(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(open_own(path, OpenOptions::new().read(true))?, limit)
}

/// Reads a file that the user names.
///
/// # Errors
/// [`NotOrdinary`] when it is no ordinary file, `FileTooLarge` when it is longer than `limit` bytes,
/// or the system's reason.
pub fn read_given(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(open_given(path)?, limit)
}

/// Opens a file that the user names, to read it.
///
/// # Errors
/// [`NotOrdinary`] when it is no ordinary file, or the system's reason.
pub fn open_given(path: &Path) -> io::Result<File> {
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
    // Sized for what is there, and not for what a growing file may become.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Replaces a file of our own in one step: private from its first byte, durable, never seen half
/// written.
///
/// # Errors
/// [`NotOrdinary`] when something else has its name, or the system's reason.
pub fn replace_own(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = NewFile::own(path)?;
    file.write_all(content)?;
    file.finish()
}

/// A file that is being written. It takes its name when it is finished, and until then what has that
/// name stays as it is; without an end, nothing is left of it.
#[derive(Debug)]
pub struct NewFile {
    out: BufWriter<File>,
    /// What is renamed at the end, and to what.
    moves: Option<(PathBuf, PathBuf)>,
}

impl NewFile {
    /// Starts a file of our own.
    ///
    /// # Errors
    /// [`NotOrdinary`] when something else has its name, or the system's reason.
    pub fn own(path: &Path) -> io::Result<Self> {
        own(path)?;
        Self::beside(path, private(&mut OpenOptions::new()))
    }

    /// Starts a file in a directory that is shared with others: it is as readable as the user's
    /// umask says. What has its name is replaced, a link too.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn shared(path: &Path) -> io::Result<Self> {
        Self::beside(path, &mut OpenOptions::new())
    }

    /// Starts a file that the user names. A link stays one, and what it points to is written; a pipe
    /// or a device is written as it is.
    ///
    /// # Errors
    /// When it can't be made, or the name is another user's link.
    pub fn given(path: &Path) -> io::Result<Self> {
        if let Ok(metadata) = fs::symlink_metadata(path)
            && metadata.is_symlink()
            && !trusted(&metadata)
        {
            return Err(NotOrdinary::Foreign.into());
        }
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self {
                out: BufWriter::new(OpenOptions::new().write(true).open(&path)?),
                moves: None,
            });
        }
        Self::beside(&path, &mut OpenOptions::new())
    }

    fn beside(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        remove_abandoned(path);
        let partial = path.with_file_name(partial_name(name)?);
        // Only a file that was not there before: a name that somebody guessed is not followed.
        let file = flags(options.write(true).create_new(true), NO_LINK).open(&partial)?;
        Ok(Self {
            out: BufWriter::new(file),
            moves: Some((partial, path.to_owned())),
        })
    }

    /// Gives it its name; content and name survive a power cut afterwards.
    ///
    /// # Errors
    /// When its end can't be written, or it can't be renamed.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some((partial, path)) = &self.moves else {
            return Ok(());
        };
        self.out.get_ref().sync_all()?;
        fs::rename(partial, path)?;
        // Where a directory can't be synced, syncing a file writes the journal that holds its name.
        #[cfg(not(unix))]
        self.out.get_ref().sync_all()?;
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        self.moves = None;
        sync_dir(&dir)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.moves {
            // If it can't be deleted now, the next writer of this file finds it abandoned.
            let _ = fs::remove_file(partial);
        }
    }
}

/// `.NAME.RANDOM.partial`.
fn partial_name(name: &OsStr) -> io::Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{:016x}{PARTIAL}", u64::from_ne_bytes(random)));
    Ok(partial)
}

/// Deletes all unfinished copies of a file, whoever is writing them.
///
/// # Errors
/// When one can't be deleted.
pub fn remove_partials(path: &Path) -> io::Result<()> {
    partials(path).try_for_each(|entry| match fs::remove_file(entry.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Deletes the copies of a file that killed processes left behind. A new file does not depend on it.
fn remove_abandoned(path: &Path) {
    let long_ago = clock::before(clock::now(), ABANDONED);
    for entry in partials(path) {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        if written.is_ok_and(|at| DateTime::<Utc>::from(at) < long_ago) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn partials(path: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    let mut start = OsString::from(".");
    start.push(path.file_name().unwrap_or_default());
    start.push(".");
    let is_partial = move |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(start.as_encoded_bytes()) && name.ends_with(PARTIAL.as_bytes())
    };
    fs::read_dir(or_here(path.parent().unwrap_or(Path::new(""))))
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| is_partial(&entry.file_name()))
}

/// Makes the names in a directory durable. Windows can't open a directory as a file; there a name is
/// durable once its file was synced ([`NewFile::finish`]).
///
/// # Errors
/// The system's reason.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(or_here(dir))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// The parent of a file name that has no directory in it is the working directory.
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

/// Files made with these options are readable and writable by their owner alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
use unix::{NO_LINK, NO_WAIT, flags, foreign, trusted};

#[cfg(unix)]
mod unix {
    use std::fs::{Metadata, OpenOptions};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use nix::fcntl::OFlag;

    /// Fails where the last part of the path is a symbolic link.
    pub(super) const NO_LINK: i32 = OFlag::O_NOFOLLOW.bits();
    /// Waits neither for the other end of a pipe nor for a device, and takes no terminal for its own.
    pub(super) const NO_WAIT: i32 = OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits();

    pub(super) fn flags(options: &mut OpenOptions, flags: i32) -> &mut OpenOptions {
        options.custom_flags(flags)
    }

    /// Whether the file is another user's.
    pub(super) fn foreign(metadata: &Metadata) -> bool {
        metadata.uid() != nix::unistd::geteuid().as_raw()
    }

    /// Whether only this user or root can have put it there.
    pub(super) fn trusted(metadata: &Metadata) -> bool {
        metadata.uid() == 0 || !foreign(metadata)
    }
}

#[cfg(windows)]
use windows::{NO_LINK, NO_WAIT, flags, foreign, trusted};

#[cfg(windows)]
mod windows {
    use std::fs::{Metadata, OpenOptions};
    use std::os::windows::fs::OpenOptionsExt;

    /// `FILE_FLAG_OPEN_REPARSE_POINT`: opens a link itself and not what it points to.
    pub(super) const NO_LINK: u32 = 0x0020_0000;
    pub(super) const NO_WAIT: u32 = 0;

    pub(super) fn flags(options: &mut OpenOptions, flags: u32) -> &mut OpenOptions {
        options.custom_flags(flags)
    }

    /// Access lists say who may do what there; a user's profile is the user's alone.
    pub(super) fn foreign(_: &Metadata) -> bool {
        false
    }

    pub(super) fn trusted(_: &Metadata) -> bool {
        true
    }
}

/// Whether the file's group or others may read it. Where the system has no such rights, nobody else
/// can.
#[must_use]
pub fn readable_by_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// The size in bytes of a file of our own; 0 when it is not there.
#[must_use]
pub fn size_of(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn names(dir: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(dir).expect("a directory");
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn whatever_is_no_ordinary_file_is_refused_without_waiting() {
        let dir = dir();
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
        let dir = dir();
        let path = dir.path().join("large");
        let file = File::create(&path).expect("a file");
        // Sparse: reading it would take minutes.
        file.set_len(1 << 40).expect("a length");
        let error = read_given(&path, 1024).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        file.set_len(1024).expect("a length");
        assert_eq!(read_given(&path, 1024).expect("all of it").len(), 1024);
    }

    #[test]
    fn a_new_file_is_there_whole_or_not_at_all() {
        let dir = dir();
        let path = dir.path().join("file");
        let mut unfinished = NewFile::own(&path).expect("a file");
        unfinished.write_all(b"half").expect("written");
        drop(unfinished);
        assert!(names(dir.path()).is_empty());
        replace_own(&path, b"whole").expect("written");
        assert_eq!(names(dir.path()), ["file"]);
        assert!(!readable_by_others(&path));
    }

    #[test]
    fn copies_of_killed_writers_are_deleted_and_those_of_others_are_not() {
        let dir = dir();
        let path = dir.path().join("file");
        let old = dir.path().join(".file.0000000000000001.partial");
        let new = dir.path().join(".file.0000000000000002.partial");
        let other = dir.path().join(".other.0000000000000001.partial");
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        for (path, at) in [
            (&old, Some(long_ago)),
            (&new, None),
            (&other, Some(long_ago)),
        ] {
            let file = File::create(path).expect("a file");
            if let Some(at) = at {
                file.set_modified(at).expect("a time");
            }
        }
        replace_own(&path, b"whole").expect("written");
        assert!(!old.exists() && new.exists() && other.exists());
        remove_partials(&path).expect("deleted");
        assert!(!new.exists() && other.exists());
    }

    #[test]
    fn a_file_of_the_users_is_written_where_his_link_points() {
        let dir = dir();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "old").expect("a file");
        symlink(&target, &link).expect("a link");
        let mut file = NewFile::given(&link).expect("a file");
        file.write_all(b"new").expect("written");
        file.finish().expect("finished");
        assert_eq!(fs::read(&target).expect("a file"), b"new");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        let mut shared = NewFile::shared(&link).expect("a file");
        shared.write_all(b"another").expect("written");
        shared.finish().expect("finished");
        assert_eq!(fs::read(&target).expect("a file"), b"new");
        assert!(fs::symlink_metadata(&link).expect("a file").is_file());
    }
}
