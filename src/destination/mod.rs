//! Destinations: one trait, one file per kind. A destination knows nothing of the spool; it writes
//! whole files and says what proves that they are there.

mod dir;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod dns;
mod gist;
mod http;
mod name;
pub mod retry;
pub mod segment;
pub mod verdict;

use std::time::Duration;

pub use gist::read::{Content, Fetched, GistFile, GistReader, Listing, ReadError};

use crate::destination::segment::{Receipt, SegmentFile};
use crate::destination::verdict::Answer;
pub use name::{Target, TargetError, Token};

/// What one request to a destination led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Every file is there, proven.
    Proved {
        /// One for each file, in their order.
        receipts: Vec<Receipt>,
        /// The status of the answer that proves it, where there is one.
        http_status: Option<u16>,
    },
    /// Nothing is proven.
    Unproven {
        /// What came back, if an answer did.
        answer: Option<Answer>,
        /// A fragment for people. It never holds the token or anything a server made up.
        error: String,
    },
}

/// A place where segments go.
pub trait Destination {
    /// Its name.
    fn target(&self) -> &Target;

    /// A fingerprint of address and credentials, to see when they change. It does not reveal the
    /// token.
    fn configuration(&self) -> String;

    /// The pause it wants between two writes.
    fn spacing(&self) -> Duration;

    /// Writes these files whole; what else is there stays.
    fn write(&mut self, files: &[SegmentFile], timeout: Duration) -> Reply;

    /// Looks whether these files are there with exactly this content.
    fn look(&mut self, files: &[SegmentFile], timeout: Duration) -> Reply;

    /// Which of these files are there.
    ///
    /// # Errors
    /// With the reply, when that could not be found out.
    fn present(&mut self, names: &[String], timeout: Duration) -> Result<Vec<String>, Reply>;

    /// Deletes these files, which are there: a Gist refuses to delete anything if one of them is
    /// not.
    fn delete(&mut self, names: &[String], timeout: Duration) -> Reply;

    /// Finds out whether it exists and may be written, and changes nothing in it.
    fn probe(&mut self, timeout: Duration) -> Reply;
}

/// Why a destination can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// A Gist can be written by its owner alone.
    #[error(
        "a Gist needs its owner's token; set JMO_TELEMETRY_GITHUB_TOKEN, or run `jmo-telemetry connect gist ID` with it on stdin"
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
    /// The HTTP client could not be made.
    #[error("failed to set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// The API of github.com.
pub const GITHUB_API: &str = "https://api.github.com";

/// Opens a destination; contacts nobody.
///
/// # Errors
/// When it can't be used with what is known about it.
pub fn open(
    target: &Target,
    token: Option<Token>,
    api: Option<&str>,
) -> Result<Box<dyn Destination>, UploadError> {
    Ok(match target {
        Target::Dir(path) => Box::new(dir::Dir::new(path)),
        Target::Gist(id) => Box::new(gist::Gist::new(
            id,
            token.ok_or(UploadError::NoToken)?,
            api.unwrap_or(GITHUB_API),
        )?),
    })
}
