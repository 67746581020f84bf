//! `overflow.jsonl`: payloads that are not in the database yet, one per line. A process that
//! appends does not hold `spool.lock` (that may be why it appends here), so the file itself is
//! locked. An import holds both locks.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::SpoolError;
use crate::event::Payload;
use crate::files::{self, FileLock};
use crate::home::{Home, HomeError};
use crate::limits::{INPUT_BUFFER_BYTES, OVERFLOW_BYTES, OVERFLOW_WAIT};

/// The overflow file of a home.
#[derive(Debug)]
pub(crate) struct Overflow<'h> {
    home: &'h Home,
}

/// The file while it is locked.
#[derive(Debug)]
pub(super) struct LockedOverflow {
    lock: FileLock,
    path: PathBuf,
    rejected: PathBuf,
}

/// Lines of `overflow.jsonl` that could not be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SetAside {
    /// Where they are kept.
    pub(crate) path: PathBuf,
    /// How many there are.
    pub(crate) lines: usize,
    /// How many of them end in the middle: the unfinished write of an event that `record` never
    /// reported as recorded.
    pub(crate) torn: usize,
}

impl<'h> Overflow<'h> {
    /// The overflow file of this home.
    #[must_use]
    pub(crate) fn of(home: &'h Home) -> Self {
        Self { home }
    }

    /// Adds events, all or none, durably. `allowed` is called while the file is locked: telemetry
    /// may have been disabled meanwhile, and events are then deleted under the same lock. Returns
    /// `false`, and adds nothing, when `allowed` does. Without events the file is not touched.
    ///
    /// # Errors
    /// When the file can't be opened, locked or written.
    pub(crate) fn append(
        &self,
        payloads: &[Payload],
        allowed: impl FnOnce() -> bool,
    ) -> Result<bool, HomeError> {
        if payloads.is_empty() {
            return Ok(true);
        }
        let path = self.home.overflow();
        self.try_append(payloads, allowed)
            .map_err(|source| HomeError {
                operation: "append to",
                path,
                source,
            })
    }

    fn try_append(&self, payloads: &[Payload], allowed: impl FnOnce() -> bool) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut open = || files::open_own(&self.home.overflow(), &mut options);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.home.create().map_err(|error| error.source)?;
                open()?
            }
            other => other?,
        };
        // Where there are no locks, nobody can import either, and each append is a single write.
        let lock =
            FileLock::lock_where_possible(file, OVERFLOW_WAIT)?.ok_or(io::ErrorKind::WouldBlock)?;
        if !allowed() {
            return Ok(false);
        }
        let alone = lock.is_locked();
        let mut file = lock.file();
        let before = file.metadata()?.len();
        let mut text = String::new();
        if before > 0 && last_byte(file)? != b'\n' {
            // The last line was cut off by a kill or a full disk. It must not merge with a new one.
            text.push('\n');
        }
        for payload in payloads {
            text.push_str(payload.as_str());
            text.push('\n');
        }
        if before + text.len() as u64 > OVERFLOW_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Err(error) = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
        {
            // Removes a partly written event, which `record` will not report as recorded.
            if alone {
                let _ = file.set_len(before);
            }
            return Err(error);
        }
        if before == 0 {
            files::sync_dir(self.home.dir())?;
        }
        Ok(true)
    }

    /// Whether anything waits there.
    #[must_use]
    pub(crate) fn waits(&self) -> bool {
        files::size_of(&self.home.overflow()) > 0
    }

    /// How many events wait there.
    #[must_use]
    pub(crate) fn waiting(&self) -> u64 {
        lines_of(&self.home.overflow())
    }

    /// The lines that were set aside because this program did not write them; `None` when there are
    /// none.
    #[must_use]
    pub(crate) fn set_aside(&self) -> Option<SetAside> {
        let path = self.home.rejected_overflow();
        let text = files::read_own(&path, OVERFLOW_BYTES).ok()?;
        let lines = || {
            text.split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
        };
        let torn = lines().filter(|line| is_torn(line)).count();
        (!text.is_empty()).then_some(SetAside {
            path,
            lines: lines().count(),
            torn,
        })
    }

    /// Locks the file for an import. `None` when it is empty, or another process holds the lock for
    /// longer than `wait`.
    pub(super) fn lock_unless_empty(
        &self,
        wait: Duration,
    ) -> Result<Option<LockedOverflow>, HomeError> {
        if !self.waits() {
            return Ok(None);
        }
        self.lock(wait)
    }

    /// Locks the file even when it is empty, because a process that has already checked consent may
    /// be about to append. `None` when there is no file.
    pub(super) fn lock_even_if_empty(&self) -> Result<Option<LockedOverflow>, SpoolError> {
        if !self.home.overflow().exists() {
            return Ok(None);
        }
        self.lock(OVERFLOW_WAIT)?
            .map(Some)
            .ok_or_else(|| SpoolError::locked(self.home.overflow()))
    }

    fn lock(&self, wait: Duration) -> Result<Option<LockedOverflow>, HomeError> {
        let path = self.home.overflow();
        let locked = files::open_own(&path, OpenOptions::new().read(true).write(true))
            .and_then(|file| FileLock::lock(file, wait));
        let rejected = self.home.rejected_overflow();
        match locked {
            Ok(lock) => Ok(lock.map(|lock| LockedOverflow {
                lock,
                path,
                rejected,
            })),
            Err(source) => Err(HomeError {
                operation: "lock",
                path,
                source,
            }),
        }
    }
}

