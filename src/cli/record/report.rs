//! What `record` says: nothing when all is well, warnings and errors on stderr, and with `--json`
//! one object on stdout.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::flags::Given;
use crate::cli::exit::Failure;
use crate::cli::out::Out;
use crate::event::Payload;

/// What `record --json` prints.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    recorded: usize,
    event_ids: Vec<Uuid>,
    rejected: Vec<Rejected>,
    /// Names of fields that were left out, and how often.
    #[serde(serialize_with = "names")]
    dropped_fields: BTreeMap<String, usize>,
    /// What `--dry-run` would have recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Box<RawValue>>,
    /// Whether all of it is kept to be printed; numbers alone take no memory.
    #[serde(skip)]
    json: bool,
}

/// An event that was not recorded.
#[derive(Debug, Serialize)]
pub(super) struct Rejected {
    /// Its line of the input, from 1; none for the event of a command line.
    pub(super) line: Option<usize>,
    pub(super) error: String,
}

fn names<S: serde::Serializer>(
    fields: &BTreeMap<String, usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(fields.keys())
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }

    /// Counts events that are stored.
    pub(super) fn recorded(&mut self, ids: Vec<Uuid>) {
        self.recorded += ids.len();
        if self.json {
            self.event_ids.extend(ids);
        }
    }

    /// Says what is wrong with a line of the input.
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

    /// Warns of what was changed in the flags of an event.
    pub(super) fn warn_of_changes(&self, given: &Given, out: &mut Out) {
        for (field, word) in given.replaced() {
            let flag = field.long().unwrap_or(field.name);
            out.say(format_args!(
                "warning: --{flag} has a word that is not in its list; it is recorded as {word}"
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

    /// Warns of fields that were left out of the input.
    pub(super) fn warn_of_fields(&self, out: &mut Out) {
        for (field, times) in &self.dropped_fields {
            let why = match field.as_str() {
                "version" | "python_version" => "is no version number",
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

    /// Shows what would be recorded.
    pub(super) fn show(&mut self, payloads: &[Payload], out: &mut Out) -> Result<(), Failure> {
        for payload in payloads {
            let line = payload.as_str().to_owned();
            if self.json {
                let line = RawValue::from_string(line).expect("a payload is JSON");
                self.events.push(line);
            } else {
                out.line(line)?;
            }
        }
        Ok(())
    }

    /// Prints the object of `--json`, if it was asked for.
    pub(super) fn print(&self, out: &mut Out) -> Result<(), Failure> {
        if self.json { out.json(self) } else { Ok(()) }
    }

    /// Whether anything was recorded.
    pub(super) fn has_recorded(&self) -> bool {
        self.recorded > 0
    }
}
