//! The output of `record`: nothing on success, warnings and errors on stderr, and with `--json` one
//! object on stdout.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::flags::Given;
use crate::cli::exit::Failure;
use crate::cli::out::Out;
use crate::cli::words;
use crate::event::Payload;
use crate::record::Stored;

/// What is reported at the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Whether `--json` was given. Lists that grow with the input are kept only in that case.
    json: bool,
    /// Events that are stored, with their `seq`.
    stored: Vec<(Option<i64>, Uuid)>,
    has_recorded: bool,
    rejected: Vec<Rejected>,
    /// The names of fields that were left out, and how often.
    dropped_fields: BTreeMap<String, usize>,
    /// How many events, new or old, were dropped because the spool is full.
    dropped: usize,
    /// What `--dry-run` would have recorded.
    shown: Vec<Box<RawValue>>,
}

/// What `record --json` prints.
#[derive(Serialize)]
struct Object<'r> {
    recorded: usize,
    event_ids: Vec<Uuid>,
    rejected: &'r [Rejected],
    dropped_fields: Vec<&'r str>,
    dropped: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    events: &'r [Box<RawValue>],
}

/// An event that was not recorded.
#[derive(Debug, Serialize)]
pub(super) struct Rejected {
    /// Its line of the input, counted from 1; `None` for an event from the command line.
    pub(super) line: Option<usize>,
    pub(super) error: String,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }

    /// Adds stored events, and removes those that were dropped to make room for them.
    pub(super) fn recorded(&mut self, stored: Stored) {
        self.has_recorded |= !stored.events.is_empty();
        self.dropped += stored.dropped;
        if stored.dropped > 0 {
            self.stored
                .retain(|(seq, _)| seq.is_none_or(|seq| seq > stored.dropped_up_to));
        }
        if self.json {
            self.stored.extend(stored.events);
        }
    }

    /// Warns about events that were dropped because the spool is full.
    pub(super) fn warn_of_drops(&self, max_bytes: u64, out: &mut Out) {
        if self.dropped > 0 {
            out.say(format_args!(
                "warning: the spool has reached its limit of {}: {} dropped, the oldest first\n\
                 hint: flush more often, or raise JMO_TELEMETRY_SPOOL_MAX",
                words::bytes(max_bytes),
                words::events(self.dropped as u64),
            ));
        }
    }

    /// Reports what is wrong with a line of the input.
    pub(super) fn reject(&mut self, rejected: Rejected, out: &mut Out) {
        if let Some(line) = rejected.line {
            out.say(format_args!("error: line {line}: {}", rejected.error));
        }
        if self.json {
            self.rejected.push(rejected);
        }
    }

    /// Counts a field that was left out.
    pub(super) fn leave_out(&mut self, field: String, times: usize) {
        *self.dropped_fields.entry(field).or_default() += times;
    }

    /// Warns about values of flags that were changed.
    pub(super) fn warn_of_changes(&self, given: &Given, out: &mut Out) {
        for (field, word) in given.replaced() {
            let flag = field.long().unwrap_or(field.name);
            out.say(format_args!(
                "warning: --{flag} has an unknown word, which is recorded as {word}"
            ));
        }
        for field in self.dropped_fields.keys() {
            let (flag, kind) = match field.as_str() {
                "version" => ("scanner-version", "1.0.2"),
                "python_version" => ("python-version", "3.12"),
                _ => continue,
            };
            out.say(format_args!(
                "warning: --{flag} is not a version such as {kind} and was left out"
            ));
        }
    }

    /// Warns about fields of the input that were left out.
    pub(super) fn warn_of_fields(&self, out: &mut Out) {
        for (field, times) in &self.dropped_fields {
            let why = match field.as_str() {
                "version" | "python_version" => "is not a version number",
                _ => "is not known",
            };
            let times = match times {
                1 => String::new(),
                times => format!(" ({times} times)"),
            };
            out.say(format_args!(
                "warning: field {field} {why} and was left out{times}"
            ));
        }
    }

    /// Prints what would be recorded.
    pub(super) fn show(&mut self, payloads: &[Payload], out: &mut Out) -> Result<(), Failure> {
        for payload in payloads {
            let line = payload.as_str().to_owned();
            if self.json {
                let line = RawValue::from_string(line).expect("a payload is JSON");
                self.shown.push(line);
            } else {
                out.line(line)?;
            }
        }
        Ok(())
    }

    /// Prints the object of `--json`, if that was given.
    pub(super) fn print(&self, out: &mut Out) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        out.json(&Object {
            recorded: self.stored.len(),
            event_ids: self.stored.iter().map(|(_, id)| *id).collect(),
            rejected: &self.rejected,
            dropped_fields: self.dropped_fields.keys().map(String::as_str).collect(),
            dropped: self.dropped,
            events: &self.shown,
        })
    }

    /// Whether anything was recorded.
    pub(super) fn has_recorded(&self) -> bool {
        self.has_recorded
    }
}
