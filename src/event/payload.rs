//! The payload: one event as the line that is stored, shown and uploaded, byte for byte.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::{Uuid, Variant, Version};

use super::version::{PythonVersion, ScannerVersion};
use super::vocabulary::{Platform, ScanFrequency, Vocabulary as _};
use super::{Draft, Event};
use crate::clock;

/// What the program adds to a draft; no caller can set any of it.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The anonymous id of this home.
    pub anonymous_id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The frequency hint from `scan-count`, for a draft that is counted there.
    pub frequency: Option<ScanFrequency>,
    /// The id by which the event is counted once ([`event_id`]).
    pub event_id: Uuid,
}

impl Stamp {
    /// Whether this program could have made it: the anonymous id is random, and the time is that of
    /// the `event_id` to the millisecond.
    fn is_ours(&self) -> bool {
        let millis = i64::try_from(self.event_id.as_u128() >> 80).ok();
        let at = millis.and_then(DateTime::from_timestamp_millis);
        let is_random = |id: &Uuid, version| {
            id.get_version() == Some(version) && id.get_variant() == Variant::RFC4122
        };
        is_random(&self.anonymous_id, Version::Random)
            && is_random(&self.event_id, Version::SortRand)
            && at == Some(self.at)
            && self.at <= clock::LATEST
    }
}

/// A UUIDv7 for an instant. A time before 1970 counts as 1970, the earliest time of a UUIDv7.
#[must_use]
pub fn event_id(at: DateTime<Utc>, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// One event as a line of JSON without its line end: fixed field order, no spaces, UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    line: String,
    event_id: Uuid,
    at: DateTime<Utc>,
}

/// Enough for nearly every line, so that its buffer does not grow while it is written.
const USUAL_BYTES: usize = 640;

#[derive(Serialize)]
struct Envelope<'a> {
    event: &'static str,
    version: &'a ScannerVersion,
    platform: Platform,
    python_version: Option<PythonVersion>,
    anonymous_id: Uuid,
    timestamp: &'a str,
    metadata: &'a Event,
    event_id: Uuid,
}

impl Payload {
    /// Makes the line.
    ///
    /// # Panics
    /// Never: the types of an event always serialize.
    #[must_use]
    pub fn new(draft: Draft, stamp: &Stamp) -> Self {
        Self::on_platform(Platform::current(), draft, stamp)
    }

    fn on_platform(platform: Platform, mut draft: Draft, stamp: &Stamp) -> Self {
        if let (Event::ScanStarted(event), true) = (&mut draft.event, draft.counts_scan) {
            event.scan_frequency_hint = stamp.frequency;
        }
        let envelope = Envelope {
            event: draft.event.name(),
            version: &draft.version,
            platform,
            python_version: draft.python_version,
            anonymous_id: stamp.anonymous_id,
            timestamp: &stamp.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            metadata: &draft.event,
            event_id: stamp.event_id,
        };
        let mut line = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut line, &envelope)
            .expect("an event has string keys and no failing types");
        let line = String::from_utf8(line).expect("JSON is UTF-8");
        Self {
            line,
            event_id: stamp.event_id,
            at: stamp.at,
        }
    }

    /// Reads a line that this program wrote earlier (in `overflow.jsonl` or a damaged spool).
    /// [`Payload::new`] must give the same line, byte for byte, for the content of this one; so
    /// nothing else can enter the spool this way.
    #[must_use]
    pub fn reread(line: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Stamped<'a> {
            anonymous_id: Uuid,
            timestamp: DateTime<Utc>,
            event_id: Uuid,
            platform: &'a str,
        }
        let stamped: Stamped<'_> = serde_json::from_str(line).ok()?;
        let draft = Draft::from_json(line.as_bytes()).ok()?.draft;
        let stamp = Stamp {
            anonymous_id: stamped.anonymous_id,
            at: stamped.timestamp,
            frequency: None,
            event_id: stamped.event_id,
        };
        if !stamp.is_ours() {
            return None;
        }
        let draft = Draft {
            counts_scan: false,
            ..draft
        };
        // A home can move to another system with events in it.
        let platform = Platform::of(stamped.platform)?;
        let payload = Self::on_platform(platform, draft, &stamp);
        (payload.line == line).then_some(payload)
    }

    /// The `event_id` of a stored line: its last field, which has a fixed length. The nil UUID if
    /// the line has none.
    #[must_use]
    pub(crate) fn event_id_of(line: &str) -> Uuid {
        line.get(line.len().saturating_sub(38)..line.len().saturating_sub(2))
            .and_then(|id| id.parse().ok())
            .unwrap_or_default()
    }

    /// The line, without its line end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.line
    }

    /// The id by which the event is counted once.
    #[must_use]
    pub(crate) fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// When it happened.
    #[must_use]
    pub(crate) fn at(&self) -> DateTime<Utc> {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            anonymous_id: "a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c"
                .parse()
                .expect("a UUID"),
            at: "2026-11-22T10:00:00.123Z".parse().expect("a time"),
            frequency: Some(ScanFrequency::Weekly),
            event_id: event_id("2026-11-22T10:00:00.123Z".parse().expect("a time"), [7; 10]),
        }
    }

    fn draft() -> Draft {
        Draft::from_json(br#"{"event":"scan.started","version":"1.0.2","python_version":"3.11","metadata":{"mode":"cli","profile":"fast","tools":["trivy"],"target_types":{"repos":1}}}"#)
            .expect("a good line")
            .draft
    }

    #[test]
    fn a_payload_has_the_fixed_field_order_and_no_spaces() {
        let payload = Payload::new(draft(), &stamp());
        let expected = format!(
            r#"{{"event":"scan.started","version":"1.0.2","platform":"{}","python_version":"3.11","anonymous_id":"a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c","timestamp":"2026-11-22T10:00:00.123Z","metadata":{{"mode":"cli","profile":"fast","tools":["trivy"],"target_types":{{"repos":1,"images":0,"urls":0,"iac":0,"gitlab":0,"k8s":0}},"ci_detected":false,"multi_target_scan":false,"compliance_usage":false,"total_targets_bucket":"1","scan_frequency_hint":"weekly"}},"event_id":"{}"}}"#,
            Platform::current().word(),
            payload.event_id()
        );
        assert_eq!(payload.as_str(), expected);
        assert_eq!(payload.event_id().get_version_num(), 7);
    }

    #[test]
    fn only_a_line_that_this_program_wrote_is_read_again() {
        let payload = Payload::new(draft(), &stamp());
        assert_eq!(Payload::reread(payload.as_str()), Some(payload.clone()));
        for other in [
            payload.as_str().replace("\"cli\"", "\"CANARY\""),
            payload.as_str().replace("\"trivy\"", "\"CANARY\""),
            payload
                .as_str()
                .replace("\"event_id\"", "\"extra\":1,\"event_id\""),
            payload.as_str().replace(",\"platform\"", ", \"platform\""),
            payload.as_str()[..100].to_owned(),
        ] {
            assert_eq!(Payload::reread(&other), None, "{other}");
        }
    }
}
