//! `view-cache/`: answers that `view` has received, each with its ETag. With the ETag, the next
//! request is answered "not modified" and does not count against a rate limit. There is one file
//! per address: a line of JSON that describes the answer, then the lines of events. The files can
//! be deleted at any time, and their total size is bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Home, HomeError};
use crate::destination::segment;
use crate::files::{self, NewFile};
use crate::limits::VIEW_CACHE_BYTES;

const DIR: &str = "view-cache";

/// The stored answer of one address.
#[derive(Debug)]
pub(crate) struct CachedLines {
    /// The ETag of the answer.
    pub(crate) etag: String,
    /// Why the answer was incomplete, if it was.
    pub(crate) incomplete: Vec<String>,
    /// All its lines.
    pub(crate) lines: BufReader<File>,
    /// Their approximate size in bytes.
    pub(crate) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    address: String,
    etag: String,
    incomplete: Vec<String>,
}

/// How much of the cache one look may use. Of more pages than there is room for it keeps the first,
/// since each page that came after them would push out one that the next look begins with.
#[derive(Debug)]
pub(crate) struct CacheRoom(u64);

impl Default for CacheRoom {
    fn default() -> Self {
        Self(VIEW_CACHE_BYTES)
    }
}

/// More than the line takes that says what a page is.
const HEAD_BYTES: u64 = 1024;

impl CacheRoom {
    /// Whether there is room for a page of so many bytes; then it is taken.
    pub(crate) fn take(&mut self, bytes: u64) -> bool {
        let left = self.0.checked_sub(bytes.saturating_add(HEAD_BYTES));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// A file of the cache that is being written. It is used once it is committed.
#[derive(Debug)]
pub(crate) struct NewCache {
    file: NewFile,
    dir: PathBuf,
    bytes: u64,
}

impl Home {
    fn view_cache(&self, address: &str) -> PathBuf {
        let name = &segment::sha256(address.as_bytes())[..16];
        self.dir.join(DIR).join(format!("{name}.jsonl"))
    }

    /// Makes sure that the cache, if it exists, is our own directory and not a symbolic link.
    fn own_cache(&self) -> io::Result<()> {
        match fs::symlink_metadata(self.dir.join(DIR)) {
            Ok(metadata) if !metadata.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
            _ => Ok(()),
        }
    }

    /// The stored answer of this address.
    #[must_use]
    pub(crate) fn cached_lines(&self, address: &str) -> Option<CachedLines> {
        self.own_cache().ok()?;
        let path = self.view_cache(address);
        let file = files::open_own(&path, OpenOptions::new().read(true)).ok()?;
        let bytes = file.metadata().ok()?.len();
        let mut lines = BufReader::with_capacity(256 * 1024, file);
        let mut head = String::new();
        lines.read_line(&mut head).ok()?;
        let head: Head = serde_json::from_str(&head).ok()?;
        (head.address == address).then_some(CachedLines {
            etag: head.etag,
            incomplete: head.incomplete,
            lines,
            bytes,
        })
    }

    /// Starts to store the answer of this address.
    ///
    /// # Errors
    /// When the home can't be written. The caller then goes on without a cache.
    pub(crate) fn cache_lines(
        &self,
        address: &str,
        etag: &str,
        incomplete: &[String],
    ) -> io::Result<NewCache> {
        self.own_cache()?;
        let dir = Self::at(self.dir.join(DIR));
        let path = self.view_cache(address);
        let mut cache = NewCache {
            file: dir.making_dir(|| NewFile::own(&path))?,
            dir: dir.dir,
            bytes: 0,
        };
        let head = Head {
            address: address.to_owned(),
            etag: etag.to_owned(),
            incomplete: incomplete.to_vec(),
        };
        cache.add(&serde_json::to_vec(&head)?)?;
        Ok(cache)
    }

    /// Deletes the whole cache.
    ///
    /// # Errors
    /// When it exists and can't be deleted.
    pub(crate) fn delete_view_cache(&self) -> Result<(), HomeError> {
        let path = self.dir.join(DIR);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(HomeError {
                operation: "delete",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }
}

impl NewCache {
    /// Adds a file's lines.
    ///
    /// # Errors
    /// When they can't be written, or the cache would be too large.
    pub(crate) fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        self.bytes += lines.len() as u64 + 1;
        if self.bytes > VIEW_CACHE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(lines)?;
        if !lines.ends_with(b"\n") {
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Replaces the old answer, and deletes others if the cache has become too large.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn commit(self) -> io::Result<()> {
        self.file.finish_cached()?;
        make_room(&self.dir, VIEW_CACHE_BYTES)
    }
}

/// Deletes the oldest files until the rest are within the size limit.
fn make_room(dir: &Path, most: u64) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        found.push((metadata.modified()?, metadata.len(), entry.path()));
    }
    found.sort();
    let mut total: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in found {
        if total <= most {
            break;
        }
        fs::remove_file(path)?;
        total -= bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at five pages with room for three: how many of them the cache had.
    fn look(home: &Home, most: u64) -> usize {
        let mut room = CacheRoom(most);
        let pages = (0..5).map(|page| format!("https://telemetry.example.org/{page}"));
        let known = pages.map(|address| {
            if let Some(cached) = home.cached_lines(&address) {
                room.take(cached.bytes);
                return 1;
            }
            if room.take(9_000) {
                let mut cache = home.cache_lines(&address, "\"tag\"", &[]).expect("opens");
                cache.add(&[b'x'; 9_000]).expect("writes");
                cache.file.finish_cached().expect("renames");
                make_room(&cache.dir, most).expect("makes room");
            }
            0
        });
        known.sum()
    }

    #[test]
    fn of_more_pages_than_there_is_room_for_the_next_look_finds_those_that_were_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::at(dir.path().join("home"));
        assert_eq!(look(&home, 35_000), 0);
        assert_eq!(look(&home, 35_000), 3);
        assert_eq!(look(&home, 35_000), 3);
    }

    #[test]
    fn a_page_that_has_no_room_leaves_none_for_those_after_it() {
        let mut room = CacheRoom(10 + 2 * HEAD_BYTES);
        assert_eq!(
            [4, 7, 1].map(|bytes| room.take(bytes)),
            [true, false, false]
        );
    }
}
