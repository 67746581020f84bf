//! The six events and their only path to the disk: loose fields → typed event → [`Payload`], the
//! line that is stored, shown and uploaded. A caller can bring words from closed vocabularies,
//! buckets, counts and version numbers; there is no type here that could hold anything else
//! (contract, P5 and section 6).

pub mod fields;
mod metadata;
pub mod payload;
pub mod version;
pub mod vocabulary;

use serde::Serialize;

use crate::json::{Object, Value};
use fields::{FieldError, left_over};
pub use metadata::{
    FieldInfo, OrZero, PolicyEvaluated, ReportGenerated, ScanCompleted, ScanStarted, TargetTypes,
    ToolFailed, WizardCompleted,
};
pub use payload::{Payload, Stamp, event_id};
use version::{PythonVersion, ScannerVersion};

/// What happened. The JSON form of the variant's content is the event's `metadata`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// `scan.started`
    ScanStarted(ScanStarted),
    /// `scan.completed`
    ScanCompleted(ScanCompleted),
    /// `tool.failed`
    ToolFailed(ToolFailed),
    /// `wizard.completed`
    WizardCompleted(WizardCompleted),
    /// `report.generated`
    ReportGenerated(ReportGenerated),
    /// `policy.evaluated`
    PolicyEvaluated(PolicyEvaluated),
}

/// Every event name, in the order of the contract.
pub const EVENT_NAMES: [&str; 6] = [
    "scan.started",
    "scan.completed",
    "tool.failed",
    "wizard.completed",
    "report.generated",
    "policy.evaluated",
];

/// Why something is not an event. No message repeats a value of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not one of the six.
    #[error("unknown event; it must be one of {}", EVENT_NAMES.join(", "))]
    Unknown,
    /// A field of the metadata is missing or has the wrong type.
    #[error("{event}: {error}")]
    Field {
        /// The event's name.
        event: &'static str,
        /// What is wrong.
        error: FieldError,
    },
    /// A field beside the metadata is missing or has the wrong type.
    #[error(transparent)]
    Envelope(#[from] FieldError),
    /// The line is not a JSON object.
    #[error("not a JSON object (column {column})")]
    NotJson {
        /// 1-based column at which reading stopped.
        column: usize,
    },
    /// The line is longer than anything that could be an event.
    #[error("line is longer than {} bytes", crate::limits::INPUT_LINE_BYTES)]
    TooLong,
}

impl Event {
    /// Reads the metadata of the event called `name`. Fields that do not belong to it end up in
    /// `dropped`, by name.
    ///
    /// # Errors
    /// [`EventError::Unknown`], or the first field that is missing or has the wrong type.
    pub fn read(
        name: &str,
        mut fields: Object<'_>,
        dropped: &mut Vec<String>,
    ) -> Result<Self, EventError> {
        let event = *EVENT_NAMES
            .iter()
            .find(|known| **known == name)
            .ok_or(EventError::Unknown)?;
        let read = match event {
            "scan.started" => ScanStarted::read(&mut fields, dropped).map(Self::ScanStarted),
            "scan.completed" => ScanCompleted::read(&mut fields, dropped).map(Self::ScanCompleted),
            "tool.failed" => ToolFailed::read(&mut fields, dropped).map(Self::ToolFailed),
            "wizard.completed" => {
                WizardCompleted::read(&mut fields, dropped).map(Self::WizardCompleted)
            }
            "report.generated" => {
                ReportGenerated::read(&mut fields, dropped).map(Self::ReportGenerated)
            }
            _ => PolicyEvaluated::read(&mut fields, dropped).map(Self::PolicyEvaluated),
        };
        dropped.extend(left_over(&fields));
        let mut event = read.map_err(|error| EventError::Field { event, error })?;
        event.derive();
        Ok(event)
    }

    fn derive(&mut self) {
        match self {
            Self::ScanStarted(event) => event.derive(),
            Self::PolicyEvaluated(event) => event.derive(),
            _ => {}
        }
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ScanStarted(_) => "scan.started",
            Self::ScanCompleted(_) => "scan.completed",
            Self::ToolFailed(_) => "tool.failed",
            Self::WizardCompleted(_) => "wizard.completed",
            Self::ReportGenerated(_) => "report.generated",
            Self::PolicyEvaluated(_) => "policy.evaluated",
        }
    }

    /// The fields of the event called `name` with the values they can have; empty for a name that
    /// is none.
    #[must_use]
    pub fn describe(name: &str) -> Vec<FieldInfo> {
        match name {
            "scan.started" => ScanStarted::describe(),
            "scan.completed" => ScanCompleted::describe(),
            "tool.failed" => ToolFailed::describe(),
            "wizard.completed" => WizardCompleted::describe(),
            "report.generated" => ReportGenerated::describe(),
            "policy.evaluated" => PolicyEvaluated::describe(),
            _ => Vec::new(),
        }
    }
}

