//! The flags of an event, generated from the table of events: their definitions for clap, and their
//! conversion to metadata.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cli::words;
use crate::event::fields::{Count, ExitCode};
use crate::event::table::{Unit, Words};
use crate::event::{EventSpec, FieldSpec, Kind};
use crate::json::{Object, Value};

/// The flags that a command line gives for an event.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) event: &'static EventSpec,
    /// The fields whose flags were given.
    values: Vec<(&'static FieldSpec, Value<'static>)>,
}

impl Given {
    pub(super) fn new(event: &'static EventSpec) -> Self {
        let values = Vec::new();
        Self { event, values }
    }

    /// Adds the value of a flag. A list can be given repeatedly; repeating any other flag returns
    /// `None`.
    pub(super) fn add(&mut self, field: &'static FieldSpec, value: Value<'static>) -> Option<()> {
        let mut values = self.values.iter_mut();
        match values.find(|(known, _)| known.flag == field.flag) {
            None => self.values.push((field, value)),
            Some((_, Value::List(words))) => {
                let Value::List(more) = value else {
                    return None;
                };
                words.extend(more);
            }
            Some(_) => return None,
        }
        Some(())
    }

    fn value(&self, field: &FieldSpec) -> Option<&Value<'static>> {
        let mut values = self.values.iter();
        let given = values.find(|(known, _)| known.flag == field.flag);
        given.map(|(_, value)| value)
    }

    /// The flags that clap has parsed.
    pub(super) fn from_matches(event: &'static EventSpec, matches: &ArgMatches) -> Self {
        let mut given = Self::new(event);
        for (field, _) in event.flags() {
            let Some(long) = field.long() else { continue };
            if field.kind == Kind::Flag {
                if matches.get_flag(long) {
                    given.add(field, Value::Bool(true));
                }
                continue;
            }
            for value in matches
                .get_many::<Value<'static>>(long)
                .into_iter()
                .flatten()
            {
                given.add(field, value.clone());
            }
        }
        given
    }

    /// Converts the flags to metadata. The raw number for a range goes under its own field name; a
    /// list whose flag is not given is empty.
    pub(super) fn metadata(&self) -> Object<'static> {
        let given = |field: &FieldSpec| {
            let value = self.value(field)?.clone();
            Some((field.raw().unwrap_or(field.name), value))
        };
        let field = |field: &FieldSpec| match field.kind {
            Kind::Counts(members) => {
                let counts = members.iter().filter_map(given).collect();
                Some((field.name, Value::Object(counts)))
            }
            Kind::List(_) => given(field).or(Some((field.name, Value::List(Vec::new())))),
            _ => given(field),
        };
        self.event.fields.iter().filter_map(field).collect()
    }

    /// The flags with an unknown word, and the word that is recorded instead.
    pub(super) fn replaced(&self) -> impl Iterator<Item = (&'static FieldSpec, &'static str)> {
        self.event.flags().filter_map(|(field, _)| {
            let Words { list, otherwise } = field.kind.words()?;
            let is_known = |word: &Value<'_>| match word {
                Value::Text(word) => list.contains(&&**word),
                _ => true,
            };
            let all_known = self.value(field)?.elements().iter().all(is_known);
            otherwise.filter(|_| !all_known).map(|word| (field, word))
        })
    }
}

/// The order of the flags does not matter.
#[cfg(test)]
impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.event.name == other.event.name && self.metadata() == other.metadata()
    }
}

/// The subcommand of an event. Its flags are defined lazily, since one process records only one
/// event.
pub(super) fn command(event: &'static EventSpec) -> Command {
    Command::new(event.name).about(event.help).defer(define)
}

fn define(command: Command) -> Command {
    let Some(event) = EventSpec::named(command.get_name()) else {
        return command;
    };
    command
        .args(event.flags().filter_map(|(field, _)| arg(field)))
        .override_usage(usage(event))
        .after_help(format!("Example:\n  {}", words::example(&example(event))))
        .allow_negative_numbers(true)
}

