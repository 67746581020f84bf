//! Writing a whole file: it is written under a random name and renamed when it is complete and on
//! disk.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::system::{NO_LINK, flags, private, trusted};
use super::{NotOrdinary, or_here, own, sync_dir};
use crate::clock;

/// An unfinished copy older than this was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The end of an unfinished copy's name.
const PARTIAL: &str = ".partial";

/// Replaces a file of our own in one step. The new file is private from its first byte and durable,
/// and nobody ever sees it half written.
///
/// # Errors
/// [`NotOrdinary`], or the system's reason.
pub(crate) fn replace_own(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = NewFile::own(path)?;
    file.write_all(content)?;
    file.finish()
}

/// A file that is being written. It takes its name in [`NewFile::finish`]; until then the old file
/// of that name is untouched. If it is dropped unfinished, nothing remains of it.
#[derive(Debug)]
pub(crate) struct NewFile {
    out: BufWriter<File>,
    /// The temporary path and the final one; `None` when nothing needs to be renamed.
    moves: Option<(PathBuf, PathBuf)>,
}

impl NewFile {
    /// Starts a file of our own.
    ///
    /// # Errors
    /// [`NotOrdinary`], or the system's reason.
    pub(crate) fn own(path: &Path) -> io::Result<Self> {
        own(path)?;
        Self::beside(path, private(&mut OpenOptions::new()))
    }

    /// Starts a file in a directory that is shared with others, with the permissions of the user's
    /// umask. An old file of that name is replaced; so is a symbolic link.
    ///
    /// # Errors
    /// When it can't be created.
    pub(crate) fn shared(path: &Path) -> io::Result<Self> {
        Self::beside(path, &mut OpenOptions::new())
    }

    /// Starts a file that the user names. A symbolic link stays, and the file that it points to is
    /// replaced. A pipe or a device is written to directly.
    ///
    /// # Errors
    /// When it can't be created, or the name is another user's symbolic link.
    pub(crate) fn given(path: &Path) -> io::Result<Self> {
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
        // `create_new`, so that a file or link that somebody placed under a guessed name is not used.
        let file = flags(options.write(true).create_new(true), NO_LINK).open(&partial)?;
        Ok(Self {
            out: BufWriter::new(file),
            moves: Some((partial, path.to_owned())),
        })
    }

    /// Gives the file its name. Afterwards its content and its name survive a power cut.
    ///
    /// # Errors
    /// When it can't be written completely, or can't be renamed.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let Some(path) = self.take_name()? else {
            return Ok(());
        };
        // Where a directory can't be synced, syncing a file writes the journal that holds its name.
        #[cfg(not(unix))]
        self.out.get_ref().sync_all()?;
        sync_dir(path.parent().unwrap_or(Path::new("")))
    }

    /// Gives it its name. After a power cut its content is all there under that name, or the name
    /// still has what it had before: that is enough for a cache, and half as much to wait for.
    ///
    /// # Errors
    /// When its end can't be written, or it can't be renamed.
    pub(crate) fn finish_cached(mut self) -> io::Result<()> {
        self.take_name().map(drop)
    }

    /// Syncs the content, then renames; gives the new name, if it gets one.
    fn take_name(&mut self) -> io::Result<Option<PathBuf>> {
        self.out.flush()?;
        let Some((partial, path)) = &self.moves else {
            return Ok(None);
        };
        self.out.get_ref().sync_all()?;
        fs::rename(partial, path)?;
        Ok(self.moves.take().map(|(_, path)| path))
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
            // If it can't be deleted now, a later writer of this file deletes it as abandoned.
            let _ = fs::remove_file(partial);
        }
    }
}

/// A file without a name that has this content, ready to be read from its start. Even if this
/// process is killed, nothing remains of it after its last reader.
///
/// # Errors
/// When it can't be written in this directory.
pub(crate) fn unnamed_in(dir: &Path, content: &[u8]) -> io::Result<File> {
    let path = dir.join(partial_name(OsStr::new("jmo-telemetry"))?);
    let mut options = OpenOptions::new();
    private(options.read(true).write(true).create_new(true));
    let mut file = flags(&mut options, NO_LINK).open(&path)?;
    fs::remove_file(&path)?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
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

/// Deletes all unfinished copies of a file, even those that are being written.
///
/// # Errors
/// When one can't be deleted.
pub(crate) fn remove_partials(path: &Path) -> io::Result<()> {
    partials(path).try_for_each(|entry| match fs::remove_file(entry.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Deletes the copies of a file that killed processes left behind. Errors don't matter to the new file.
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::files::readable_by_others;

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
    fn a_new_file_exists_completely_or_not_at_all() {
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
    fn an_unnamed_file_is_read_from_its_start_and_leaves_nothing() {
        let dir = dir();
        let file = unnamed_in(dir.path(), b"whole").expect("a file");
        assert!(names(dir.path()).is_empty());
        assert_eq!(io::read_to_string(file).expect("text"), "whole");
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
    fn a_file_that_the_user_names_is_written_where_its_link_points() {
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
