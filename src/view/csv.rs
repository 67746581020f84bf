//! `--export`: one row per event, for spreadsheet programs. These run text that looks like a
//! formula, so such a cell gets a leading apostrophe (OWASP, "CSV Injection"). The columns are
//! always the same.

use std::borrow::Cow;
use std::io::{self, Write};
use std::iter::once;

use super::dimensions::{DIMENSIONS, Dimension};
use super::{Consumer, Event};
use crate::event::{EVENTS, FieldSpec, Kind};
use crate::json::{Object, Value};
use crate::terminal;

/// The first columns. People and scripts rely on their order.
const FIRST: [&str; 8] = [
    "event",
    "timestamp",
    "platform",
    "python_version",
    "profile",
    "mode",
    "duration",
    "tools_count",
];

/// Members outside the metadata that belong to no dimension.
const TOP_LEVEL: [&str; 3] = ["timestamp", "anonymous_id", "event_id"];

/// A column.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// The event's word in a dimension.
    Word(&'static str, &'static Dimension),
    /// A member outside the metadata.
    TopLevel(&'static str),
    /// A member of the metadata; the elements of a list are separated by spaces.
    Detail(&'static str),
    /// The number of tools that a scan started with.
    ToolsCount,
    /// A count in an object of the metadata: its name, and the name of the object.
    Count(&'static str, &'static str),
    /// Everything that has no column of its own.
    Other,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Word(name, _)
            | Self::TopLevel(name)
            | Self::Detail(name)
            | Self::Count(name, _) => name,
            Self::ToolsCount => "tools_count",
            Self::Other => "other",
        }
    }
}

/// Writes each event as a row.
pub(crate) struct Csv<W: Write> {
    writer: csv::Writer<W>,
    columns: Vec<Column>,
    held: Vec<Represented>,
}

/// A member of an event that has a column.
struct Represented {
    name: &'static str,
    values: Values,
}

/// Which values of a member its columns can represent.
enum Values {
    All,
    /// All values except lists and objects.
    Single,
    /// An object with only these members.
    Counts(&'static [FieldSpec]),
}

impl Represented {
    fn holds(&self, value: &Value<'_>) -> bool {
        match self.values {
            Values::All => true,
            Values::Single => !matches!(value, Value::List(_) | Value::Object(_)),
            Values::Counts(members) => value.object().is_some_and(|object| {
                let known = |name| members.iter().any(|member| member.name == name);
                object.iter().all(|(name, _)| known(name))
            }),
        }
    }
}

impl<W: Write> Csv<W> {
    /// Writes the header row.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let (columns, held) = columns();
        let mut writer = csv::Writer::from_writer(out);
        writer
            .write_record(columns.iter().map(|column| column.name()))
            .map_err(reason)?;
        Ok(Self {
            writer,
            columns,
            held,
        })
    }

    /// Returns the writer.
    ///
    /// # Errors
    /// When the last rows can't be written.
    pub(crate) fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(|error| error.into_error())
    }
}

/// The writer's own error. The conversion of the csv crate would hide its kind, such as a broken
/// pipe.
fn reason(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// All columns in order, and the members of an event that they represent.
fn columns() -> (Vec<Column>, Vec<Represented>) {
    let single = |name| Represented {
        name,
        values: Values::Single,
    };
    let mut columns = Vec::new();
    let mut held = Vec::new();
    for dimension in DIMENSIONS {
        if let Some(name) = dimension.column {
            columns.push(Column::Word(name, dimension));
            held.extend(dimension.fields.iter().copied().map(single));
        }
    }
    columns.extend(TOP_LEVEL.map(Column::TopLevel));
    held.extend(TOP_LEVEL.map(single));
    columns.push(Column::ToolsCount);
    for field in EVENTS.iter().flat_map(|event| event.fields) {
        let name = field.name;
        if held.iter().any(|held| held.name == name) {
            continue;
        }
        let values = match field.kind {
            Kind::Counts(members) => {
                let counts = members
                    .iter()
                    .map(|member| Column::Count(member.name, name));
                columns.extend(counts);
                Values::Counts(members)
            }
            _ => {
                columns.push(Column::Detail(name));
                Values::All
            }
        };
        held.push(Represented { name, values });
    }
    columns.push(Column::Other);
    columns.sort_by_key(|column| {
        let place = FIRST.iter().position(|first| *first == column.name());
        place.unwrap_or(FIRST.len())
    });
    (columns, held)
}

impl<W: Write> Consumer for Csv<W> {
    fn event(&mut self, event: &Event<'_>, _: &[u8]) -> io::Result<()> {
        for column in &self.columns {
            let text = match *column {
                Column::Word(_, dimension) => {
                    let mut text = None;
                    dimension.words(event, &mut |word, _| text = Some(word.to_owned().into()));
                    text
                }
                Column::TopLevel(name) => event.text(name),
                Column::Detail(name) => event.value(name).and_then(flat),
                Column::ToolsCount => Some(event.tools().count().to_string().into()),
                Column::Count(name, object) => event
                    .value(object)
                    .and_then(|counts| counts.object()?.get(name))
                    .and_then(Value::to_text),
                Column::Other => other(event, &self.held),
            };
            cell(&mut self.writer, &text.unwrap_or_default())?;
        }
        self.writer.write_record(None::<&[u8]>).map_err(reason)
    }
}

fn cell<W: Write>(writer: &mut csv::Writer<W>, text: &str) -> io::Result<()> {
    writer
        .write_field(without_formulas(text).as_bytes())
        .map_err(reason)
}

/// A value as the text of one cell.
fn flat<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::List(elements) => {
            let words: Vec<_> = elements.iter().filter_map(Value::to_text).collect();
            Some(words.join(" ").into())
        }
        Value::Object(_) => serde_json::to_string(value).ok().map(Cow::Owned),
        single => single.to_text(),
    }
}

