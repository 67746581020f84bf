//! Tests of reading events: which input is accepted, what the messages say about the rest, and that
//! no other text gets through.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::vocabulary::{
    Artifact, DurationBucket, EvaluationTimeBucket, ExecutionMode, FailureType, FindingsBucket,
    Format, Mode, Platform, Policy, Profile, ScanFrequency, TargetsBucket, Tool, ViolationsBucket,
    Vocabulary,
};
use super::*;

fn read(line: &str) -> Result<Read, EventError> {
    Draft::from_json(line.as_bytes())
}

#[test]
fn a_raw_number_becomes_its_bucket_and_an_unknown_word_its_general_one() {
    let read = read(
        r#"{"event":"scan.completed","version":"1.0.0","python_version":"3.11.4","metadata":{"mode":"cli","profile":"acme-internal","duration_seconds":412.7,"tools_succeeded":8,"tools_failed":-1,"findings":37}}"#,
    )
    .expect("a good line");
    assert_eq!(
        serde_json::to_string(&read.draft.event).expect("serializes"),
        r#"{"mode":"cli","profile":"custom","duration_bucket":"5-15min","tools_succeeded":8,"tools_failed":0,"total_findings_bucket":"10-100"}"#
    );
    assert_eq!(
        read.draft.python_version.map(|v| v.to_string()).as_deref(),
        Some("3.11")
    );
    assert!(read.dropped.is_empty());
}

#[test]
fn derived_values_need_not_be_given() {
    let read = read(
        r#"{"event":"scan.started","metadata":{"mode":"cli","profile":"fast","tools":["trivy","trivy","mine"],"target_types":{"repos":3,"images":1}}}"#,
    )
    .expect("a good line");
    assert!(read.draft.counts_scan);
    assert_eq!(
        serde_json::to_string(&read.draft.event).expect("serializes"),
        r#"{"mode":"cli","profile":"fast","tools":["trivy","other"],"target_types":{"repos":3,"images":1,"urls":0,"iac":0,"gitlab":0,"k8s":0},"ci_detected":false,"multi_target_scan":true,"compliance_usage":false,"total_targets_bucket":"2-5","scan_frequency_hint":null}"#
    );
}

#[test]
fn unknown_fields_are_named_and_their_values_are_not() {
    let read = read(
        r#"{"event":"tool.failed","anonymous_id":"CANARY","metadata":{"tool":"trivy","failure_type":"crash","profile":"fast","repo_path":"/CANARY","CANARY-7":1}}"#,
    )
    .expect("a good line");
    assert_eq!(
        read.dropped,
        ["anonymous_id", "repo_path", "(a name that is not shown)"]
    );
}