/// An event that is not stamped yet: everything the caller can say.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What happened.
    pub event: Event,
    /// The scanner's version.
    pub version: ScannerVersion,
    /// The scanner's Python.
    pub python_version: Option<PythonVersion>,
    /// Whether this is a `scan.started` that must be counted in `scan-count` and take its hint from
    /// there: the caller did not bring one.
    pub counts_scan: bool,
}

/// A draft and the names of the fields that were left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What remains.
    pub draft: Draft,
    /// Names of fields that don't belong there.
    pub dropped: Vec<String>,
}

impl Draft {
    /// A draft of a typed event. A `scan.started` without a hint is counted in `scan-count`.
    #[must_use]
    pub fn new(
        event: Event,
        version: ScannerVersion,
        python_version: Option<PythonVersion>,
    ) -> Self {
        let counts_scan =
            matches!(&event, Event::ScanStarted(started) if started.scan_frequency_hint.is_none());
        Self {
            event,
            version,
            python_version,
            counts_scan,
        }
    }

    /// Reads one line of `record --stdin`:
    /// `{"event":…,"version":…,"python_version":…,"metadata":{…}}`.
    ///
    /// # Errors
    /// When it is not a JSON object, the event is unknown, or a field is missing or has the wrong
    /// type.
    pub fn from_json(line: &[u8]) -> Result<Read, EventError> {
        let mut envelope: Object<'_> =
            serde_json::from_slice(line).map_err(|error| EventError::NotJson {
                column: error.column(),
            })?;
        let name = match envelope.take("event").ok_or(FieldError::Missing("event"))? {
            Value::Text(name) => name,
            _ => return Err(EventError::Unknown),
        };
        let metadata = match envelope
            .take("metadata")
            .ok_or(FieldError::Missing("metadata"))?
        {
            Value::Object(fields) => fields,
            _ => {
                return Err(FieldError::Wrong {
                    name: "metadata",
                    expected: "an object".to_owned(),
                }
                .into());
            }
        };
        let version = envelope.take("version");
        let python_version = envelope.take("python_version");
        let mut dropped: Vec<_> = left_over(&envelope).collect();
        let draft = Self::read(&name, version, python_version, metadata, &mut dropped)?;
        Ok(Read { draft, dropped })
    }

    /// Puts a draft together from the event's name and loose values. A version that is not one is
    /// left out by name.
    ///
    /// # Errors
    /// When the event is unknown, or a field is missing or has the wrong type.
    pub fn read(
        name: &str,
        version: Option<Value<'_>>,
        python_version: Option<Value<'_>>,
        metadata: Object<'_>,
        dropped: &mut Vec<String>,
    ) -> Result<Self, EventError> {
        let mut metadata = metadata;
        let hint = metadata.take("scan_frequency_hint");
        let counts_scan = hint.is_none();
        if let Some(hint) = hint {
            metadata.put("scan_frequency_hint", hint);
        }
        let event = Event::read(name, metadata, dropped)?;
        Ok(Self {
            counts_scan: counts_scan && matches!(event, Event::ScanStarted(_)),
            event,
            version: text(version, "version")?
                .and_then(|text| keep(ScannerVersion::parse(&text), "version", dropped))
                .unwrap_or_default(),
            python_version: text(python_version, "python_version")?
                .and_then(|text| keep(PythonVersion::parse(&text), "python_version", dropped)),
        })
    }
}

/// A string, or nothing for `null`.
fn text<'a>(
    value: Option<Value<'a>>,
    name: &'static str,
) -> Result<Option<std::borrow::Cow<'a, str>>, FieldError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(FieldError::Wrong {
            name,
            expected: "a string".to_owned(),
        }),
    }
}

fn keep<T>(parsed: Option<T>, name: &str, dropped: &mut Vec<String>) -> Option<T> {
    if parsed.is_none() {
        dropped.push(name.to_owned());
    }
    parsed
}

#[cfg(test)]
mod tests;
