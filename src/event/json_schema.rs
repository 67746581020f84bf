//! The JSON Schema of an event, for programs that receive events. It is strict: no other field is
//! allowed, and every word is from a list. Every field of the first release is required, and no field
//! that was added later, so that the lines of all released programs are accepted. A schema can't
//! express everything: [`Payload::reread`](super::Payload::reread) also requires the one canonical
//! spelling of each value, and that `timestamp` and `event_id` have the same time.

use super::fields::{Count, ExitCode};
use super::table::{EventSpec, FieldSpec, Kind};
use super::version::{PythonVersion, ScannerVersion};
use super::vocabulary::{Platform, Vocabulary as _};
use super::{EVENTS, event_names};
use crate::json::{Object, Value};

/// A UUID of version 4 or 7.
macro_rules! uuid {
    ($version:literal) => {
        concat!(
            "^[0-9a-f]{8}-[0-9a-f]{4}-",
            $version,
            "[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
        )
    };
}

const TIMESTAMP: &str = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$";

/// The schema of a line.
#[must_use]
pub(crate) fn json_schema() -> Value<'static> {
    let envelope = [
        ("event", one_of(event_names().map(Value::text))),
        (
            "version",
            object([
                ("type", Value::text("string")),
                ("maxLength", Value::Integer(ScannerVersion::MAX as i64)),
                ("pattern", Value::text(ScannerVersion::PATTERN)),
            ]),
        ),
        (
            "platform",
            one_of(Platform::WORDS.iter().copied().map(Value::text)),
        ),
        (
            "python_version",
            object([
                ("type", either("string", "null")),
                ("pattern", Value::text(PythonVersion::PATTERN)),
            ]),
        ),
        ("anonymous_id", text(uuid!("4"))),
        ("timestamp", text(TIMESTAMP)),
        ("metadata", object([("type", Value::text("object"))])),
        ("event_id", text(uuid!("7"))),
    ];
    let names = envelope.iter().map(|(name, _)| *name).collect();
    let envelope = closed(envelope, names);
    let words =
        "One line of telemetry. Every word is from a closed list; there is no field for free text.";
    let head = [
        (
            "$schema",
            Value::text("https://json-schema.org/draft/2020-12/schema"),
        ),
        ("title", Value::text("A jmo-telemetry event")),
        ("description", Value::text(words)),
    ];
    let events = Value::List(EVENTS.iter().map(event).collect());
    object(head.into_iter().chain(envelope).chain([("oneOf", events)]))
}

fn event(event: &EventSpec) -> Value<'static> {
    let name = object([("const", Value::text(event.name))]);
    let metadata = fields(event.fields);
    object([(
        "properties",
        object([("event", name), ("metadata", metadata)]),
    )])
}

/// An object of these fields and no other. Those that came after the first release may be missing.
pub(super) fn fields(fields: &[FieldSpec]) -> Value<'static> {
    let required = fields.iter().filter(|field| !field.later);
    let required = required.map(|field| field.name).collect();
    let properties = fields.iter().map(|field| (field.name, values(field.kind)));
    Value::Object(closed(properties, required).into_iter().collect())
}

fn values(kind: Kind) -> Value<'static> {
    let words = |list: &'static [&'static str]| list.iter().copied().map(Value::text);
    match kind {
        Kind::Word {
            words: list,
            or_null: false,
        }
        | Kind::Bucket { words: list, .. } => one_of(words(list.list)),
        Kind::Word {
            words: list,
            or_null: true,
        } => one_of(words(list.list).chain([Value::Null])),
        Kind::List(list) => object([
            ("type", Value::text("array")),
            ("items", one_of(words(list.list))),
            ("uniqueItems", Value::Bool(true)),
        ]),
        Kind::Count => object([
            ("type", Value::text("integer")),
            ("minimum", Value::Integer(0)),
            ("maximum", Value::Integer(Count::MAX.into())),
        ]),
        Kind::Flag => object([("type", Value::text("boolean"))]),
        Kind::ExitCode => object([
            ("type", either("integer", "null")),
            ("minimum", Value::Integer(ExitCode::MIN)),
            ("maximum", Value::Integer(ExitCode::MAX)),
        ]),
        Kind::Counts(members) => fields(members),
    }
}

/// What makes an object hold these properties and no other.
fn closed(
    properties: impl IntoIterator<Item = (&'static str, Value<'static>)>,
    required: Vec<&'static str>,
) -> [(&'static str, Value<'static>); 4] {
    let names = required.into_iter().map(Value::text);
    [
        ("type", Value::text("object")),
        ("additionalProperties", Value::Bool(false)),
        ("required", Value::List(names.collect())),
        ("properties", object(properties)),
    ]
}

fn object(members: impl IntoIterator<Item = (&'static str, Value<'static>)>) -> Value<'static> {
    Value::Object(members.into_iter().collect::<Object<'_>>())
}

fn one_of(words: impl Iterator<Item = Value<'static>>) -> Value<'static> {
    object([("enum", Value::List(words.collect()))])
}

fn either(one: &'static str, other: &'static str) -> Value<'static> {
    Value::List(vec![Value::text(one), Value::text(other)])
}

fn text(pattern: &'static str) -> Value<'static> {
    object([
        ("type", Value::text("string")),
        ("pattern", Value::text(pattern)),
    ])
}
