//! The types of fields: how each is read from untyped JSON, and how the table of events describes
//! it. No message made here repeats a value.

use std::collections::HashSet;

use serde::Serialize;

use super::table::{Kind, Words};
use super::vocabulary::{Bucket, Vocabulary};
use crate::json::{Object, Value};

/// The result of reading a field.
pub(super) type Taken<T> = Result<T, FieldError>;

/// Collects the names of fields that are left out.
pub(super) type Dropped<'d> = &'d mut Vec<String>;

/// A type of field.
pub(crate) trait Field: Sized {
    /// The values it can hold.
    const KIND: Kind;
    /// Whether it must be given.
    const REQUIRED: bool;
    /// Whether a line can be without it.
    const LATER: bool = false;

    /// Reads the field `name` from the given value.
    ///
    /// # Errors
    /// When the value has another type.
    fn read(value: Value<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self>;

    /// The field `name` when no value was given.
    ///
    /// # Errors
    /// When it is required.
    fn absent(name: &'static str) -> Taken<Self> {
        Err(FieldError::Missing(name))
    }

    /// Whether the line is without it.
    fn is_left_out(&self) -> bool {
        false
    }

    /// Takes the field `name` out of an object.
    ///
    /// # Errors
    /// When it is required and missing, or has another type.
    fn take(object: &mut Object<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        match object.take(name) {
            Some(value) => Self::read(value, name, dropped),
            None => Self::absent(name),
        }
    }
}

/// Why a field can't be read. The message names fields and types, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A required field is missing.
    #[error("missing field `{0}`")]
    Missing(&'static str),
    /// A field has the wrong type.
    #[error("field `{name}` must be {expected}")]
    Wrong {
        /// The field.
        name: &'static str,
        /// The values it can hold.
        expected: String,
    },
}

pub(super) fn wrong(name: &'static str, expected: impl Into<String>) -> FieldError {
    FieldError::Wrong {
        name,
        expected: expected.into(),
    }
}

/// Everything that is wrong with the fields of an event.
pub(super) fn all_read<const N: usize>(errors: [Option<FieldError>; N]) -> Vec<FieldError> {
    errors.into_iter().flatten().collect()
}

/// The names of the members that are left in the object, made safe to show.
pub(super) fn left_over(object: &Object<'_>) -> impl Iterator<Item = String> {
    object.iter().map(|(name, _)| showable(name))
}

/// A field name is shown only if it looks like one. Nothing else that a caller puts into a name may
/// reach a terminal or a log.
fn showable(name: &str) -> String {
    let plain = !name.is_empty()
        && name.len() <= 40
        && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if plain {
        name.to_owned()
    } else {
        "(a name that is not shown)".to_owned()
    }
}

fn words<V: Vocabulary>() -> String {
    format!("one of {}", V::WORDS.join(", "))
}

const fn words_of<V: Vocabulary>() -> Words {
    Words {
        list: V::WORDS,
        otherwise: V::OTHERWISE,
    }
}

fn read_word<V: Vocabulary>(value: &Value<'_>, name: &'static str) -> Result<V, FieldError> {
    match value {
        Value::Text(word) => V::of(word)
            .or(V::ELSE)
            .ok_or_else(|| wrong(name, words::<V>())),
        _ => Err(wrong(name, words::<V>())),
    }
}

impl<V: Vocabulary> Field for V {
    const KIND: Kind = Kind::Word {
        words: words_of::<V>(),
        or_null: false,
    };
    const REQUIRED: bool = true;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        read_word(&value, name)
    }
}

/// A word, or null.
impl<V: Vocabulary> Field for Option<V> {
    const KIND: Kind = Kind::Word {
        words: words_of::<V>(),
        or_null: true,
    };
    const REQUIRED: bool = false;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        match value {
            Value::Null => Ok(None),
            word => read_word(&word, name).map(Some),
        }
    }

    fn absent(_: &'static str) -> Taken<Self> {
        Ok(None)
    }
}

/// A list of words. Each is kept once, in the given order, so a list is never longer than its
/// vocabulary.
impl<V: Vocabulary + PartialEq> Field for Vec<V> {
    const KIND: Kind = Kind::List(words_of::<V>());
    const REQUIRED: bool = true;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        let Value::List(items) = value else {
            return Err(wrong(name, "a list of words"));
        };
        let mut words = Vec::new();
        for item in &items {
            let word = read_word(item, name)?;
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(words)
    }
}

/// A list of words that also knows how many different ones the caller named. All that are outside
/// of the vocabulary are one word in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counted<V> {
    words: Vec<V>,
    #[serde(skip)]
    pub(super) named: Count,
}

impl<V: Vocabulary + PartialEq> Field for Counted<V> {
    const KIND: Kind = Vec::<V>::KIND;
    const REQUIRED: bool = Vec::<V>::REQUIRED;

