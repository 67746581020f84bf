//! Destinations: one trait, and one implementation per kind. A destination knows nothing about the
//! spool. It writes whole files, judges the answers, and returns the proof that the files are
//! there. No code outside this directory asks for the kind; what differs between kinds is in
//! [`Capabilities`].

mod config;
mod dir;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod dns;
mod gist;
mod http;
mod https;
mod info;
mod kinds;
mod read_error;
pub(crate) mod retry;
pub mod segment;
mod target;
pub mod verdict;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

pub use self::config::{Chosen, Config, ConfigError, Connection};
pub(crate) use self::gist::read::{Content, Fetched, GistFile, GistReader, Listing};
#[cfg(fuzzing)]
pub(crate) use self::gist::read_for_fuzzing as read_gist_for_fuzzing;
pub(crate) use self::https::read::{CollectorReader, EventsPage};
pub(crate) use self::info::KindInfo;
pub(crate) use self::kinds::{KINDS, variables};
pub(crate) use self::read_error::ReadError;
pub use self::target::{Kind, Target, TargetError, Token};
use crate::destination::segment::{Receipt, SegmentFile};
use crate::destination::verdict::Verdict;

/// The result of a request.
pub type Answer<T> = Result<Confirmed<T>, Unconfirmed>;

/// An answer that proves what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed<T> {
    /// The proof, or the requested data.
    pub proof: T,
    /// The HTTP status, if there is one.
    pub http_status: Option<u16>,
}

/// A request without proof of success, as judged by its destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unconfirmed {
    /// What it means for the events and for the destination.
    pub verdict: Verdict,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// A reason for people to read. It never contains the token or any text from a server.
    pub reason: String,
    /// What the user can do about it.
    pub advice: Option<String>,
}

impl Unconfirmed {
    /// A temporary failure without an answer.
    #[must_use]
    pub fn later(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Later,
            http_status: None,
            reason: reason.into(),
            advice: None,
        }
    }
}

/// What a kind of destination can do, and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Whether a segment may be written again with more events. If not, it is sealed when it is
    /// first sent, and a repeat sends the same bytes.
    pub segments_grow: bool,
    /// The most bytes in one segment.
    pub max_bytes: usize,
    /// The most events in one segment.
    pub max_events: usize,
    /// The most segments in one request.
    pub segments_per_request: usize,
    /// The pause between two writes.
    pub spacing: Duration,
    /// Whether the files there can be looked at. If they can't, the destination itself must
    /// recognize events that it already has.
    pub can_look: bool,
    /// Whether it uses the network, so that even looking at it needs consent.
    pub uses_network: bool,
}

/// What to look for at a destination.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// Files with these names.
    pub files: &'w HashSet<String>,
    /// Any files that contain one of these events.
    pub events: &'w HashSet<Uuid>,
}

/// What was found at a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether there are more files than could be listed or read.
    pub incomplete: bool,
    /// The names of all files that are named like segments, as far as they are known.
    pub names: HashSet<String>,
    /// Wanted files that could not be read, but may exist.
    pub unread: HashSet<String>,
    /// Wanted files, and files that contain a wanted event.
    pub files: BTreeMap<String, RemoteFile>,
}

/// A file as it is at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its size, hash and URL.
    pub receipt: Receipt,
    /// Its events, in their order.
    pub events: Vec<Uuid>,
    /// Whether it has lines that are not events, or could not be read completely.
    pub has_more: bool,
}

/// What this machine sent to a destination, to be deleted there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// Its files.
    pub files: Vec<String>,
    /// The anonymous ids in its events.
    pub anonymous_ids: Vec<Uuid>,
}

/// A place that segments are sent to.
pub trait Destination {
    /// Its name.
    fn target(&self) -> &Target;

    /// A fingerprint of the address and the credentials, to notice when they change. It does not
    /// reveal the token.
    fn fingerprint(&self) -> String;

    /// What it can do, and its limits.
    fn capabilities(&self) -> Capabilities;

    /// Writes these whole files and leaves all others alone. The receipts are in the order of the
    /// files.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn write(&mut self, files: &[SegmentFile], timeout: Duration) -> Answer<Vec<Receipt>>;

    /// Looks at what is there. Only for a destination with [`Capabilities::can_look`].
    ///
    /// # Errors
    /// When it could not be looked at.
    fn look(&mut self, wanted: Wanted<'_>, timeout: Duration) -> Answer<Seen>;

    /// Deletes these files. All of them must exist, because a Gist refuses the whole request if one
    /// does not.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn delete(&mut self, files: &[String], timeout: Duration) -> Answer<()>;

    /// Deletes what this machine sent, as far as it is still there.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn forget(&mut self, owned: &Owned, timeout: Duration) -> Answer<()> {
        let files = owned.files.iter().cloned().collect();
        let events = HashSet::new();
        let wanted = Wanted {
            files: &files,
            events: &events,
        };
        let seen = self.look(wanted, timeout)?;
        if !seen.proof.unread.is_empty() {
            return Err(Unconfirmed::later(
                "there are more files than can be listed or read, so ours can't be found",
            ));
        }
        let present: Vec<_> = seen.proof.files.into_keys().collect();
        if present.is_empty() {
            return Ok(Confirmed {
                proof: (),
                http_status: seen.http_status,
            });
        }
        self.delete(&present, timeout)
    }

    /// Checks that it exists and may be written, without changing anything.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn probe(&mut self, timeout: Duration) -> Answer<()>;
}

/// Why a destination can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Only its owner can write a Gist.
    #[error(
        "a Gist needs its owner's token; set JMO_TELEMETRY_GITHUB_TOKEN, or run `jmo-telemetry connect gist ID`"
    )]
    NoToken,
    /// The API's base is not a URL.
    #[error("JMO_TELEMETRY_GITHUB_API is not a URL")]
    BadApi,
    /// The token would be sent to the API in plain text.
    #[error(
        "JMO_TELEMETRY_GITHUB_API must be https; plain http is accepted for this machine alone"
    )]
    InsecureApi,
    /// The API's base URL contains a user name or a password.
    #[error("JMO_TELEMETRY_GITHUB_API must not hold a user name or a password")]
    SecretInApi,
    /// The address of a collector is not a URL.
    #[error("the collector's address is not a URL")]
    BadCollector,
    /// Only its maintainer can read a collector.
    #[error("a collector is read with its maintainer's token; set JMO_TELEMETRY_COLLECTOR_TOKEN")]
    NoCollectorToken,
    /// It was to be read as a Gist, and is not one.
    #[error("the destination is not a Gist")]
    NoGist,
    /// The HTTP client could not be created.
    #[error("failed to set up the HTTP client")]
    Client(#[source] reqwest::Error),
}
