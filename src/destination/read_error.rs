//! Why a destination can't be read by `view`.

use chrono::{DateTime, Utc};

use super::Unconfirmed;
use super::verdict::Verdict;

/// Why a destination can't be read. No message contains text from a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It does not exist, or we may not read it.
    #[error("{why}")]
    Refused {
        /// The status.
        status: u16,
        /// The status in words.
        why: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The server limits our requests.
    #[error("{why}: rate limit")]
    Limited {
        /// The status in words.
        why: String,
        /// When the limit ends.
        until: DateTime<Utc>,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// A temporary failure on the way or at the server.
    #[error("{0}")]
    Later(String),
}

impl ReadError {
    /// What an answer that is not a success means for a reader.
    pub(super) fn of(refusal: Unconfirmed, with_token: bool) -> Self {
        let why = refusal.reason;
        match refusal.verdict {
            Verdict::RateLimited(until) => Self::Limited {
                why,
                until,
                with_token,
            },
            Verdict::Refused(_) => Self::Refused {
                status: refusal.http_status.unwrap_or_default(),
                why,
                with_token,
            },
            Verdict::Later | Verdict::Conflict | Verdict::Rejected => Self::Later(why),
        }
    }
}
