//! Segments: the content of one request, and pure functions that decide a segment's name and size.

use chrono::{DateTime, Datelike as _};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Capabilities, RemoteFile, Seen, Wanted};
use crate::event::Payload;

/// One remote file: the whole content of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// The id of the segment's row.
    pub id: i64,
    /// `events-<YYYYMMDD>-<segment id>.jsonl`
    pub name: String,
    /// Every event of the segment, one per line.
    pub content: String,
    /// The number of events in it.
    pub events: usize,
    /// How many of them are not confirmed.
    pub unconfirmed: usize,
}

/// The content of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Files to write.
    pub files: Vec<SegmentFile>,
    /// Files to delete: their events went to another destination before they were confirmed here,
    /// but the files may exist.
    pub stale: Vec<String>,
}

impl Batch {
    /// The number of events in it that are not confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.files.iter().map(|file| file.unconfirmed).sum()
    }

    /// Splits it into single changes, each of which gets its own answer: first the deletions, then
    /// the files.
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

    /// Whether it contains nothing.
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
    /// The URL or path at which it can be read.
    pub url: String,
    /// The events that the destination rejected, if it answers for each line.
    #[serde(skip)]
    pub rejected: Vec<RejectedLine>,
}

/// One event that the destination rejected while it took others of the same segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// The line in the segment, counted from 0.
    pub line: usize,
    /// The reason that the destination gave.
    pub reason: String,
}

impl Receipt {
    /// The receipt of content that is proven to be at `url`.
    #[must_use]
    pub fn of(content: &[u8], url: String) -> Self {
        Self {
            bytes: content.len(),
            sha256: sha256(content),
            url,
            rejected: Vec::new(),
        }
    }
}

impl RemoteFile {
    /// A file with this content.
    #[must_use]
    pub fn of(content: &[u8], url: String) -> Self {
        let (events, has_more) = events_of(content);
        Self {
            receipt: Receipt::of(content, url),
            events,
            has_more,
        }
    }

    /// Whether this spool wrote the current content of the file; only then may it write the file
    /// again. That is so if the content is the one that was `confirmed` last, or one `attempted`
    /// since (hashes separated by spaces), or if all its events are rows of the segment.
    #[must_use]
    pub fn is_still_ours(
        &self,
        confirmed: Option<&str>,
        attempted: Option<&str>,
        is_row: impl Fn(&Uuid) -> bool,
    ) -> bool {
        let content = self.receipt.sha256.as_str();
        confirmed == Some(content)
            || attempted.is_some_and(|attempted| attempted.split(' ').any(|sent| sent == content))
            || (!self.has_more && self.events.iter().all(is_row))
    }
}

impl Seen {
    /// Adds a file if it is wanted or contains a wanted event.
    pub fn note_file(&mut self, name: String, file: RemoteFile, wanted: Wanted<'_>) {
        let holds_wanted = || file.events.iter().any(|id| wanted.events.contains(id));
        if wanted.files.contains(&name) || holds_wanted() {
            self.files.insert(name, file);
        }
    }

    /// Adds a wanted file that may exist but could not be read.
    pub fn note_unread(&mut self, name: String, wanted: Wanted<'_>) {
        self.incomplete = true;
        if wanted.files.contains(&name) {
            self.unread.insert(name);
        }
    }

    /// The receipts of these files, if each of them exists with exactly this content.
    #[must_use]
    pub fn receipts(&self, files: &[SegmentFile]) -> Option<Vec<Receipt>> {
        let receipt = |file: &SegmentFile| {
            let there = &self.files.get(&file.name)?.receipt;
            (there.sha256 == sha256(file.content.as_bytes())).then(|| there.clone())
        };
        files.iter().map(receipt).collect()
    }
}

/// The ids of the events in a file, and whether the file has other lines.
fn events_of(content: &[u8]) -> (Vec<Uuid>, bool) {
    let mut ids = Vec::new();
    let mut has_more = false;
    for line in content.split(|byte| *byte == b'\n') {
        match std::str::from_utf8(line).map(Payload::event_id_of) {
            Ok(id) if !id.is_nil() => ids.push(id),
            _ => has_more |= !line.is_empty(),
        }
    }
    (ids, has_more)
}

