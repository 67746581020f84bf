//! What a flush did, as data: the words of `flush --json`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::destination::Target;

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All that was due is sent.
    Sent,
    /// Nothing was due.
    Idle,
    /// Telemetry is disabled.
    Disabled,
    /// Another flush is at work.
    Busy,
    /// The user did not choose the destination, and has not seen the banner yet.
    NoticeFirst,
    /// There is no destination, or it can't be used.
    NoDestination,
    /// Our own backoff is running.
    Backoff,
    /// The server asked us to wait.
    Waiting,
    /// The destination refused us; somebody has to act.
    Paused,
    /// An attempt failed; a later one may not.
    Failed,
    /// The deadline or the limit came first.
    Unfinished,
    /// These files would be written.
    DryRun,
}

/// One remote file that was confirmed, or would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// Its name.
    pub name: String,
    /// Events in it.
    pub events: usize,
    /// Its size.
    pub bytes: usize,
    /// SHA-256 of its content, hex.
    pub sha256: String,
    /// Where it can be read; null for a dry run.
    pub url: Option<String>,
    /// Its content, for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What a flush did, in the words and the order of `flush --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Events confirmed.
    pub sent: usize,
    /// Events that still wait, pending or sending.
    pub remaining: u64,
    /// Requests made.
    pub requests: u32,
    /// Where to.
    pub destination: Option<String>,
    /// The files confirmed.
    pub segments: Vec<SegmentReport>,
    /// Before this no flush will try, unless told to.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error: Option<String>,
    /// Events that the destination rejected, and that are now held.
    pub held: usize,
}

impl Report {
    /// A report of nothing done.
    #[must_use]
    pub fn nothing(outcome: Outcome, destination: Option<&Target>) -> Self {
        Self {
            outcome,
            sent: 0,
            remaining: 0,
            requests: 0,
            destination: destination.map(Target::to_string),
            segments: Vec::new(),
            next_attempt_at: None,
            error: None,
            held: 0,
        }
    }
}