    fn read(value: Value<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        let named: HashSet<_> = value.elements().iter().filter_map(Value::to_text).collect();
        let named = Count::try_from(named.len()).unwrap_or(Count::MAX);
        let words = Vec::read(value, name, dropped)?;
        Ok(Self { words, named })
    }
}

/// A bucket, read from its word or from the raw number, which has a field name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bucketed<B: Bucket>(pub B);

impl<B: Bucket> Field for Bucketed<B> {
    const KIND: Kind = Kind::Bucket {
        words: words_of::<B>(),
        raw: B::RAW_FIELD,
        unit: B::UNIT,
    };
    const REQUIRED: bool = true;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        read_word(&value, name).map(Self)
    }

    /// The word takes precedence over the number.
    fn take(object: &mut Object<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        let number = object.take(B::RAW_FIELD);
        match (object.take(name), number) {
            (Some(word), _) => Self::read(word, name, dropped),
            (None, Some(number)) => match number.number() {
                Some(number) => Ok(Self(B::holding(number))),
                None => Err(wrong(B::RAW_FIELD, "a number")),
            },
            (None, None) => Self::absent(name),
        }
    }
}

/// A value that is derived from the other fields when the caller does not give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Derived<T>(pub Option<T>);

impl<T: Field> Field for Derived<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;

    fn read(value: Value<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        T::read(value, name, dropped).map(|value| Self(Some(value)))
    }

    fn absent(_: &'static str) -> Taken<Self> {
        Ok(Self(None))
    }

    fn take(object: &mut Object<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        take_if_given(object, name, dropped).map(Self)
    }
}

/// A field that was added after the first release. Older programs go on writing lines without it
/// for years, and older scanners do not give it: then the line does not have it. So every line that
/// was ever written can still be read, sent and accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "for the first field that comes later"
)]
pub struct Later<T>(pub Option<T>);

impl<T: Field> Field for Later<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;
    const LATER: bool = true;

    fn read(value: Value<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        T::read(value, name, dropped).map(|value| Self(Some(value)))
    }

    fn absent(_: &'static str) -> Taken<Self> {
        Ok(Self(None))
    }

    fn is_left_out(&self) -> bool {
        self.0.is_none()
    }

    fn take(object: &mut Object<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        take_if_given(object, name, dropped).map(Self)
    }
}

/// Takes the field `name`, if it or the number of its range is given.
fn take_if_given<T: Field>(
    object: &mut Object<'_>,
    name: &'static str,
    dropped: Dropped<'_>,
) -> Taken<Option<T>> {
    let raw = match T::KIND {
        Kind::Bucket { raw, .. } => object.get(raw),
        _ => None,
    };
    if object.get(name).or(raw).is_none() {
        return Ok(None);
    }
    T::take(object, name, dropped).map(Some)
}

/// A count. A negative number becomes zero, and one above 4,294,967,295 becomes that.
pub(crate) type Count = u32;

impl Field for Count {
    const KIND: Kind = Kind::Count;
    const REQUIRED: bool = true;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        let count = value
            .integer()
            .ok_or_else(|| wrong(name, "a whole number"))?;
        Ok(Self::try_from(count.max(0)).unwrap_or(Self::MAX))
    }
}

/// A count that defaults to 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OrZero(pub Count);

impl Field for OrZero {
    const KIND: Kind = Kind::Count;
    const REQUIRED: bool = false;

    fn read(value: Value<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        Count::read(value, name, dropped).map(Self)
    }

    fn absent(_: &'static str) -> Taken<Self> {
        Ok(Self(0))
    }
}

/// A flag that defaults to `false`.
impl Field for bool {
    const KIND: Kind = Kind::Flag;
    const REQUIRED: bool = false;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        match value {
            Value::Bool(flag) => Ok(flag),
            _ => Err(wrong(name, "true or false")),
        }
    }

    fn absent(_: &'static str) -> Taken<Self> {
        Ok(false)
    }
}

/// The exit code of a process: 32 bits, signed on most systems and unsigned on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ExitCode(i64);

impl ExitCode {
    /// The smallest one.
    pub(crate) const MIN: i64 = i32::MIN as i64;
    /// The largest one.
    pub(crate) const MAX: i64 = u32::MAX as i64;

    /// The exit code, if a process can have this one.
    #[must_use]
    pub fn new(code: i64) -> Option<Self> {
        (Self::MIN..=Self::MAX)
            .contains(&code)
            .then_some(Self(code))
    }
}

/// An exit code, or null.
impl Field for Option<ExitCode> {
    const KIND: Kind = Kind::ExitCode;
    const REQUIRED: bool = false;

    fn read(value: Value<'_>, name: &'static str, _: Dropped<'_>) -> Taken<Self> {
        match value {
            Value::Null => Ok(None),
            value => value
                .integer()
                .and_then(ExitCode::new)
                .map(Some)
                .ok_or_else(|| wrong(name, "a whole number of 32 bits, or null")),
        }
    }

    fn absent(_: &'static str) -> Taken<Self> {
        Ok(None)
    }
}
