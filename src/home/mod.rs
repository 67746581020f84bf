//! The home: the directory that holds everything this program keeps, and the names of its files.
//! The directory has mode 0700, its files have mode 0600.

mod choice;
mod connection;
mod holder;
mod identity;
mod owner;
mod view_cache;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

pub use choice::Choice;
pub(crate) use connection::ConnectionError;
pub(crate) use holder::Holder;
pub(crate) use owner::OwnerError;
pub(crate) use view_cache::{CacheRoom, CachedLines, NewCache};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::env::Environment;
use crate::files::{self, FileLock};
use crate::limits::SMALL_FILE_BYTES;

/// The home directory.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
    /// Whether `JMO_TELEMETRY_HOME` names it. If so, its permissions are never changed.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only Unix has such permissions")
    )]
    named: bool,
}

/// One failed operation on a file of the home.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} `{}`", path.display())]
pub struct HomeError {
    /// The operation, as a verb.
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// There is no directory to use as home.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to find a home: HOME is not set; set JMO_TELEMETRY_HOME to a directory of your own"
)]
pub(crate) struct NoHome;

impl Home {
    /// `$JMO_TELEMETRY_HOME`, else `~/.jmo-security`. Does not touch the disk.
    ///
    /// # Errors
    /// When neither is known.
    pub(crate) fn find(environment: &Environment) -> Result<Self, NoHome> {
        Ok(match environment.get_os("JMO_TELEMETRY_HOME") {
            Some(dir) => Self {
                dir: PathBuf::from(dir),
                named: true,
            },
            None => Self::at(environment.user_home().ok_or(NoHome)?.join(".jmo-security")),
        })
    }

    /// A home at this path. Does not touch the disk.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            named: false,
        }
    }

    /// The directory.
    #[must_use]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a file of the home.
    #[must_use]
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The database.
    #[must_use]
    pub(crate) fn spool_db(&self) -> PathBuf {
        self.file("spool.db")
    }

    /// Whether the banner was shown on this machine.
    #[must_use]
    pub(crate) fn notice_shown(&self) -> bool {
        let file = fs::symlink_metadata(self.file("notice-shown"));
        file.is_ok_and(|file| file.is_file())
    }

    /// Records when the banner was first shown.
    ///
    /// # Errors
    /// When the home can't be written.
    pub(crate) fn note_notice_shown(&self, at: DateTime<Utc>) -> Result<(), HomeError> {
        if self.notice_shown() {
            return Ok(());
        }
        let text = format!("{}\n", at.to_rfc3339_opts(SecondsFormat::Secs, true));
        self.replace("notice-shown", text.as_bytes())
    }

    /// The database's write-ahead log.
    #[must_use]
    pub(crate) fn spool_wal(&self) -> PathBuf {
        self.file("spool.db-wal")
    }

    /// Events that are not in the database yet, because it could not be written in time.
    #[must_use]
    pub(crate) fn overflow(&self) -> PathBuf {
        self.file("overflow.jsonl")
    }

    /// Lines of `overflow.jsonl` that this program did not write.
    #[must_use]
    pub(crate) fn rejected_overflow(&self) -> PathBuf {
        self.file("overflow.jsonl.corrupt")
    }

    /// The names of damaged databases that were set aside.
    #[must_use]
    pub(crate) fn quarantined(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let databases = names
            .filter(|name| name.starts_with("spool.db.corrupt-"))
            .map(|name| {
                name.trim_end_matches("-wal")
                    .trim_end_matches("-shm")
                    .to_owned()
            });
        databases.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Deletes the damaged databases that were set aside.
    ///
    /// # Errors
    /// When one can't be deleted.
    pub(crate) fn delete_quarantined(&self) -> Result<(), HomeError> {
        for name in self.quarantined() {
            for part in ["", "-wal", "-shm"] {
                self.remove(&format!("{name}{part}"))?;
            }
        }
        Ok(())
    }

    /// Deletes the lines of `overflow.jsonl` that were set aside.
    ///
    /// # Errors
    /// When the file can't be deleted.
    pub(crate) fn delete_rejected_overflow(&self) -> Result<(), HomeError> {
        self.remove("overflow.jsonl.corrupt").map(drop)
    }

    /// Creates the directory with mode 0700, and those above it, durably. An existing one is left as it
    /// is.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(&self) -> Result<(), HomeError> {
        let fail = |source| HomeError {
            operation: "create directory",
            path: self.dir.clone(),
            source,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let missing = self.dir.ancestors().take_while(|dir| !dir.exists());
        let missing: Vec<_> = missing.collect();
        builder.create(&self.dir).map_err(fail)?;
        for parent in missing.into_iter().filter_map(Path::parent) {
            // Some file systems can't sync a directory; there is nothing better to do there.
            let _ = files::sync_dir(parent);
        }
        Ok(())
    }

    /// Takes `spool.lock`. `None` when another process still holds it after `wait`.
    ///
    /// # Errors
    /// When the lock file can't be opened.
    pub fn lock_spool(&self, wait: std::time::Duration) -> Result<Option<SpoolLock>, HomeError> {
        Ok(self.lock("spool.lock", wait)?.map(SpoolLock))
    }

    /// Takes `flush.lock` without waiting; `None` when another flush holds it.
    ///
    /// # Errors
    /// When the lock file can't be opened.
    pub(crate) fn lock_flush(&self) -> Result<Option<FlushLock>, HomeError> {
        Ok(self
            .lock("flush.lock", std::time::Duration::ZERO)?
            .map(FlushLock))
    }

    fn lock(&self, name: &str, wait: std::time::Duration) -> Result<Option<FileLock>, HomeError> {
        let path = self.file(name);
        self.making_dir(|| FileLock::acquire(&path, wait))
            .map_err(|source| HomeError {
                operation: "lock",
                path,
                source,
            })
    }

    /// Opens something in the home. Creates the directory only after opening failed because it is
    /// missing, so that the usual case costs nothing.
    fn making_dir<T>(&self, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create().map_err(|error| error.source)?;
                open()
            }
            other => other,
        }
    }

    /// Reads a small file; `None` when it does not exist.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, HomeError> {
        let path = self.file(name);
        match files::read_own(&path, SMALL_FILE_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if files::is_missing(&error) => Ok(None),
            Err(source) => Err(HomeError {
                operation: "read",
                path,
                source,
            }),
        }
    }

    /// Replaces a small file in one step ([`files::replace_own`]).
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), HomeError> {
        self.create()?;
        let path = self.file(name);
        files::replace_own(&path, content).map_err(|source| HomeError {
            operation: "write",
            path,
            source,
        })
    }

    /// Deletes a file. Returns whether it existed.
    fn remove(&self, name: &str) -> Result<bool, HomeError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(HomeError {
                operation: "delete",
                path,
                source,
            }),
        }
    }
}

/// Proof that `spool.lock` is held. Functions that write to the spool take one.
#[derive(Debug)]
pub struct SpoolLock(#[expect(dead_code, reason = "held for its drop")] FileLock);

/// Proof that `flush.lock` is held, so that only one flush runs at a time.
#[derive(Debug)]
pub(crate) struct FlushLock(#[expect(dead_code, reason = "held for its drop")] FileLock);
