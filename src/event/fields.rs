//! What a caller brings, before it is an event: loosely typed values by name, borrowed from the
//! input where possible, and how each type of field is read from them. No message made here repeats
//! a value.

use super::vocabulary::{Bucket, Vocabulary};
use crate::json::{Object, Value};

/// Why a field can't be read. The words name fields and types, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A required field is not there.
    #[error("missing field `{0}`")]
    Missing(&'static str),
    /// A field has another type than it should.
    #[error("field `{name}` must be {expected}")]
    Wrong {
        /// The field.
        name: &'static str,
        /// What it should be.
        expected: String,
    },
}

/// The names that nobody took, fit to be shown.
pub(super) fn left_over(fields: &Object<'_>) -> impl Iterator<Item = String> {
    fields.iter().map(|(name, _)| showable(name))
}

/// A field name is shown only if it looks like one: what a caller smuggles into a name must not
/// reach a terminal or log.
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

/// A type of field: how it is read, and how `info` describes it.
pub trait Field: Sized {
    /// Reads the field `name`; what is missing is an error unless the type has a meaning for it.
    ///
    /// # Errors
    /// When it is required and missing, or has another type. Names that were dropped on the way go
    /// to `dropped`.
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        dropped: &mut Vec<String>,
    ) -> Result<Self, FieldError>;
    /// The values it can have, for people.
    fn describe() -> String;
}

fn wrong(name: &'static str, expected: impl Into<String>) -> FieldError {
    FieldError::Wrong {
        name,
        expected: expected.into(),
    }
}

fn word_of<V: Vocabulary>(value: &Value<'_>, name: &'static str) -> Result<V, FieldError> {
    match value {
        Value::Text(word) => V::of(word)
            .or(V::ELSE)
            .ok_or_else(|| wrong(name, describe_words::<V>())),
        _ => Err(wrong(name, describe_words::<V>())),
    }
}

fn describe_words<V: Vocabulary>() -> String {
    format!("one of {}", V::WORDS.join(", "))
}

impl<V: Vocabulary> Field for V {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        word_of(&fields.take(name).ok_or(FieldError::Missing(name))?, name)
    }
    fn describe() -> String {
        describe_words::<V>()
    }
}

/// A vocabulary's word, or nothing.
impl<V: Vocabulary> Field for Option<V> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        match fields.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => word_of(&value, name).map(Some),
        }
    }
    fn describe() -> String {
        format!("{} or null", describe_words::<V>())
    }
}

/// A bucket, read as its word or from the raw number under the number's own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Bucketed<B: Bucket>(pub B);

impl<B: Bucket> Bucketed<B> {
    /// The bucket, or `None` when neither the word nor the number is there.
    fn take_optional(
        fields: &mut Object<'_>,
        name: &'static str,
    ) -> Result<Option<Self>, FieldError> {
        let raw = fields.take(B::RAW_FIELD);
        if let Some(word) = fields.take(name) {
            return word_of(&word, name).map(|bucket| Some(Self(bucket)));
        }
        raw.map(|value| {
            value
                .number()
                .map(|n| Self(B::holding(n)))
                .ok_or_else(|| wrong(B::RAW_FIELD, "a number"))
        })
        .transpose()
    }
}

impl<B: Bucket> Field for Bucketed<B> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        Self::take_optional(fields, name)?.ok_or(FieldError::Missing(name))
    }
    fn describe() -> String {
        format!(
            "{} (the number itself is never stored)",
            describe_words::<B>()
        )
    }
}

/// A value that the event can work out by itself when the caller does not bring it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived<T>(pub Option<T>);

impl<T: serde::Serialize> serde::Serialize for Derived<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<B: Bucket> Field for Derived<Bucketed<B>> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        Bucketed::take_optional(fields, name).map(Self)
    }
    fn describe() -> String {
        Bucketed::<B>::describe()
    }
}

impl Field for Derived<Count> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        fields
            .take(name)
            .map(|value| count_of(&value, name))
            .transpose()
            .map(Self)
    }
    fn describe() -> String {
        Count::describe()
    }
}

impl Field for Derived<bool> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        fields
            .take(name)
            .map(|value| bool_of(&value, name))
            .transpose()
            .map(Self)
    }
    fn describe() -> String {
        bool::describe()
    }
}

/// A small count; a negative one is zero, and none is larger than 4,294,967,295.
pub type Count = u32;

fn count_of(value: &Value<'_>, name: &'static str) -> Result<Count, FieldError> {
    let n = value
        .integer()
        .ok_or_else(|| wrong(name, "a whole number"))?;
    Ok(Count::try_from(n.max(0)).unwrap_or(Count::MAX))
}

fn bool_of(value: &Value<'_>, name: &'static str) -> Result<bool, FieldError> {
    match value {
        Value::Bool(b) => Ok(*b),
        _ => Err(wrong(name, "true or false")),
    }
}

impl Field for Count {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        count_of(&fields.take(name).ok_or(FieldError::Missing(name))?, name)
    }
    fn describe() -> String {
        "a count".to_owned()
    }
}

/// Not said is `false`.
impl Field for bool {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        fields
            .take(name)
            .map_or(Ok(false), |value| bool_of(&value, name))
    }
    fn describe() -> String {
        "true or false".to_owned()
    }
}

/// A process's exit code, or nothing.
impl Field for Option<i64> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        match fields.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .integer()
                .map(Some)
                .ok_or_else(|| wrong(name, "a whole number or null")),
        }
    }
    fn describe() -> String {
        "a whole number or null".to_owned()
    }
}

/// Each word once, in the order they came: a list is never longer than its vocabulary.
impl<V: Vocabulary + PartialEq> Field for Vec<V> {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        _: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        let Value::List(items) = fields.take(name).ok_or(FieldError::Missing(name))? else {
            return Err(wrong(name, "a list of words"));
        };
        let mut words = Vec::new();
        for item in &items {
            let word = word_of(item, name)?;
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(words)
    }
    fn describe() -> String {
        format!("a list of {}", V::WORDS.join(", "))
    }
}
