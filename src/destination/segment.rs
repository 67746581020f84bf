//! Segments: what one request carries, and a segment's name and size as pure decisions.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::limits::SEGMENT_BYTES;

/// One remote file: the whole content of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// The segment's row.
    pub id: i64,
    /// `events-<YYYYMMDD>-<segment id>.jsonl`
    pub name: String,
    /// Every event of the segment, one a line.
    pub content: String,
    /// All events in it.
    pub events: usize,
    /// Of these, the ones that wait for confirmation.
    pub unconfirmed: usize,
}

/// What one request carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Files to write.
    pub files: Vec<SegmentFile>,
    /// Files to delete: their events moved to another destination before they were confirmed, and
    /// may be there.
    pub stale: Vec<String>,
}

impl Batch {
    /// Events that wait for confirmation in it.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.files.iter().map(|file| file.unconfirmed).sum()
    }

    /// Its changes one by one, each with an answer of its own: what must go first, then what comes.
    pub fn steps(self) -> impl Iterator<Item = Self> {
        let deletion = Self {
            stale: self.stale,
            files: Vec::new(),
        };
        let writing = Self {
            stale: Vec::new(),
            files: self.files,
        };
        [deletion, writing]
            .into_iter()
            .filter(|step| !step.is_empty())
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.stale.is_empty()
    }
}

/// The proof that a file is at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Its size.
    pub bytes: usize,
    /// SHA-256 of its content, hex.
    pub sha256: String,
    /// Where it can be read.
    pub url: String,
}

/// Whether a segment of `bytes` takes one more payload of this length and its line end, or is full.
/// An empty segment takes anything: an event that no segment takes would never leave.
#[must_use]
pub fn takes(bytes: usize, payload: usize) -> bool {
    bytes == 0 || bytes + payload < SEGMENT_BYTES
}

impl Receipt {
    /// The receipt of a file whose content is proven to be at `url`.
    #[must_use]
    pub fn of(file: &SegmentFile, url: String) -> Self {
        Self {
            bytes: file.content.len(),
            sha256: sha256(file.content.as_bytes()),
            url,
        }
    }
}

/// The name of the segment that starts with this event: `events-<YYYYMMDD>-<16 hex digits>.jsonl`.
///
/// The digits come from the event, so a dry run and the flush after it name the same file, and a
/// home restored from a backup does not write over what it sent after the backup. `nth` is 0 unless
/// the name is taken at this destination already.
#[must_use]
pub fn name(first: Uuid, nth: u32, now: DateTime<Utc>) -> String {
    let digest = Sha256::new()
        .chain_update(first.as_bytes())
        .chain_update(nth.to_be_bytes())
        .finalize();
    format!(
        "events-{}-{}.jsonl",
        now.format("%Y%m%d"),
        hex(&digest[..8])
    )
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// The first 128 bits of the SHA-256: enough to tell ids apart, whoever makes them up.
#[must_use]
pub fn hash128(content: &[u8]) -> u128 {
    let digest = Sha256::digest(content);
    digest[..16]
        .iter()
        .fold(0, |hash, byte| hash << 8 | u128::from(*byte))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_never_passes_its_limit() {
        assert!(takes(0, SEGMENT_BYTES * 2));
        assert!(takes(SEGMENT_BYTES - 400, 399));
        assert!(!takes(SEGMENT_BYTES - 400, 400));
    }

    #[test]
    fn a_name_follows_from_the_first_event_and_the_day() {
        let first = Uuid::from_u128(7);
        let now = "2026-11-22T23:59:59Z".parse().expect("a time");
        assert_eq!(name(first, 0, now), name(first, 0, now));
        assert_ne!(name(first, 0, now), name(first, 1, now));
        assert_ne!(name(first, 0, now), name(Uuid::from_u128(8), 0, now));
        assert!(name(first, 0, now).starts_with("events-20261122-"));
        assert_eq!(
            name(first, 0, now).len(),
            "events-20261122-0123456789abcdef.jsonl".len()
        );
    }

    #[test]
    fn sha256_is_the_one_everybody_knows() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
