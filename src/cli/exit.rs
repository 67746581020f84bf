//! The failures of commands: message, hint and exit code.

use std::error::Error;
use std::io::ErrorKind;

use super::words;
use crate::clock;
use crate::destination::ReadError;
use crate::error::chain;
use crate::event::EventError;
use crate::files::{NoLocks, NotOrdinary};
use crate::home::{HomeError, OwnerError};
use crate::record::RecordError;
use crate::settings::SettingsError;
use crate::spool::SpoolError;
use crate::view::{ViewError, source};

/// Exit codes, with their numbers from sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Done = 0,
    Usage = 2,
    BadEvent = 65,
    CantCreate = 73,
    Io = 74,
    TryLater = 75,
    Configuration = 78,
    Interrupted = 130,
    Terminated = 143,
}

/// A failed command: the error, a hint what to do, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) error: Box<dyn Error>,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(code: Code, error: impl Into<Box<dyn Error>>) -> Self {
        Self {
            code,
            error: error.into(),
            hint: None,
        }
    }

    /// stdout can't be written. A broken pipe is not a failure: the reader of our output has seen
    /// enough.
    pub(super) fn stdout(error: std::io::Error) -> Self {
        let code = match error.kind() {
            ErrorKind::BrokenPipe => Code::Done,
            _ => Code::Io,
        };
        Self::new(code, format!("failed to write to stdout: {error}"))
    }

    /// stdin can't be read.
    pub(super) fn stdin(error: std::io::Error) -> Self {
        Self::new(Code::Io, format!("failed to read stdin: {error}"))
    }

    /// The error and its causes on one line, each only once.
    pub(super) fn message(&self) -> String {
        chain(self.error.as_ref())
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// The exit code for a file that can't be created or written.
pub(super) fn code_of(error: &std::io::Error) -> Code {
    if NotOrdinary::of(error).is_some() {
        return Code::CantCreate;
    }
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::NotFound => Code::CantCreate,
        _ => Code::Io,
    }
}

const WAY_OUT: &str = "make it writable, or set JMO_TELEMETRY_HOME to a directory that is";

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        if NotOrdinary::of(&error.source).is_some() {
            let path = words::shell(&error.path);
            return Self::new(Code::CantCreate, error).hint(format!(
                "move it away (`mv {path} {path}.aside`), or set JMO_TELEMETRY_HOME to another directory"
            ));
        }
        if NoLocks::is_reason_of(&error.source) {
            return Self::new(Code::Io, error)
                .hint("set JMO_TELEMETRY_HOME to a directory on a local file system");
        }
        match code_of(&error.source) {
            Code::CantCreate => Self::new(Code::CantCreate, error).hint(WAY_OUT),
            code => Self::new(code, error),
        }
    }
}

impl From<OwnerError> for Failure {
    fn from(error: OwnerError) -> Self {
        let hint = match &error {
            OwnerError::Writable {
                path,
                shared: false,
            } => {
                format!("run `chmod 700 {}`", words::shell(path))
            }
            OwnerError::Writable { shared: true, .. } => {
                "set JMO_TELEMETRY_HOME to a directory of your own, not to a shared one".to_owned()
            }
            OwnerError::Foreign { .. } => {
                "set HOME or JMO_TELEMETRY_HOME to a directory of your own".to_owned()
            }
            OwnerError::Look { .. }
            | OwnerError::NotADirectory { .. }
            | OwnerError::Become { .. } => {
                "set JMO_TELEMETRY_HOME to a directory of your own".to_owned()
            }
        };
        Self::new(Code::CantCreate, error).hint(hint)
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Home(error) => error.into(),
            SpoolError::Locked { ref holder, .. } => {
                let hint = match holder {
                    Some(holder) if holder.is_stopped() => {
                        "continue that process (`kill -CONT`) or end it, and try again"
                    }
                    _ => "try again in a moment",
                };
                Self::new(Code::TryLater, error).hint(hint)
            }
            error => Self::new(Code::Io, error),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Home(error) => error.into(),
            RecordError::Both { ref overflow, .. } => match code_of(&overflow.source) {
                Code::CantCreate => Self::new(Code::CantCreate, error).hint(WAY_OUT),
                code => Self::new(code, error),
            },
        }
    }
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        Self::new(Code::BadEvent, error)
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Spool(error) => error.into(),
            ViewError::Write(error) => Self::stdout(error),
            ViewError::Read { ref source, .. } => match source.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied => {
                    Self::new(Code::Configuration, error)
                        .hint(format!("a source is {}", source::forms()))
                }
                _ => Self::new(Code::Io, error),
            },
            ViewError::Destination {
                ref target,
                ref source,
            } => {
                let advice = target.read_advice(source).map(str::to_owned);
                let (code, hint) = match source {
                    ReadError::Refused { .. } => (Code::Configuration, advice),
                    ReadError::Later(_) => (Code::TryLater, advice),
                    ReadError::Limited { until, .. } => {
                        let when = format!("try again {}", words::relative(*until, clock::now()));
                        let all: Vec<_> = [when].into_iter().chain(advice).collect();
                        (Code::TryLater, Some(all.join("; ")))
                    }
                };
                Self {
                    hint,
                    ..Self::new(code, error)
                }
            }
        }
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let code = match error {
            SettingsError::Target(_) => Code::Usage,
            _ => Code::Configuration,
        };
        Self::new(code, error)
    }
}
