//! `overflow.jsonl`: payloads that could not enter the database yet, one a line. Who appends does
//! not have `spool.lock` (that may be the very reason), so the file is locked itself; the importer
//! holds both.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use super::SpoolError;
use crate::event::Payload;
use crate::files;
use crate::home::lock::FileLock;
use crate::home::{Home, HomeError};
use crate::limits::OVERFLOW_BYTES;

/// Held for the time of an append or an import; far longer than either takes.
const WAIT: Duration = Duration::from_secs(1);

/// The overflow file of a home.
#[derive(Debug)]
pub struct Overflow<'h> {
    home: &'h Home,
}

/// The file, locked.
#[derive(Debug)]
pub(super) struct Held {
    lock: FileLock,
    path: std::path::PathBuf,
}

impl<'h> Overflow<'h> {
    /// The overflow file of this home.
    #[must_use]
    pub fn of(home: &'h Home) -> Self {
        Self { home }
    }

    /// Adds events, all or none; durable when it returns. `allowed` is asked with the file locked,
    /// since whoever deletes what is in it does so under the same lock, after the user said no:
    /// `false` when it said no, and nothing was added. Without events nothing is touched.
    ///
    /// # Errors
    /// When the file can't be opened, locked or written.
    pub fn append(
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
        // Where there are no locks nobody can import either, and each append is one write.
        let mut lock =
            FileLock::lock_where_possible(file, WAIT)?.ok_or(io::ErrorKind::WouldBlock)?;
        if !allowed() {
            return Ok(false);
        }
        let alone = lock.is_locked();
        let file = lock.file();
        let before = file.metadata()?.len();
        let mut text = String::new();
        if before > 0 && last_byte(file)? != b'\n' {
            // A line torn by a kill or a full disk stays alone on its line.
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
            // Half an event must not look like one, and what failed here is not acknowledged.
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
    pub fn waits(&self) -> bool {
        files::size_of(&self.home.overflow()) > 0
    }

    /// The events that wait there.
    ///
    /// # Errors
    /// When the file is there but can't be read.
    pub fn payloads(&self) -> Result<Vec<Payload>, HomeError> {
        let path = self.home.overflow();
        match files::read_own(&path, 2 * OVERFLOW_BYTES) {
            Ok(content) => Ok(String::from_utf8_lossy(&content)
                .lines()
                .filter_map(Payload::reread)
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(HomeError {
                operation: "read",
                path,
                source,
            }),
        }
    }

    /// Locks the file for an import; `None` when there is nothing in it, or somebody is appending
    /// for unusually long.
    pub(super) fn hold(&self) -> Result<Option<Held>, HomeError> {
        if !self.waits() {
            return Ok(None);
        }
        self.lock()
    }

    /// Locks the file also when nothing is in it: somebody who was allowed to may be about to
    /// append. `None` when there is no file.
    pub(super) fn hold_surely(&self) -> Result<Option<Held>, SpoolError> {
        if !self.home.overflow().exists() {
            return Ok(None);
        }
        self.lock()?.map(Some).ok_or_else(|| SpoolError::Locked {
            path: self.home.overflow(),
        })
    }

    fn lock(&self) -> Result<Option<Held>, HomeError> {
        let path = self.home.overflow();
        let locked = files::open_own(&path, OpenOptions::new().read(true).write(true))
            .and_then(|file| FileLock::lock(file, WAIT));
        match locked {
            Ok(lock) => Ok(lock.map(|lock| Held { lock, path })),
            Err(source) => Err(HomeError {
                operation: "lock",
                path,
                source,
            }),
        }
    }
}

impl Held {
    /// The whole content. What is not UTF-8 is not ours and is left out with its line later.
    pub(super) fn read(&mut self) -> Result<String, HomeError> {
        let mut bytes = Vec::new();
        let read = self.lock.file().read_to_end(&mut bytes);
        read.map_err(|source| HomeError {
            operation: "read",
            path: self.path.clone(),
            source,
        })?;
        // Lossy would change lengths, and the mark counts bytes: a byte that is not ASCII is not
        // ours.
        bytes
            .iter_mut()
            .filter(|byte| !byte.is_ascii())
            .for_each(|byte| *byte = b'?');
        Ok(String::from_utf8(bytes).expect("ASCII is UTF-8"))
    }

    /// Empties the file, keeping it: who waits for its lock has it open.
    pub(super) fn empty(&mut self) -> Result<(), HomeError> {
        let file = self.lock.file();
        let emptied = file.set_len(0).and_then(|()| file.sync_data());
        emptied.map_err(|source| HomeError {
            operation: "empty",
            path: self.path.clone(),
            source,
        })
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
