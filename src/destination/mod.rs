//! Destinations: one trait, one file per kind. A destination knows nothing of the spool; it writes
//! whole files, judges the answers it gets, and says what proves that the files are there. Nothing
//! outside this directory asks which kind it is: what differs stands in [`Capabilities`].

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

/// What a request led to.
pub type Answer<T> = Result<Confirmed<T>, Unconfirmed>;

/// An answer that proves what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed<T> {
    /// What it proves or tells.
    pub proof: T,
    /// Its status, where there is one.
    pub http_status: Option<u16>,
}

/// A request that proved nothing, judged by its destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unconfirmed {
    /// What it means for the events and for the destination.
    pub verdict: Verdict,
    /// The answer's status, if an answer came.
    pub http_status: Option<u16>,
    /// Why, as a fragment for people. It never holds the token or anything a server made up.
    pub reason: String,
    /// What somebody can do about it.
    pub advice: Option<String>,
}

impl Unconfirmed {
    /// A failure that may pass, without an answer.
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

/// What a kind of destination can do and wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Whether a segment may be written again with more events in it. If not, it is sealed when it
    /// is first sent, and a repeat sends the same bytes.
    pub segments_grow: bool,
    /// The most bytes in one segment.
    pub max_bytes: usize,
    /// The most events in one segment.
    pub max_events: usize,
    /// The most segments in one request.
    pub segments_per_request: usize,
    /// The pause between two writes.
    pub spacing: Duration,
    /// Whether the files there can be looked at. Where they can't, the destination itself must know
    /// which events it has.
    pub can_look: bool,
    /// Whether a network is used, so that consent is needed before it is even asked.
    pub uses_network: bool,
}

/// What to look for at a destination.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// These files.
    pub files: &'w HashSet<String>,
    /// Whatever files hold one of these events.
    pub events: &'w HashSet<Uuid>,
}

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// More files are there than could be listed or read.
    pub incomplete: bool,
    /// The names of all files there that are named like segments, as far as they are known.
    pub names: HashSet<String>,
    /// The files that were wanted and could not be read; they may be there.
    pub unread: HashSet<String>,
    /// The files that were wanted, and those that hold an event that was wanted.
    pub files: BTreeMap<String, RemoteFile>,
}

/// A file as it is at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its size, its content and its place.
    pub receipt: Receipt,
    /// Its events, in their order.
    pub events: Vec<Uuid>,
    /// Whether it has lines that are no events, or could not be read whole.
    pub has_more: bool,
}

/// What this machine sent somewhere, to be deleted there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// Its files.
    pub files: Vec<String>,
    /// The ids that its events carry.
    pub anonymous_ids: Vec<Uuid>,
}

/// A place where segments go.
pub trait Destination {
    /// Its name.
    fn target(&self) -> &Target;

    /// A fingerprint of address and credentials, to see when they change. It does not reveal the
    /// token.
    fn fingerprint(&self) -> String;

    /// What it can do and wants.
    fn capabilities(&self) -> Capabilities;

    /// Writes these files whole; what else is there stays. The receipts are in the order of the
    /// files.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn write(&mut self, files: &[SegmentFile], timeout: Duration) -> Answer<Vec<Receipt>>;

    /// Looks at what is there. Only for a destination that can ([`Capabilities::can_look`]).
    ///
    /// # Errors
    /// When that could not be found out.
    fn look(&mut self, wanted: Wanted<'_>, timeout: Duration) -> Answer<Seen>;

    /// Deletes these files, which are there: a Gist refuses to delete anything if one of them is
    /// not.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn delete(&mut self, files: &[String], timeout: Duration) -> Answer<()>;

    /// Deletes what this machine sent, as far as it is there.
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
                "more files are there than can be listed or read, so ours can't be found",
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

    /// Finds out whether it exists and may be written, and changes nothing in it.
    ///
    /// # Errors
    /// When the answer does not prove it.
    fn probe(&mut self, timeout: Duration) -> Answer<()>;
}

/// Why a destination can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// A Gist can be written by its owner alone.
    #[error(
        "a Gist needs its owner's token; set JMO_TELEMETRY_GITHUB_TOKEN, or run `jmo-telemetry connect gist ID`"
    )]
    NoToken,
    /// The API base is no URL.
    #[error("JMO_TELEMETRY_GITHUB_API is not a URL")]
    BadApi,
    /// The API base would carry the token in the clear.
    #[error(
        "JMO_TELEMETRY_GITHUB_API must be https; plain http is accepted for this machine alone"
    )]
    InsecureApi,
    /// The API base holds a user name or a password.
    #[error("JMO_TELEMETRY_GITHUB_API must not hold a user name or a password")]
    SecretInApi,
    /// The address of a collector is none.
    #[error("the collector's address is not a URL")]
    BadCollector,
    /// A collector shows what it has to its maintainer alone.
    #[error("a collector is read with its maintainer's token; set JMO_TELEMETRY_COLLECTOR_TOKEN")]
    NoCollectorToken,
    /// It is read as a Gist, and is none.
    #[error("the destination is not a Gist")]
    NoGist,
    /// The HTTP client could not be made.
    #[error("failed to set up the HTTP client")]
    Client(#[source] reqwest::Error),
}
