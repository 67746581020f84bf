//! The result of a flush, with the names of `flush --json`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::destination::Target;

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was due has been sent.
    Sent,
    /// Nothing was due.
    Idle,
    /// Telemetry is disabled.
    Disabled,
    /// Another flush is running.
    Busy,
    /// The user did not choose the destination, and has not seen the banner yet.
    NoticeFirst,
    /// There is no destination, or it can't be used.
    NoDestination,
    /// Our own backoff is not over.
    Backoff,
    /// The server asked us to wait.
    Waiting,
    /// The destination refused us, and somebody must act.
    Paused,
    /// An attempt failed; a later one may succeed.
    Failed,
    /// The deadline or the limit was reached first.
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

/// The result of a flush, with the names and the order of `flush --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Events confirmed.
    pub sent: usize,
    /// Events that are still waiting, pending or sending.
    pub remaining: u64,
    /// Requests made.
    pub requests: u32,
    /// The destination.
    pub destination: Option<String>,
    /// The confirmed files.
    pub segments: Vec<SegmentReport>,
    /// No flush will try before this time, unless `--now` is given.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error: Option<String>,
    /// Events that the destination rejected, and that are now held.
    pub held: usize,
}

impl Report {
    /// A report without any work done.
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