#[test]
fn errors_name_the_field_and_never_its_value() {
    for (line, message) in [
        (
            r#"{"event":"CANARY","metadata":{}}"#,
            "unknown event; it must be one of scan.started, scan.completed, tool.failed, wizard.completed, report.generated, policy.evaluated",
        ),
        (r#"{"metadata":{}}"#, "missing field `event`"),
        (r#"{"event":"tool.failed"}"#, "missing field `metadata`"),
        (
            r#"{"event":"tool.failed","metadata":{"failure_type":"crash","profile":"fast"}}"#,
            "tool.failed: missing field `tool`",
        ),
        (
            r#"{"event":"tool.failed","metadata":{"tool":7,"failure_type":"CANARY","profile":"fast"}}"#,
            &format!(
                "tool.failed: field `tool` must be one of {}; field `failure_type` must be one of \
                 timeout, crash, non_zero_exit",
                <Tool as vocabulary::Vocabulary>::WORDS.join(", ")
            ),
        ),
        (
            r#"{"event":"tool.failed","metadata":{"tool":"trivy","failure_type":"CANARY","profile":"fast"}}"#,
            "tool.failed: field `failure_type` must be one of timeout, crash, non_zero_exit",
        ),
        (
            r#"{"event":"tool.failed","metadata":{"failure_type":"CANARY"}}"#,
            "tool.failed: missing fields `tool`, `profile`; field `failure_type` must be one of timeout, crash, non_zero_exit",
        ),
        (
            r#"{"event":"tool.failed","metadata":{"to"#,
            "not a JSON object (column 38)",
        ),
        (r#""CANARY""#, "not a JSON object (column 0)"),
    ] {
        assert_eq!(read(line).expect_err(line).to_string(), message);
    }
}

/// Known and unknown field names, and text that is not a name.
fn name() -> impl Strategy<Value = String> {
    let envelope = ["event", "version", "python_version", "metadata"];
    let stamped = ["anonymous_id", "event_id", "timestamp", "platform"];
    let fields = EVENTS.iter().flat_map(|event| {
        let members = event.flags().map(|(field, _)| field);
        members.chain(event.fields)
    });
    let names = fields.flat_map(|field| [Some(field.name), field.raw()]);
    let names = names.flatten().chain(envelope).chain(stamped);
    prop_oneof![
        9 => select(names.collect::<Vec<_>>()).prop_map(str::to_owned),
        1 => ".{0,50}"
    ]
}

/// Any JSON, with valid words among the invalid ones.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let words = [
        words::<Mode>(),
        words::<Tool>(),
        words::<Policy>(),
        words::<Profile>(),
        words::<DurationBucket>(),
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,30}".prop_map(|text| json!(text)),
        "[0-9v]{0,3}[.0-9]{0,6}[-.]?(rc|dev|a|secret)?[0-9]{0,6}".prop_map(|text| json!(text)),
        select(words.concat()).prop_map(|word| json!(word)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((name(), inner), 0..8)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A valid event in which some fields are replaced with arbitrary values.
fn wild_event() -> impl Strategy<Value = serde_json::Value> {
    const GOOD: [&str; 6] = [
        r#"{"event":"scan.started","version":"1.0.2","metadata":{"mode":"cli","profile":"fast","tools":["trivy"],"target_types":{"repos":1}}}"#,
        r#"{"event":"scan.completed","metadata":{"mode":"cli","profile":"fast","duration_seconds":4,"tools_succeeded":1,"tools_failed":0,"findings":3}}"#,
        r#"{"event":"tool.failed","metadata":{"tool":"trivy","failure_type":"crash","profile":"fast"}}"#,
        r#"{"event":"wizard.completed","metadata":{"profile_selected":"fast","execution_mode":"native","duration_seconds":3}}"#,
        r#"{"event":"report.generated","metadata":{"output_formats":["json"],"findings":3}}"#,
        r#"{"event":"policy.evaluated","metadata":{"policies":["pci-dss"],"violations":3,"evaluation_ms":7,"passed_count":1,"failed_count":2}}"#,
    ];
    let changes = || prop::collection::vec((name(), value()), 0..3);
    (select(&GOOD[..]), changes(), changes()).prop_map(|(good, outside, inside)| {
        let mut event: serde_json::Value = serde_json::from_str(good).expect("JSON");
        for (name, value) in inside {
            event["metadata"][name] = value;
        }
        for (name, value) in outside {
            event[name] = value;
        }
        event
    })
}

fn words<V: Vocabulary>() -> Vec<&'static str> {
    V::WORDS.to_vec()
}

/// Every word that a payload may contain, apart from ids, times and versions.
fn allowed() -> BTreeSet<&'static str> {
    [
        event_names().collect(),
        words::<Mode>(),
        words::<Profile>(),
        words::<Tool>(),
        words::<Policy>(),
        words::<Format>(),
        words::<FailureType>(),
        words::<ExecutionMode>(),
        words::<Artifact>(),
        words::<ScanFrequency>(),
        words::<Platform>(),
        words::<DurationBucket>(),
        words::<FindingsBucket>(),
        words::<TargetsBucket>(),
        words::<ViolationsBucket>(),
        words::<EvaluationTimeBucket>(),
    ]
    .concat()
    .into_iter()
    .collect()
}

fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(fields) => {
            fields.values().for_each(|value| strings(value, found));
        }
        _ => {}
    }
}

fn is_version(text: &str) -> bool {
    let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
    text.len() <= 40
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
        && ["", "a", "b", "rc", "alpha", "beta", "pre", "dev", "post"].contains(&letters.as_str())
}

