//! A collected event, read leniently: one of ours, of the former module, or any object with an
//! `event` name. A member that is missing or has an unexpected type is ignored.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Utc};
use uuid::Uuid;

use crate::destination::segment;
use crate::event::vocabulary::{Bucket, DurationBucket, Vocabulary};
use crate::json::{Object, Value};

/// One event. It borrows from its line.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    members: Object<'a>,
    metadata: Option<Object<'a>>,
    at: Option<DateTime<Utc>>,
}

impl<'a> Event<'a> {
    /// Reads a line; `None` when it is not a JSON object with an `event` name.
    #[must_use]
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let mut members: Object<'_> = serde_json::from_slice(line).ok()?;
        if !matches!(members.get("event"), Some(Value::Text(_))) {
            return None;
        }
        let at = match members.get("timestamp") {
            Some(Value::Text(text)) => time(text),
            _ => None,
        };
        let metadata = match members.take("metadata") {
            Some(Value::Object(metadata)) => Some(metadata),
            Some(other) => {
                members.put("metadata", other);
                None
            }
            None => None,
        };
        Some(Self {
            members,
            metadata,
            at,
        })
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        match self.members.get("event") {
            Some(Value::Text(name)) => name,
            _ => "",
        }
    }

    /// When it happened; `None` without a timestamp that can be understood.
    #[must_use]
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        self.at
    }

    /// Its unique id. Events of the former module have none.
    #[must_use]
    pub(crate) fn event_id(&self) -> Option<u128> {
        self.text("event_id").map(|id| key(&id))
    }

    /// The anonymous id of the machine that sent it.
    #[must_use]
    pub(crate) fn anonymous_id(&self) -> Option<u128> {
        self.text("anonymous_id").map(|id| key(&id))
    }

    /// The platform. The former module called macOS by the name of its kernel.
    #[must_use]
    pub(crate) fn platform(&self) -> Option<Cow<'_, str>> {
        self.text("platform")
            .map(|platform| match platform.as_ref() {
                "Darwin" => Cow::Borrowed("macOS"),
                _ => platform,
            })
    }

    /// The profile, including the one chosen in the wizard.
    #[must_use]
    pub(crate) fn profile(&self) -> Option<Cow<'_, str>> {
        self.detail("profile")
            .or_else(|| self.detail("profile_selected"))
    }

    /// The tools that a scan started with.
    pub(crate) fn tools(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.value("tools")
            .map_or(&[][..], Value::elements)
            .iter()
            .filter_map(Value::to_text)
    }

    /// The tool that failed.
    #[must_use]
    pub(crate) fn failed_tool(&self) -> Option<Cow<'_, str>> {
        (self.name() == "tool.failed").then(|| self.detail("tool"))?
    }

    /// The bucket of the duration. The former wizard sent raw seconds.
    #[must_use]
    pub(crate) fn duration(&self) -> Option<Cow<'_, str>> {
        self.detail("duration_bucket").or_else(|| {
            let seconds = number(self.value(DurationBucket::RAW_FIELD)?)?;
            Some(Cow::Borrowed(DurationBucket::holding(seconds).word()))
        })
    }

    /// The bucket of the number of findings.
    #[must_use]
    pub(crate) fn findings(&self) -> Option<Cow<'_, str>> {
        self.detail("total_findings_bucket")
            .or_else(|| self.detail("findings_bucket"))
    }

    /// The number of targets of each kind, without the kinds that have none.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (&str, u64)> {
        self.value("target_types")
            .and_then(Value::object)
            .into_iter()
            .flat_map(Object::iter)
            .filter_map(|(kind, count)| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at least 1, and far below 2^53"
                )]
                let count = number(count).filter(|count| *count >= 1.0)? as u64;
                Some((kind, count))
            })
    }

    /// A member outside the metadata, as text.
    #[must_use]
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.members
            .get(name)
            .and_then(Value::to_text)
            .filter(|text| !text.is_empty())
    }

    /// A member of the metadata, as text.
    #[must_use]
    pub(crate) fn detail(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name)
            .and_then(Value::to_text)
            .filter(|text| !text.is_empty())
    }

    /// A member of the metadata.
    pub(super) fn value(&self, name: &str) -> Option<&Value<'a>> {
        self.metadata.as_ref()?.get(name)
    }

    /// All members of the metadata.
    pub(super) fn metadata(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.metadata.iter().flat_map(Object::iter)
    }

    /// All members outside the metadata, and the metadata itself if it is not an object.
    pub(super) fn top_level(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter()
    }
}

/// A number, even if it was written as text.
fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Text(text) => text.trim().parse().ok(),
        other => other.number(),
    }
    .filter(|number| number.is_finite())
}

/// An id as 16 bytes: those of a UUID, or part of the hash of any other text.
fn key(id: &str) -> u128 {
    Uuid::try_parse(id).map_or_else(|_| segment::hash128(id.as_bytes()), |uuid| uuid.as_u128())
}

/// Reads RFC 3339; without a time zone, UTC is assumed.
fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .or_else(|_| {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|at| at.and_utc())
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_any_shape_is_read_and_other_lines_are_not() {
        let read = |line: &'static str| Event::read(line.as_bytes());
        for line in [
            "",
            "42",
            "null",
            "[]",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"#,
            "\u{feff}",
        ] {
            assert!(read(line).is_none(), "{line}");
        }
        for line in [
            r#"{"event":"x"}"#,
            r#"{"event":"x","metadata":"text"}"#,
            r#"{"event":"x","metadata":[1,{"a":2}],"timestamp":5,"platform":{}}"#,
            r#"{"event":"x","metadata":{"tools":{"a":1},"target_types":[3],"duration_seconds":"soon"}}"#,
        ] {
            let event = read(line).expect(line);
            assert_eq!(event.name(), "x");
            assert_eq!((event.duration(), event.at()), (None, None), "{line}");
            assert_eq!(
                (event.tools().count(), event.targets().count()),
                (0, 0),
                "{line}"
            );
        }
    }

    #[test]
    fn the_former_modules_words_are_translated_to_ours() {
        let event = Event::read(
            br#"{"event":"wizard.completed","platform":"Darwin","timestamp":"2025-10-19T14:32:00.123456+00:00",
                "metadata":{"profile_selected":"balanced","duration_seconds":301}}"#,
        )
        .expect("an event");
        assert_eq!(event.platform().as_deref(), Some("macOS"));
        assert_eq!(event.profile().as_deref(), Some("balanced"));
        assert_eq!(event.duration().as_deref(), Some("5-15min"));
        assert_eq!(
            event.at().map(|at| at.to_rfc3339()).as_deref(),
            Some("2025-10-19T14:32:00.123456+00:00")
        );
        assert_eq!(event.event_id(), None);
    }

    #[test]
    fn times_are_read_in_every_form_in_which_they_were_written() {
        let midnight = "2025-10-19T00:00:00Z".parse().ok();
        for text in [
            "2025-10-19T00:00:00Z",
            "2025-10-19T02:00:00+02:00",
            "2025-10-19T00:00:00.000",
            "2025-10-19T00:00:00",
        ] {
            assert_eq!(time(text), midnight, "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }
}