/// Everything that no column represents, as a JSON object, so that nothing is lost.
fn other(event: &Event<'_>, held: &[Represented]) -> Option<Cow<'static, str>> {
    let is_held = |name: &str, value: &Value<'_>| {
        let column = held.iter().find(|held| held.name == name);
        column.is_some_and(|held| held.holds(value))
    };
    let members: Object<'_> = event
        .top_level()
        .chain(event.metadata())
        .filter(|(name, value)| !is_held(name, value))
        .map(|(name, value)| (name, value.clone()))
        .collect();
    members.iter().next()?;
    serde_json::to_string(&members).ok().map(Cow::Owned)
}

/// Changes text so that no spreadsheet program treats it as a formula. A plain number is not changed.
///
/// Where the locale separates cells by semicolons, a program starts new cells within our text. So
/// the text after each separator is checked as well.
fn without_formulas(text: &str) -> Cow<'_, str> {
    if is_plain_number(text) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    let mut copied = 0;
    let separators = text.match_indices([';', '\t', '\r', '\n']);
    for start in once(0).chain(separators.map(|(at, separator)| at + separator.len())) {
        if is_formula(&text[start..]) {
            safe += &text[copied..start];
            safe.push('\'');
            copied = start;
        }
    }
    if safe.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(safe + &text[copied..])
}

/// Whether a program would treat this text as a formula, possibly after trimming it or replacing
/// full-width characters.
fn is_formula(cell: &str) -> bool {
    let skipped = |c: char| c.is_whitespace() || terminal::is_unsafe(c);
    let trimmed = cell.trim_start_matches(skipped);
    trimmed.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || cell.starts_with(['\t', '\r', '\n'])
}

/// Whether this is a negative number such as `-9` or `-0.5`: a minus, then digits with at most one
/// point.
fn is_plain_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('-').is_some_and(|number| {
        number.split_once('.').map_or_else(
            || digits(number),
            |(whole, fraction)| digits(whole) && digits(fraction),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_part_of_a_cell_is_a_formula_and_only_apostrophes_are_added(
            text in "([;=+@＝ \t\n'a1.-]|\\PC){0,12}"
        ) {
            let safe = without_formulas(&text);
            if !is_plain_number(&safe) {
                for cell in safe.split([';', '\t', '\r', '\n']) {
                    prop_assert!(!is_formula(cell), "{safe:?}");
                }
            }
            let bare = |text: &str| text.replace('\'', "");
            prop_assert_eq!(bare(&safe), bare(&text));
        }
    }

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for text in [
            "=1+1",
            "+1",
            "-1+cmd|' /C calc'!A0",
            "@SUM(A1)",
            "-",
            "-1.",
            "--1",
            "-1e5",
            " =1",
            "\u{a0}=1",
            "\u{feff}=1",
            "\u{0}=1",
            "＝1",
            "＋1",
            "－1",
            "＠SUM(A1)",
            " \u{3000}＝1",
        ] {
            assert_eq!(without_formulas(text), format!("'{text}"));
        }
        for text in [
            "", "-9", "-0.5", "12", "<5min", "1-10", ">1000", "fast", "1=1",
        ] {
            assert_eq!(without_formulas(text), text);
        }
        for (text, safe) in [
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "'\n'=1"),
            ("a;=1", "a;'=1"),
            ("a; =1;b;-9", "a;' =1;b;'-9"),
            ("a\n=1", "a\n'=1"),
            ("=1;＝2", "'=1;'＝2"),
            ("é;+1", "é;'+1"),
        ] {
            assert_eq!(without_formulas(text), safe);
        }
    }
}
