//! `info`: what is collected. Generated from the event types themselves, so it always matches what
//! is sent.

use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::value::RawValue;

use super::exit::{Code, Failure};
use super::out::Out;
use super::record;
use crate::event::json_schema::json_schema;
use crate::event::vocabulary::ScanFrequency;
use crate::event::{EVENTS, EventSpec, FieldSpec, Kind, Payload, Stamp, event_id};
use crate::settings::Settings;

/// The fields that every event has.
const ENVELOPE: [(&str, &str); 7] = [
    ("event", "the event's name"),
    ("version", "the scanner's version"),
    ("platform", "Linux, macOS or Windows"),
    ("python_version", "the scanner's Python version, 3.N"),
    (
        "anonymous_id",
        "a random number created on this machine; `jmo-telemetry id --reset` creates a new one",
    ),
    ("timestamp", "when, UTC"),
    (
        "event_id",
        "a random number, so that no event is counted twice",
    ),
];

/// What no field can contain.
const NEVER: [&str; 6] = [
    "names, paths or URLs of repositories, images, files or hosts",
    "findings, secrets, code, or any text from a scan",
    "user names, e-mail addresses, IP addresses, host names",
    "configuration values or environment variables",
    "error messages or stack traces",
    "exact durations or numbers of findings: only ranges",
];

/// Show what is collected and what is not, with an example of each event
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry info\n  jmo-telemetry info --json\n  jmo-telemetry info --schema > event.schema.json"
)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of an event instead
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

#[derive(Serialize)]
struct Info {
    events: Vec<EventInfo>,
    every_event: Vec<EnvelopeInfo>,
    never: [&'static str; 6],
    opt_out: [&'static str; 4],
}

#[derive(Serialize)]
struct EventInfo {
    event: &'static str,
    help: &'static str,
    metadata: Vec<FieldInfo>,
    command: String,
    example: Box<RawValue>,
}

/// A field that every event has.
#[derive(Serialize)]
struct EnvelopeInfo {
    name: &'static str,
    values: &'static str,
}

/// A field of an event.
#[derive(Serialize)]
struct FieldInfo {
    name: &'static str,
    help: &'static str,
    /// Its values, described for people.
    values: String,
    /// Every word that the field, or an element of the list, can hold.
    words: Option<&'static [&'static str]>,
    /// The word that replaces any other word.
    otherwise: Option<&'static str>,
    /// The name of the field for the raw number.
    raw: Option<&'static str>,
    /// Whether a line of JSON must contain it.
    required: bool,
    flag: Option<&'static str>,
    /// Whether the flag must be given.
    flag_required: bool,
    /// The fields of an object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<FieldInfo>,
}

impl From<&FieldSpec> for FieldInfo {
    fn from(field: &FieldSpec) -> Self {
        let words = field.kind.words();
        let members = match field.kind {
            Kind::Counts(members) => members.iter().map(Self::from).collect(),
            _ => Vec::new(),
        };
        Self {
            name: field.name,
            help: field.help,
            values: field.kind.to_string(),
            words: words.map(|words| words.list),
            otherwise: words.and_then(|words| words.otherwise),
            raw: field.raw(),
            required: field.required,
            flag: field.flag,
            flag_required: field.flag_required(),
            members,
        }
    }
}

impl From<&'static EventSpec> for EventInfo {
    fn from(event: &'static EventSpec) -> Self {
        Self {
            event: event.name,
            help: event.help,
            metadata: event.fields.iter().map(FieldInfo::from).collect(),
            command: record::example(event),
            example: example(event),
        }
    }
}

/// The line that is recorded for an event's example.
fn example(event: &'static EventSpec) -> Box<RawValue> {
    let at = EXAMPLE_AT.parse().expect("a time");
    let stamp = Stamp {
        anonymous_id: EXAMPLE_ID.parse().expect("a UUID"),
        at,
        frequency: Some(ScanFrequency::Weekly),
        event_id: event_id(at, [0x5a; 10]),
    };
    let payload = Payload::new(record::example_draft(event), &stamp);
    RawValue::from_string(payload.as_str().to_owned()).expect("a payload is JSON")
}

/// The time and the anonymous id of the examples. They are fixed, so that generated documents don't
/// change.
const EXAMPLE_AT: &str = "2026-01-31T12:00:00.000Z";
const EXAMPLE_ID: &str = "a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c";

/// Every way to opt out.
const OPT_OUT: [&str; 4] = [
    "run `jmo-telemetry disable`",
    "set JMO_TELEMETRY_DISABLE=1",
    "set DO_NOT_TRACK=1",
    "write `telemetry: {enabled: false}` into jmo.yml",
];

