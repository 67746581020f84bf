//! Errors of `schedule`.

use std::io;
use std::path::PathBuf;

/// Why nothing was scheduled, shown or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// No scheduler of this system works.
    #[error("found no scheduler: {0}")]
    NoScheduler(String),
    /// The requested scheduler belongs to another system.
    #[error("this system has no {0}")]
    OtherSystem(&'static str),
    /// The program is in a place where it will not stay.
    #[error("refused to schedule `{}`: {reason}", path.display())]
    Temporary {
        /// The program.
        path: PathBuf,
        /// Why it will be gone.
        reason: &'static str,
    },
    /// A path that can't be written into a schedule.
    #[error("refused to schedule `{}`: the path is not plain text on one line", .0.display())]
    NotPlain(PathBuf),
    /// A program could not be run.
    #[error("failed to run `{command}`")]
    Run {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed{}", said(.message))]
    Failed {
        /// The command line.
        command: String,
        /// Its message, as one line.
        message: String,
    },
    /// A file could not be read or written.
    #[error("failed to {operation} `{}`", path.display())]
    File {
        /// The operation, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process changes the schedule.
    #[error("another `jmo-telemetry schedule` is running and does not end; try again")]
    Busy,
    /// The user's home directory is not known.
    #[error("could not find the user's home directory; set HOME")]
    NoUserHome,
}

impl ScheduleError {
    /// Whether the error is that the program to run is not installed.
    #[must_use]
    pub(crate) fn is_not_installed(&self) -> bool {
        matches!(self, Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}
