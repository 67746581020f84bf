//! Events, and their only path to the disk: JSON of any shape → a typed [`Event`] → a [`Payload`],
//! the line that is stored, shown and uploaded. The types here can hold only words from closed
//! vocabularies, ranges, counts and version numbers.
//!
//! `schema` declares every event once; everything else is generated from it.

pub(crate) mod fields;
pub(crate) mod json_schema;
mod payload;
mod schema;
pub(crate) mod table;
pub mod version;
pub mod vocabulary;

use crate::json::{Object, Value};
pub use fields::FieldError;
use fields::left_over;
pub use payload::{Payload, Stamp, event_id};
pub(crate) use schema::{EVENTS, event_names};
pub use schema::{
    Event, PolicyEvaluated, ReportGenerated, ScanCompleted, ScanStarted, TargetTypes, ToolFailed,
    WizardCompleted,
};
pub(crate) use table::{EventSpec, FieldSpec, Kind};
use version::{PythonVersion, ScannerVersion};

/// Why something is not an event. No message repeats a value of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// There is no such event.
    #[error("unknown event; it must be one of {}", event_names().collect::<Vec<_>>().join(", "))]
    Unknown,
    /// Fields of the metadata are missing or have the wrong type.
    #[error("{event}: {}", describe(errors, "missing field", |name| format!("`{name}`"), "field "))]
    Fields {
        /// The event's name.
        event: &'static str,
        /// Everything that is wrong, in the order of the fields.
        errors: Vec<FieldError>,
    },
    /// A field outside the metadata is missing or has the wrong type.
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

impl EventError {
    /// The error as a message for the command line, with flags in place of fields.
    #[must_use]
    pub(crate) fn in_flags(&self) -> String {
        let Self::Fields { event, errors } = self else {
            return self.to_string();
        };
        let flag = |name: &str| {
            let field = EventSpec::named(event).and_then(|event| event.field(name));
            let flag = field.and_then(FieldSpec::long);
            flag.map_or_else(|| name.to_owned(), |flag| format!("--{flag}"))
        };
        format!("{event}: {}", describe(errors, "missing", flag, ""))
    }
}

/// Everything that is wrong, in one line: first what is missing, then what is invalid.
fn describe(
    errors: &[FieldError],
    missing: &str,
    name: impl Fn(&str) -> String,
    field: &str,
) -> String {
    let absent: Vec<_> = errors
        .iter()
        .filter_map(|error| match error {
            FieldError::Missing(field) => Some(name(field)),
            FieldError::Wrong { .. } => None,
        })
        .collect();
    let plural = if absent.len() > 1 && missing.ends_with("field") {
        "s"
    } else {
        ""
    };
    let absent = (!absent.is_empty()).then(|| format!("{missing}{plural} {}", absent.join(", ")));
    let wrong = errors.iter().filter_map(|error| match error {
        FieldError::Missing(_) => None,
        FieldError::Wrong {
            name: wrong,
            expected,
        } => Some(format!("{field}{} must be {expected}", name(wrong))),
    });
    absent
        .into_iter()
        .chain(wrong)
        .collect::<Vec<_>>()
        .join("; ")
}

impl Event {
    /// Reads the metadata of the event called `name`. The names of unknown fields are added to
    /// `dropped`.
    ///
    /// # Errors
    /// [`EventError::Unknown`], or all fields that are missing or have the wrong type.
    pub(crate) fn read(
        name: &str,
        mut metadata: Object<'_>,
        dropped: &mut Vec<String>,
    ) -> Result<Self, EventError> {
        let read = Self::take(name, &mut metadata, dropped).ok_or(EventError::Unknown)?;
        let mut event = read.map_err(|errors| EventError::Fields {
            event: EventSpec::named(name).map_or("", |event| event.name),
            errors,
        })?;
        dropped.extend(left_over(&metadata));
        event.derive();
        Ok(event)
    }
}

/// An event without id and time: everything that the caller can provide.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What happened.
    pub event: Event,
    /// The scanner's version.
    pub version: ScannerVersion,
    /// The scanner's Python version.
    pub python_version: Option<PythonVersion>,
    /// Whether this is a `scan.started` without a frequency hint: it is counted in `scan-count`,
    /// and the hint is taken from there.
    pub counts_scan: bool,
}

/// A draft and the names of the fields that were left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The draft.
    pub draft: Draft,
    /// The names of unknown fields.
    pub dropped: Vec<String>,
}

impl Draft {
    /// A draft of a typed event. A `scan.started` without a frequency hint is counted in `scan-count`.
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
    /// A number is kept only as its range, and an unknown field is left out:
    ///
    /// ```
    /// use jmo_telemetry::event::Draft;
    ///
    /// let line = br#"{"event": "tool.failed", "version": "1.0.2", "metadata":
    ///     {"tool": "trivy", "failure_type": "timeout", "profile": "fast", "host": "db1"}}"#;
    /// let read = Draft::from_json(line)?;
    /// assert_eq!(read.dropped, ["host"]);
    /// # Ok::<(), jmo_telemetry::event::EventError>(())
    /// ```
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

    /// Makes a draft from the event's name and its metadata. An invalid version is left out, and
    /// its name is added to the dropped fields.
    ///
    /// # Errors
    /// When the event is unknown, or a field is missing or has the wrong type.
    pub(crate) fn read(
        name: &str,
        version: Option<Value<'_>>,
        python_version: Option<Value<'_>>,
        metadata: Object<'_>,
        dropped: &mut Vec<String>,
    ) -> Result<Self, EventError> {
        let counts_scan = metadata.get("scan_frequency_hint").is_none();
        let event = Event::read(name, metadata, dropped)?;
        Ok(Self {
            counts_scan: counts_scan && matches!(event, Event::ScanStarted(_)),
            event,
            version: text(version, "version")?
                .and_then(|text| or_dropped(ScannerVersion::parse(&text), "version", dropped))
                .unwrap_or_default(),
            python_version: text(python_version, "python_version")?.and_then(|text| {
                or_dropped(PythonVersion::parse(&text), "python_version", dropped)
            }),
        })
    }
}

/// A string, or `None` for `null`.
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

/// Returns `parsed`; if that is `None`, adds the name to `dropped`.
fn or_dropped<T>(parsed: Option<T>, name: &str, dropped: &mut Vec<String>) -> Option<T> {
    if parsed.is_none() {
        dropped.push(name.to_owned());
    }
    parsed
}

#[cfg(test)]
mod tests;