fn info() -> Info {
    let envelope = |(name, values)| EnvelopeInfo { name, values };
    Info {
        events: EVENTS.iter().map(EventInfo::from).collect(),
        every_event: ENVELOPE.map(envelope).into(),
        never: NEVER,
        opt_out: OPT_OUT,
    }
}

impl Args {
    pub(super) fn run(self, _: &Settings, out: &mut Out) -> Result<Code, Failure> {
        if self.schema {
            let schema = serde_json::to_string_pretty(&json_schema())
                .map_err(|error| Failure::stdout(error.into()))?;
            out.line(schema)?;
            return Ok(Code::Done);
        }
        let info = info();
        if self.json {
            out.json(&info)?;
            return Ok(Code::Done);
        }
        for event in &info.events {
            out.line(format_args!("{}: {}", event.event, event.help))?;
            for field in &event.metadata {
                out.line(format_args!("  {}: {}", field.name, field.help))?;
                out.line(format_args!("    {}", field.values))?;
            }
            out.line(format_args!("  recorded by: {}", event.command))?;
            out.line(format_args!("  example: {}\n", event.example))?;
        }
        out.line("with every event")?;
        for field in &info.every_event {
            out.line(format_args!("  {}: {}", field.name, field.values))?;
        }
        out.line("\nnever collected")?;
        for what in info.never {
            out.line(format_args!("  {what}"))?;
        }
        out.line("\nhow to opt out")?;
        for way in info.opt_out {
            out.line(format_args!("  {way}"))?;
        }
        out.line("  in CI, telemetry is disabled automatically")?;
        Ok(Code::Done)
    }
}

#[cfg(test)]
mod generated {
    use std::fmt::Write as _;

    use super::*;
    use crate::generated::is_fresh;

    #[test]
    fn the_collector_has_the_schema_that_info_prints() {
        let schema = serde_json::to_string_pretty(&json_schema()).expect("JSON");
        is_fresh("collector/schema/event.json", &format!("{schema}\n"));
    }

    #[test]
    fn the_document_on_events_matches_info() {
        is_fresh("docs/events.md", &document(&info()).expect("formats"));
    }

    fn document(info: &Info) -> Result<String, std::fmt::Error> {
        let mut text = String::from(
            "# Events\n\n\
             <!-- Made from src/event/schema.rs: REGENERATE=1 cargo test --locked --lib generated -->\n\n\
             Each event is one line of JSON. These fields are in every event, in this order:\n\n\
             | field | what |\n| --- | --- |\n",
        );
        for field in &info.every_event {
            writeln!(text, "| `{}` | {} |", field.name, field.values)?;
        }
        writeln!(
            text,
            "\nA number that is stored as a range is given under the name in the column \"number\"; the number itself \
             is never stored. Fields in bold are required. `jmo-telemetry info --json` gives the same \
             to programs, and `jmo-telemetry info --schema` prints the JSON Schema. A field \
             that came after the first release is missing from the lines of older programs, which \
             stay valid.\n\n\
             ## Never collected\n"
        )?;
        for what in info.never {
            writeln!(text, "- {what}")?;
        }
        for event in &info.events {
            writeln!(
                text,
                "\n## `{}`\n\n{}.\n\n\
                 | field | flag | number | what | values |\n| --- | --- | --- | --- | --- |",
                event.event, event.help
            )?;
            for field in &event.metadata {
                row(&mut text, "", field)?;
            }
            let example: serde_json::Value =
                serde_json::from_str(event.example.get()).map_err(|_| std::fmt::Error)?;
            assert_eq!(example["event"], event.event);
            writeln!(
                text,
                "\n```sh\n{}\n```\n\n```json\n{}\n```",
                event.command, event.example
            )?;
        }
        Ok(text)
    }

    fn row(text: &mut String, object: &str, field: &FieldInfo) -> std::fmt::Result {
        let code = |word: Option<&str>| word.map(|word| format!("`{word}`")).unwrap_or_default();
        let name = format!("`{object}{}`", field.name);
        let name = if field.required {
            format!("**{name}**")
        } else {
            name
        };
        let values = field.words.map_or_else(
            || field.values.clone(),
            |words| {
                words
                    .iter()
                    .map(|word| format!("`{word}`"))
                    .collect::<Vec<_>>()
                    .join(" ")
            },
        );
        writeln!(
            text,
            "| {name} | {} | {} | {} | {values} |",
            code(field.flag),
            code(field.raw),
            field.help,
        )?;
        let object = format!("{object}{}.", field.name);
        field
            .members
            .iter()
            .try_for_each(|member| row(text, &object, member))
    }
}