fn stamp(millis: i64) -> Stamp {
    let at = chrono::DateTime::from_timestamp_millis(millis).expect("a time");
    Stamp {
        anonymous_id: uuid::Uuid::new_v4(),
        at,
        frequency: Some(ScanFrequency::Daily),
        event_id: event_id(at, [0xa5; 10]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_json_lets_through_a_string_that_is_in_no_vocabulary(event in wild_event(), millis in 0_i64..4_000_000_000_000) {
        let Ok(Read { draft, dropped }) = read(&event.to_string()) else { return Ok(()) };
        for name in dropped {
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b"_. ()8".contains(&b)), "{name}");
        }
        let stamp = stamp(millis);
        let payload = Payload::new(draft, &stamp);
        let mut line: serde_json::Value = serde_json::from_str(payload.as_str()).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        let ours = |name: &str, value: &str| (name.to_owned(), json!(value));
        let text = |value: Option<serde_json::Value>| value.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        prop_assert!(is_version(&text(fields.remove("version"))));
        prop_assert!(is_version(&text(fields.remove("python_version"))));
        prop_assert_eq!(fields.remove_entry("anonymous_id"), Some(ours("anonymous_id", &stamp.anonymous_id.to_string())));
        prop_assert_eq!(fields.remove_entry("event_id"), Some(ours("event_id", &payload.event_id().to_string())));
        prop_assert!(text(fields.remove("timestamp")).parse::<chrono::DateTime<chrono::Utc>>().is_ok());
        let mut found = Vec::new();
        strings(&line, &mut found);
        let allowed = allowed();
        for word in found {
            prop_assert!(allowed.contains(word.as_str()), "{}", word);
        }
    }

    #[test]
    fn a_line_that_this_program_wrote_is_read_again_unchanged(event in wild_event(), millis in 0_i64..4_000_000_000_000) {
        let Ok(Read { draft, .. }) = read(&event.to_string()) else { return Ok(()) };
        let payload = Payload::new(draft, &stamp(millis));
        prop_assert_eq!(Payload::reread(payload.as_str()), Some(payload));
    }

    #[test]
    fn a_line_of_ours_with_one_byte_changed_holds_nothing_new(event in wild_event(), at: prop::sample::Index, byte in 1_u8..128) {
        let Ok(Read { draft, .. }) = read(&event.to_string()) else { return Ok(()) };
        let payload = Payload::new(draft, &stamp(0));
        let mut line = payload.as_str().as_bytes().to_vec();
        let at = at.index(line.len());
        line[at] = byte;
        let line = String::from_utf8(line).expect("ASCII");
        if let Some(again) = Payload::reread(&line) {
            prop_assert_eq!(again.as_str(), line);
        }
    }

    #[test]
    fn no_json_panics_and_no_message_repeats_it(value in value(), text in "[A-Z]{8}") {
        let line = value.to_string();
        if let Err(error) = read(&line) {
            prop_assert!(error.to_string().len() < 600);
        }
        let poisoned = json!({"event": "tool.failed", &text: value, "metadata": {"tool": &text, "profile": {&text: &text}}});
        let error = read(&poisoned.to_string()).expect_err("a profile is no object").to_string();
        prop_assert!(!error.contains(&text), "{error}");
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Draft::from_json(&bytes);
        let _ = Payload::reread(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_last_value_of_a_repeated_name_counts() {
    let read = read(
        r#"{"event":"CANARY","metadata":{"tool":1,"tool":"semgrep","failure_type":"crash","profile":"CANARY","profile":"fast"},"event":"tool.failed"}"#,
    )
    .expect("as Python's json reads it");
    assert_eq!(
        serde_json::to_string(&read.draft.event).expect("serializes"),
        r#"{"tool":"semgrep","failure_type":"crash","exit_code":null,"profile":"fast"}"#
    );
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_in_terms_of_flags() {
    let metadata = serde_json::from_str(r#"{"mode":"CANARY","duration_seconds":"CANARY"}"#);
    let error = Event::read("scan.completed", metadata.expect("JSON"), &mut Vec::new())
        .expect_err("much is missing");
    assert_eq!(
        error.in_flags(),
        "scan.completed: missing --profile, --succeeded, --failed, --findings; \
         --mode must be one of cli, docker, wizard; --duration must be a number"
    );
}

/// The lines on which the collector's validator and ours must agree.
fn fixture(name: &str) -> String {
    let path = format!("{}/collector/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("reads")
}

#[test]
fn every_line_that_the_collector_accepts_is_one_of_ours() {
    for line in fixture("accept.ndjson").lines() {
        assert!(Payload::reread(line).is_some(), "{line}");
    }
}

#[test]
fn every_line_that_the_collector_rejects_is_none_of_ours_unless_for_its_time() {
    let lines = fixture("reject.ndjson");
    let reasons = fixture("reject.reasons");
    assert_eq!(lines.split('\n').count(), reasons.split('\n').count());
    for (line, reason) in lines.split('\n').zip(reasons.lines()) {
        let only_its_time =
            ["too_old", "too_new"].contains(&reason.split(' ').next().unwrap_or(""));
        assert_eq!(
            Payload::reread(line).is_some(),
            only_its_time,
            "{reason}: {line}"
        );
    }
}

#[test]
fn the_schema_leaves_no_object_open_and_no_field_of_the_first_release_out() {
    fn check(schema: &serde_json::Value, closed: &mut usize) {
        let serde_json::Value::Object(members) = schema else {
            schema
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|item| check(item, closed));
            return;
        };
        if let (Some(required), Some(properties)) =
            (members.get("required"), members.get("properties"))
        {
            assert_eq!(members["additionalProperties"], json!(false));
            let names: BTreeSet<_> = properties
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            let required: BTreeSet<_> = required
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(serde_json::Value::as_str)
                .collect();
            let fields = EVENTS.iter().flat_map(|event| event.fields);
            let later = fields.filter(|field| field.later).map(|field| field.name);
            let later: BTreeSet<_> = later.collect();
            assert!(required.is_subset(&names));
            assert!(names.difference(&required).all(|name| later.contains(name)));
            *closed += 1;
        }
        members.values().for_each(|member| check(member, closed));
    }
    let schema = serde_json::to_value(json_schema::json_schema()).expect("JSON");
    let mut closed = 0;
    check(&schema, &mut closed);
    assert_eq!(
        closed,
        1 + EVENTS.len() + 1,
        "the envelope, each event, and the targets"
    );
    assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(EVENTS.len()));
}