impl LockedOverflow {
    /// The whole content.
    pub(super) fn read(&self) -> Result<Vec<u8>, HomeError> {
        let mut bytes = Vec::new();
        let file = self.lock.file();
        let read = file.take(OVERFLOW_BYTES + 1).read_to_end(&mut bytes);
        read.and_then(|_| {
            if bytes.len() as u64 > OVERFLOW_BYTES {
                Err(io::ErrorKind::FileTooLarge.into())
            } else {
                Ok(bytes)
            }
        })
        .map_err(self.fail("read"))
    }

    /// Adds lines to the file of rejected lines, durably. Lines that are already there are not
    /// added again, in case an earlier import was killed.
    pub(super) fn set_aside(&self, lines: &[&[u8]]) -> Result<(), HomeError> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = &self.rejected;
        try_set_aside(path, lines).map_err(|source| HomeError {
            operation: "set lines of overflow.jsonl aside in",
            path: path.clone(),
            source,
        })
    }

    /// Empties the file but does not delete it, because processes that wait for its lock have it open.
    pub(super) fn empty(&self) -> Result<(), HomeError> {
        let file = self.lock.file();
        let emptied = file.set_len(0).and_then(|()| file.sync_data());
        emptied.map_err(self.fail("empty"))
    }

    fn fail(&self, operation: &'static str) -> impl FnOnce(io::Error) -> HomeError + use<> {
        let path = self.path.clone();
        move |source| HomeError {
            operation,
            path,
            source,
        }
    }
}

/// Whether a line is the beginning of a JSON value.
fn is_torn(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

fn try_set_aside(path: &Path, lines: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = files::open_own(path, options.read(true).append(true).create(true))?;
    let mut text = Vec::new();
    (&mut file).take(OVERFLOW_BYTES).read_to_end(&mut text)?;
    let before = text.len();
    let known: HashSet<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let mut added = Vec::new();
    if text.last().is_some_and(|byte| *byte != b'\n') {
        added.push(b'\n');
    }
    for line in lines.iter().filter(|line| !known.contains(*line)) {
        added.extend_from_slice(line);
        added.push(b'\n');
    }
    if (before + added.len()) as u64 > OVERFLOW_BYTES {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(&added)?;
    file.sync_all()?;
    files::sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// The number of lines of a file. 0 when it can't be read, since then it can't be imported either.
fn lines_of(path: &Path) -> u64 {
    let Ok(mut file) = files::open_own(path, OpenOptions::new().read(true)) else {
        return 0;
    };
    let (mut lines, mut open) = (0, false);
    let mut buffer = vec![0; INPUT_BUFFER_BYTES];
    while let Ok(read @ 1..) = file.read(&mut buffer) {
        for byte in &buffer[..read] {
            if *byte == b'\n' {
                lines += u64::from(open);
                open = false;
            } else {
                open = true;
            }
        }
    }
    lines + u64::from(open)
}

fn last_byte(mut file: &File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
