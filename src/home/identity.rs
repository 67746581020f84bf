//! `telemetry-id` and `scan-count`: two small files that many processes may create or change at the
//! same time. Each is changed in place, under a lock on the file itself, so neither needs
//! `spool.lock`.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use uuid::{Uuid, Variant, Version};

use super::{Home, HomeError};
use crate::event::vocabulary::ScanFrequency;
use crate::files::{self, FileLock, NotOrdinary};
use crate::limits::SMALL_FILE_WAIT;

/// Whether a change must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

impl Home {
    /// The anonymous id, if `telemetry-id` holds a valid one (the text of a UUIDv4). Any other
    /// content is never used.
    ///
    /// # Errors
    /// When the file exists but can't be read.
    pub(crate) fn known_anonymous_id(&self) -> Result<Option<Uuid>, HomeError> {
        Ok(self.read("telemetry-id")?.as_deref().and_then(parse_id))
    }

    /// The anonymous id. Creates one, durably, when there is no valid one. Processes that do this
    /// at the same time get the same id.
    ///
    /// # Errors
    /// When the file can't be read or written, or is locked for longer than `wait`.
    pub fn anonymous_id(&self, wait: Duration) -> Result<Uuid, HomeError> {
        if let Ok(Some(id)) = self.known_anonymous_id() {
            return Ok(id);
        }
        self.change_id(wait, parse_id)
    }

    /// Replaces the anonymous id with a new one.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn reset_anonymous_id(&self) -> Result<Uuid, HomeError> {
        self.change_id(SMALL_FILE_WAIT, |_| None)
    }

    /// Replaces the content of `telemetry-id` with a new id. Does nothing when the file does not
    /// exist.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn forget_anonymous_id(&self) -> Result<(), HomeError> {
        if self.file("telemetry-id").symlink_metadata().is_ok() {
            self.reset_anonymous_id()?;
        }
        Ok(())
    }

    fn change_id(
        &self,
        wait: Duration,
        keep: impl Fn(&[u8]) -> Option<Uuid>,
    ) -> Result<Uuid, HomeError> {
        self.change_small("telemetry-id", Durable::Yes, wait, |content| {
            match keep(content) {
                Some(id) => (id, None),
                None => {
                    let id = Uuid::new_v4();
                    (id, Some(id.to_string()))
                }
            }
        })
    }

    /// Counts `scans` more scans and returns the frequency hint for each of them, in order.
    ///
    /// # Errors
    /// When the file can't be read or written, or is locked for longer than `wait`.
    pub(crate) fn count_scans(
        &self,
        scans: u64,
        wait: Duration,
    ) -> Result<impl Iterator<Item = ScanFrequency> + use<>, HomeError> {
        // Not durable: a power cut may lose the count, which makes one hint wrong. An fsync would
        // cost as much as the event itself, and other processes would wait for it.
        let before = self.change_small("scan-count", Durable::No, wait, |content| {
            let before = parse_count(content);
            (before, Some(before.saturating_add(scans).to_string()))
        })?;
        Ok((1..=scans).map(move |n| ScanFrequency::of_scan(before.saturating_add(n))))
    }

    /// Forgets how many scans were counted: the next scan is the first of a new id.
    ///
    /// # Errors
    /// When the file can't be deleted.
    pub(crate) fn forget_scan_count(&self) -> Result<(), HomeError> {
        self.remove("scan-count").map(drop)
    }

    /// How many scans were counted; 0 when the file does not exist or holds no number.
    #[must_use]
    pub(crate) fn scan_count(&self) -> u64 {
        self.read("scan-count")
            .ok()
            .flatten()
            .map_or(0, |content| parse_count(&content))
    }

    /// Reads and rewrites a small file under a lock on it.
    fn change_small<T>(
        &self,
        name: &str,
        durable: Durable,
        wait: Duration,
        change: impl FnOnce(&[u8]) -> (T, Option<String>),
    ) -> Result<T, HomeError> {
        let path = self.file(name);
        self.change_locked(&path, durable, wait, change)
            .map_err(|source| HomeError {
                operation: "update",
                path,
                source,
            })
    }

    fn change_locked<T>(
        &self,
        path: &Path,
        durable: Durable,
        wait: Duration,
        change: impl FnOnce(&[u8]) -> (T, Option<String>),
    ) -> io::Result<T> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut open = || files::open_own(path, &mut options);
        let file = match self.making_dir(&mut open) {
            Err(error) if is_in_the_way(&error) => {
                fs::remove_file(path)?;
                open()?
            }
            other => other?,
        };
        // Where there are no locks, two first events at the same moment may get two ids, and two
        // scans may count as one.
        let lock = FileLock::lock_where_possible(file, wait.min(SMALL_FILE_WAIT))?
            .ok_or(io::ErrorKind::WouldBlock)?;
        let mut file = lock.file();
        let mut content = Vec::new();
        file.take(1024).read_to_end(&mut content)?;
        let (result, new) = change(&content);
        if let Some(new) = new {
            // Written before it is truncated, so that the file is never empty. The new text is as
            // long as the old one or longer, unless the file held something else.
            file.seek(SeekFrom::Start(0))?;
            file.write_all(new.as_bytes())?;
            file.set_len(new.len() as u64)?;
            if durable == Durable::Yes {
                file.sync_all()?;
                files::sync_dir(&self.dir)?;
            }
        }
        Ok(result)
    }
}

/// Whether the thing in the place of the file may be deleted. Deleting a symbolic link leaves its
/// target alone.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        NotOrdinary::of(error),
        Some(NotOrdinary::Link | NotOrdinary::Special)
    )
}

fn parse_id(content: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(content).ok()?.trim();
    let id = Uuid::parse_str(text).ok()?;
    let is_random =
        id.get_version() == Some(Version::Random) && id.get_variant() == Variant::RFC4122;
    (text.len() == 36 && is_random).then_some(id)
}

fn parse_count(content: &[u8]) -> u64 {
    std::str::from_utf8(content)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_uuid_of_version_four_is_an_id() {
        let id = "a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c";
        assert!(parse_id(id.as_bytes()).is_some());
        assert!(parse_id(format!("{id}\n").as_bytes()).is_some());
        for other in [
            "",
            "me@example.com",
            "a7f3c8e24b1d4f9e8c3a2d5e7f9b1a3c",
            "00000000-0000-0000-0000-000000000000",
            "019f3c8e-4b1d-7f9e-8c3a-2d5e7f9b1a3c",
        ] {
            assert_eq!(parse_id(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_new_id_replaces_invalid_content_and_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::at(dir.path());
        std::fs::write(
            home.file("telemetry-id"),
            "somebody@example.com, a long line of something else",
        )
        .expect("writes");
        let id = home.anonymous_id(SMALL_FILE_WAIT).expect("makes an id");
        assert_eq!(home.anonymous_id(SMALL_FILE_WAIT).expect("reads it"), id);
        assert_eq!(
            std::fs::read_to_string(home.file("telemetry-id")).expect("reads"),
            id.to_string()
        );
    }

    #[test]
    fn scans_are_counted_and_hinted_in_order() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::at(dir.path());
        let first: Vec<_> = home
            .count_scans(2, SMALL_FILE_WAIT)
            .expect("counts")
            .collect();
        assert_eq!(first, [ScanFrequency::FirstTime, ScanFrequency::Weekly]);
        assert_eq!(
            home.count_scans(9, SMALL_FILE_WAIT).expect("counts").last(),
            Some(ScanFrequency::Daily)
        );
        assert_eq!(home.scan_count(), 11);
    }
}