/// An example command line that records this event.
pub(in crate::cli) fn example(event: &EventSpec) -> String {
    format!("jmo-telemetry record {} {}", event.name, event.example)
}

/// The usage line: the required flags, followed by `[OPTIONS]`.
fn usage(event: &EventSpec) -> String {
    let required = event.flags().map(|(field, _)| field);
    let required: Vec<_> = required
        .filter(|field| field.flag_required())
        .filter_map(|field| field.flag)
        .collect();
    let line = format!(
        "jmo-telemetry record {} {} [OPTIONS]",
        event.name,
        required.join(" ")
    );
    words::wrap_command(&line, 68).join("\n           ")
}

fn arg(field: &'static FieldSpec) -> Option<Arg> {
    let long = field.long()?;
    let heading = if field.flag_required() {
        "Required"
    } else {
        "Optional"
    };
    let otherwise = field.kind.words().and_then(|words| words.otherwise);
    let help = otherwise.map_or_else(
        || field.help.to_owned(),
        |word| format!("{}; any other word is recorded as {word}", field.help),
    );
    let arg = Arg::new(long).long(long).help(help).help_heading(heading);
    let action = match field.kind {
        Kind::Flag => return Some(arg.action(ArgAction::SetTrue)),
        Kind::List(_) => ArgAction::Append,
        _ => ArgAction::Set,
    };
    let value_name = field.value_name().unwrap_or("VALUE");
    Some(
        arg.action(action)
            .value_name(value_name)
            .value_parser(FlagValue(field.kind)),
    )
}

/// clap's parser for the value of a flag. It lists the known words for help and completions but
/// accepts others, too; the event decides what an unknown word becomes.
#[derive(Clone)]
struct FlagValue(Kind);

impl TypedValueParser for FlagValue {
    type Value = Value<'static>;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let kind = self.0;
        let parse = move |text: &str| parse(kind, text);
        parse.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        match self.0 {
            Kind::Word { words, .. } | Kind::List(words) => {
                Some(Box::new(words.list.iter().map(PossibleValue::new)))
            }
            _ => None,
        }
    }
}

/// Parses the value of a flag. No error message repeats it.
pub(super) fn parse(kind: Kind, text: &str) -> Result<Value<'static>, &'static str> {
    let word = |word: &str| Value::text(word.to_owned());
    match kind {
        Kind::Word { .. } => Ok(word(text)),
        Kind::List(_) => {
            let words = text.split(',').map(str::trim);
            if words.clone().any(str::is_empty) {
                return Err("a list is words with commas between them, e.g. a,b");
            }
            Ok(Value::List(words.map(word).collect()))
        }
        Kind::Bucket { unit, .. } => match unit {
            Unit::Seconds => seconds(text).map(Value::Float),
            Unit::Milliseconds => non_negative(text)
                .map(Value::Float)
                .ok_or("milliseconds are a number from 0"),
            Unit::Things => count(text),
        },
        Kind::Count => count(text),
        Kind::ExitCode => text
            .parse()
            .ok()
            .filter(|code| ExitCode::new(*code).is_some())
            .map(Value::Integer)
            .ok_or("an exit code is a whole number of 32 bits"),
        Kind::Flag | Kind::Counts(_) => Err("this takes no value"),
    }
}

fn count(text: &str) -> Result<Value<'static>, &'static str> {
    text.parse::<Count>()
        .map(|count| Value::Integer(count.into()))
        .map_err(|_| "a count is a whole number from 0 to 4294967295")
}

fn non_negative(text: &str) -> Option<f64> {
    let number = text.parse().ok();
    number.filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Parses `412`, `412s` or `7m30s` as seconds.
fn seconds(text: &str) -> Result<f64, &'static str> {
    let with_units = || humantime::parse_duration(text).ok();
    non_negative(text)
        .or_else(|| with_units().map(|duration| duration.as_secs_f64()))
        .ok_or("a duration is a number with a unit, e.g. 412s or 7m 30s")
}