/// Whether a segment of this size has room for one more payload of this length and its line end. An
/// empty segment always has, or an event that is too large would never be sent.
#[must_use]
pub fn has_room_for(bytes: usize, events: usize, payload: usize, limits: &Capabilities) -> bool {
    events == 0 || (bytes + payload < limits.max_bytes && events < limits.max_events)
}

/// The name of the segment that starts with this event: `events-<YYYYMMDD>-<16 hex digits>.jsonl`.
///
/// The whole name, including the day, is derived from the event, so a dry run and a later flush
/// give the same name. `nth` is 0 unless the name is already taken at this destination.
#[must_use]
pub fn name(first: Uuid, nth: u32) -> String {
    let digest = Sha256::new()
        .chain_update(first.as_bytes())
        .chain_update(nth.to_be_bytes())
        .finalize();
    // The first 48 bits of a UUIDv7 are its time in milliseconds.
    let ms = i64::try_from(first.as_u128() >> 80).unwrap_or_default();
    let day = DateTime::from_timestamp_millis(ms)
        .filter(|at| at.year() <= 9999)
        .unwrap_or_default();
    format!(
        "events-{}-{}.jsonl",
        day.format("%Y%m%d"),
        hex(&digest[..8])
    )
}

/// Whether this is a valid name of a segment. Only such a name is ever used in a path or a request,
/// whatever a database or a destination contains.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let Some((day, digits)) = name
        .strip_prefix("events-")
        .and_then(|rest| rest.strip_suffix(".jsonl"))
        .and_then(|middle| middle.split_once('-'))
    else {
        return false;
    };
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    day.len() == 8
        && day.bytes().all(|byte| byte.is_ascii_digit())
        && digits.len() == 16
        && digits.bytes().all(lower_hex)
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// The first 128 bits of the SHA-256: enough to distinguish ids, even if somebody chooses them on
/// purpose.
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
    use proptest::prelude::*;

    const LIMITS: Capabilities = Capabilities {
        segments_grow: true,
        max_bytes: 1000,
        max_events: 3,
        segments_per_request: 1,
        spacing: std::time::Duration::ZERO,
        can_look: true,
        uses_network: false,
    };

    #[test]
    fn a_segment_never_passes_its_limits() {
        assert!(has_room_for(0, 0, 2000, &LIMITS));
        assert!(has_room_for(600, 1, 399, &LIMITS));
        assert!(!has_room_for(600, 1, 400, &LIMITS));
        assert!(has_room_for(10, 2, 10, &LIMITS));
        assert!(!has_room_for(10, 3, 10, &LIMITS));
    }

    #[test]
    fn a_name_follows_from_the_first_event_alone() {
        let at = |ms: u64| uuid::Builder::from_unix_timestamp_millis(ms, &[7; 10]).into_uuid();
        let first = at(1_795_000_000_000);
        assert_eq!(name(first, 0), name(first, 0));
        assert_ne!(name(first, 0), name(first, 1));
        assert_ne!(name(first, 0), name(at(1_795_000_000_001), 0));
        assert!(name(first, 0).starts_with("events-20261118-"));
    }

    proptest! {
        #[test]
        fn every_generated_name_is_valid(first: u128, nth: u32) {
            prop_assert!(is_name(&name(Uuid::from_u128(first), nth)));
        }

        #[test]
        fn no_valid_name_leads_to_another_directory(text in "\\PC{0,50}|(\\.\\./)?events-[0-9]{8}-[0-9a-f./]{16}\\.jsonl") {
            if is_name(&text) {
                prop_assert!(!text.contains(['/', '\\', '.']) || text.matches('.').count() == 1);
                prop_assert!(!text.contains('/'));
            }
        }
    }

    #[test]
    fn sha256_gives_the_published_value() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
