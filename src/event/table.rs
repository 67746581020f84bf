//! The table of events as plain data. The command line, its help and completions, `info`, the JSON
//! Schema and the documents are generated from it. `schema` fills it in.

use std::fmt;

/// The description of one event type.
#[derive(Debug, PartialEq)]
pub(crate) struct EventSpec {
    /// Its name, e.g. `scan.started`.
    pub(crate) name: &'static str,
    /// What it means, in a few words.
    pub(crate) help: &'static str,
    /// An example of its flags, as typed on a command line.
    pub(crate) example: &'static str,
    /// The fields of its metadata, in the order in which they are stored.
    pub(crate) fields: &'static [FieldSpec],
}

/// The description of a field.
#[derive(Debug, PartialEq)]
pub(crate) struct FieldSpec {
    /// Its name in the metadata.
    pub(crate) name: &'static str,
    /// What it means.
    pub(crate) help: &'static str,
    /// Its flag with a name for the value, e.g. `--mode <MODE>`; `None` for an object, whose
    /// members have flags of their own.
    pub(crate) flag: Option<&'static str>,
    /// The values it can hold.
    pub(crate) kind: Kind,
    /// Whether a line of JSON must contain it.
    pub(crate) required: bool,
    /// Whether a stored line may lack it, because it was added after the first release.
    pub(crate) later: bool,
}

/// The values that a field can hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A word, or possibly `null`.
    Word {
        /// The words.
        words: Words,
        /// Whether `null` is a value.
        or_null: bool,
    },
    /// Words, each at most once.
    List(Words),
    /// The word for a range of numbers.
    Bucket {
        /// The ranges.
        words: Words,
        /// The name of the field for the raw number, which is never stored.
        raw: &'static str,
        /// What the number counts.
        unit: Unit,
    },
    /// A whole number, at least 0.
    Count,
    /// `true` or `false`.
    Flag,
    /// The exit code of a process, or `null`.
    ExitCode,
    /// An object of counts.
    Counts(&'static [FieldSpec]),
}

/// A closed vocabulary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Words {
    /// Every word.
    pub(crate) list: &'static [&'static str],
    /// The word that replaces any other word; `None` if another word is an error.
    pub(crate) otherwise: Option<&'static str>,
}

/// The unit of a number that is put into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Things.
    Things,
}

impl EventSpec {
    /// The fields that have a flag, including the members of objects, each with the object it
    /// belongs to.
    pub(crate) fn flags(
        &self,
    ) -> impl Iterator<Item = (&'static FieldSpec, Option<&'static FieldSpec>)> + use<> {
        self.fields.iter().flat_map(|field| {
            let (members, object) = match field.kind {
                Kind::Counts(members) => (members, Some(field)),
                _ => (std::slice::from_ref(field), None),
            };
            members.iter().map(move |member| (member, object))
        })
    }

    /// The field with this name, or whose raw number has this name.
    #[must_use]
    pub(crate) fn field(&self, name: &str) -> Option<&'static FieldSpec> {
        let mut fields = self.flags().map(|(field, _)| field).chain(self.fields);
        fields.find(|field| field.name == name || field.raw() == Some(name))
    }
}

impl FieldSpec {
    /// Its flag without dashes, e.g. `mode`.
    #[must_use]
    pub(crate) fn long(&self) -> Option<&'static str> {
        let flag = self.flag?.strip_prefix("--")?;
        Some(flag.split(' ').next().unwrap_or(flag))
    }

    /// The name of its flag's value, e.g. `MODE`.
    #[must_use]
    pub(crate) fn value_name(&self) -> Option<&'static str> {
        let (_, value) = self.flag?.split_once(" <")?;
        value.strip_suffix('>')
    }

    /// The field name of its raw number.
    #[must_use]
    pub(crate) fn raw(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Bucket { raw, .. } => Some(raw),
            _ => None,
        }
    }

    /// Whether its flag must be given. A list whose flag is not given is empty.
    #[must_use]
    pub(crate) fn flag_required(&self) -> bool {
        self.required
            && matches!(
                self.kind,
                Kind::Word { .. } | Kind::Bucket { .. } | Kind::Count
            )
    }
}

impl Kind {
    /// Its words, if it has any.
    #[must_use]
    pub(crate) fn words(&self) -> Option<Words> {
        match self {
            Self::Word { words, .. } | Self::List(words) | Self::Bucket { words, .. } => {
                Some(*words)
            }
            Self::Count | Self::Flag | Self::ExitCode | Self::Counts(_) => None,
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list.join(", "))
    }
}

/// The values, for people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_else = |words: &Words| {
            let otherwise = words.otherwise.map(|word| format!("; any other is {word}"));
            otherwise.unwrap_or_default()
        };
        match self {
            Self::Word { words, or_null } => {
                let null = if *or_null { " or null" } else { "" };
                write!(f, "one of {words}{null}{}", or_else(words))
            }
            Self::List(words) => write!(f, "a list of {words}{}", or_else(words)),
            Self::Bucket { words, .. } => {
                write!(f, "one of {words} (the number itself is never stored)")
            }
            Self::Count => f.write_str("a count"),
            Self::Flag => f.write_str("true or false"),
            Self::ExitCode => f.write_str("a whole number or null"),
            Self::Counts(members) => {
                let names: Vec<_> = members.iter().map(|member| member.name).collect();
                write!(f, "counts of {}", names.join(", "))
            }
        }
    }
}
