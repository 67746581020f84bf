//! Why what was sent to a destination can't be read back.

use chrono::{DateTime, Utc};

use super::Unconfirmed;
use super::verdict::Verdict;

/// Why a destination can't be read. No message holds anything that a server made up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is not there, or not for us.
    #[error("{why}")]
    Refused {
        /// The status.
        status: u16,
        /// The status in words.
        why: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The server limits us.
    #[error("{why}: rate limit")]
    Limited {
        /// The status in words.
        why: String,
        /// Until then.
        until: DateTime<Utc>,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Something between here and there does not work.
    #[error("{0}")]
    Later(String),
}

impl ReadError {
    /// What an answer that is no success means for a reader.
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
