//! `record` on the command line: its help, errors that name flags, and no silent changes.

use serde_json::{Value, json};

use crate::support::world::{ONE, World};

const EVENTS: [&str; 6] = [
    "scan.started",
    "scan.completed",
    "tool.failed",
    "wizard.completed",
    "report.generated",
    "policy.evaluated",
];

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

#[test]
fn the_help_of_record_and_of_each_event_is_the_reviewed_one() {
    let world = World::new();
    let help = |line: &str| world.run(words(line)).ok().stdout;
    insta::assert_snapshot!("record", help("record --help"));
    for event in EVENTS {
        insta::assert_snapshot!(event, help(&format!("record {event} --help")));
    }
    assert_eq!(
        help("record --help").lines().next(),
        Some("Record an event: it is on disk when the command returns and is uploaded later")
    );
}

#[test]
fn what_info_says_is_the_reviewed_text() {
    let world = World::new();
    insta::assert_snapshot!("info", world.run(["info"]).ok().stdout);
}

#[test]
fn the_help_of_an_event_has_its_own_flags_alone() {
    let help = |event: &str| World::new().run(["record", event, "--help"]).ok().stdout;
    let info = World::new().run(["info", "--json"]).ok().json();
    for event in info["events"].as_array().expect("a list") {
        let shown = help(event["event"].as_str().expect("a name"));
        for other in info["events"].as_array().expect("a list") {
            for field in other["metadata"].as_array().expect("a list") {
                let Some(flag) = field["flag"].as_str() else {
                    continue;
                };
                let is_own = event["metadata"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .any(|own| own["flag"] == flag);
                let flag = flag.split(' ').next().expect("a word");
                let has = shown.split_whitespace().any(|word| word == flag);
                assert_eq!(has, is_own, "{flag}: {shown}");
            }
        }
    }
}

#[test]
fn the_example_of_each_event_is_recorded_as_info_shows_it() {
    let world = World::new();
    let info = world.run(["info", "--json"]).ok().json();
    for event in info["events"].as_array().expect("a list") {
        let command = event["command"].as_str().expect("a command");
        let ran = world.run(words(command).skip(1)).ok();
        assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""), "{ran}");
        let mut payload = world.rows().pop().expect("a row")["payload"].take();
        let mut example = event["example"].clone();
        for line in [&mut payload, &mut example] {
            // The hint depends on the machine.
            line["metadata"]["scan_frequency_hint"] = Value::Null;
        }
        assert_eq!(payload["metadata"], example["metadata"]);
    }
    assert_eq!(world.rows().len(), EVENTS.len());
}

#[test]
fn all_flags_that_are_missing_are_named_at_once() {
    let world = World::new();
    let ran = world.run(words("record scan.started")).exits(65);
    assert_eq!(
        ran.stderr,
        "error: scan.started: missing --mode, --profile\n"
    );
    let line = "record scan.completed --json --mode sideways --findings 3";
    let ran = world.run(words(line)).exits(65);
    let error = "scan.completed: missing --profile, --duration, --succeeded, --failed; \
                 --mode must be one of cli, docker, wizard";
    assert_eq!(ran.stderr, format!("error: {error}\n"));
    assert_eq!(
        ran.json(),
        json!({
            "recorded": 0, "event_ids": [], "rejected": [{"line": null, "error": error}],
            "dropped_fields": [], "dropped": 0,
        })
    );
    let line = r#"{"event":"scan.completed","metadata":{"mode":"cli"}}"#;
    let ran = world.run_with(["record", "--stdin"], line).exits(65);
    assert_eq!(
        ran.stderr,
        "error: line 1: scan.completed: missing fields `profile`, `duration_bucket`, \
         `tools_succeeded`, `tools_failed`, `total_findings_bucket`\n"
    );
    assert!(world.rows().is_empty());
}

#[test]
fn a_number_that_would_have_to_be_changed_is_an_error() {
    let world = World::new();
    let completed = "--mode cli --profile fast --duration 4s --succeeded 1 --failed 0 --findings 1";
    for (flag, value) in [
        ("--succeeded", "-3"),
        ("--succeeded", "4294967296"),
        ("--failed", "1.5"),
        ("--findings", "-1"),
        ("--duration", "-4"),
        ("--duration", "nan"),
    ] {
        let start = ["record", "scan.completed"].into_iter();
        let rest = words(completed).collect::<Vec<_>>();
        let rest = rest
            .chunks(2)
            .filter(|pair| pair[0] != flag)
            .flatten()
            .copied();
        let ran = world.run(start.chain(rest).chain([flag, value])).exits(2);
        assert!(ran.stderr.contains(flag), "{ran}");
    }
    for line in [
        "record tool.failed --tool zap --failure-type crash --profile fast --exit-code 4294967296",
        "record scan.started --mode cli --profile fast --repos -3",
        "record scan.started --mode cli --mode docker --profile fast",
        "record scan.started --mode cli --profile fast --tool trivy,,zap",
    ] {
        world.run(words(line)).exits(2);
    }
    assert!(world.rows().is_empty());
}

#[test]
fn words_joined_with_commas_are_separate_and_an_unknown_one_gets_a_warning() {
    let world = World::new();
    let start = "record scan.started --mode cli --profile fast --tool";
    let tools = |list: &str| {
        let ran = world.run(words(start).chain([list])).ok();
        let row = world.rows().pop().expect("a row");
        (row["payload"]["metadata"]["tools"].clone(), ran.stderr)
    };
    assert_eq!(
        tools("trivy,semgrep, zap"),
        (json!(["trivy", "semgrep", "zap"]), String::new())
    );
    let (recorded, said) = tools("trivy,acme-scan");
    assert_eq!(recorded, json!(["trivy", "other"]));
    assert_eq!(
        said,
        "warning: --tool has an unknown word, which is recorded as other\n"
    );
    assert_eq!(tools("other"), (json!(["other"]), String::new()));
    let line = "record scan.started --mode cli --profile acme-nightly --tool trivy";
    let ran = world.run(words(line)).ok();
    assert!(
        ran.stderr.contains("--profile") && !ran.stderr.contains("acme"),
        "{ran}"
    );
}

#[test]
fn unknown_policies_are_counted_as_often_as_they_are_named() {
    let world = World::new();
    let line = "record policy.evaluated --policy pci-dss,acme-one,acme-two,pci-dss --violations 0 \
                --evaluation-ms 5 --passed 3 --failed 0";
    world.run(words(line)).ok();
    let metadata = world.rows().pop().expect("a row")["payload"]["metadata"].take();
    assert_eq!(metadata["policies"], json!(["pci-dss", "custom"]));
    assert_eq!(metadata["policy_count"], 3);
}

#[test]
fn an_invalid_version_is_reported_and_not_repeated() {
    let world = World::new();
    let line = "--json --scanner-version /etc/passwd --python-version secret";
    let ran = world.run(ONE.into_iter().chain(words(line))).ok();
    assert!(!ran.stderr.contains("passwd") && !ran.stderr.contains("secret"));
    for flag in ["--scanner-version", "--python-version"] {
        let said = format!("warning: {flag} is not a version such as ");
        assert!(ran.stderr.contains(&said), "{ran}");
    }
    assert_eq!(
        ran.json()["dropped_fields"],
        json!(["python_version", "version"])
    );
    let payload = world.rows().pop().expect("a row")["payload"].take();
    assert_eq!(payload["version"], "0.0.0");
}

#[test]
fn a_flag_without_effect_is_an_error() {
    let world = World::new();
    let good = format!("{} --flush --dry-run", ONE.join(" "));
    for (line, said) in [
        ("record --stdin --mode cli", "--mode"),
        (
            "record --stdin --scanner-version 1.0.2",
            "--scanner-version",
        ),
        ("record --stdin --python-version 3.12", "--python-version"),
        ("record --stdin --flush --dry-run", "--flush"),
        ("record --stdin tool.failed", "--stdin"),
        (&good, "--flush"),
        ("record", "no event"),
    ] {
        let ran = world.run_with(words(line), "").exits(2);
        assert!(ran.stderr.contains(said), "{line}: {ran}");
    }
    assert!(!world.home().exists());
}

#[test]
fn a_dry_run_shows_the_line_and_records_nothing_even_while_telemetry_is_disabled() {
    for world in [World::new(), World::new().with("CI", "true")] {
        let line = "record scan.started --mode cli --profile fast --tool trivy --repos 3";
        let ran = world.run(words(line).chain(["--dry-run"])).ok();
        assert_eq!(ran.stderr, "", "{ran}");
        let shown: Value = serde_json::from_str(&ran.stdout).expect("one line");
        assert!(ran.stdout.ends_with("}\n") && !ran.stdout.contains(": "));
        assert_eq!(shown["metadata"]["total_targets_bucket"], "2-5");
        assert_eq!(shown["metadata"]["scan_frequency_hint"], "first_time");
        let ran = world
            .run(words(line).chain(["--dry-run", "--json"]))
            .ok()
            .json();
        assert_eq!(
            (&ran["recorded"], &ran["events"][0]["event"]),
            (&json!(0), &json!("scan.started"))
        );
        let bad = world
            .run(words("record scan.started --dry-run --mode cli"))
            .exits(65);
        assert!(bad.stderr.contains("missing --profile"), "{bad}");
        world.run(words("record scan.exploded --dry-run")).exits(65);
        world
            .run(words("record scan.started --dry-run --modes cli"))
            .exits(2);
        let input = "{\"event\":\"tool.failed\",\"metadata\":{\"tool\":\"zap\",\"failure_type\":\"crash\",\"profile\":\"fast\"}}\nnot an event\n";
        let ran = world
            .run_with(["record", "--stdin", "--dry-run"], input)
            .exits(65);
        assert_eq!(ran.stdout.lines().count(), 1);
        assert!(ran.stderr.starts_with("error: line 2: "), "{ran}");
        assert!(!world.home().exists());
    }
}

#[test]
fn a_dry_run_shows_what_the_record_after_it_stores() {
    let world = World::new();
    world.record();
    let start = "record scan.started --mode cli --profile fast";
    let mut shown: Value = world.run(words(start).chain(["--dry-run"])).ok().json();
    world.run(words(start)).ok();
    let mut stored = world.rows().pop().expect("a row")["payload"].take();
    for line in [&mut shown, &mut stored] {
        line["event_id"] = Value::Null;
        line["timestamp"] = Value::Null;
    }
    assert_eq!(shown, stored);
}

#[test]
fn the_schema_and_the_events_that_info_prints_agree() {
    let world = World::new();
    let schema: Value = world.run(["info", "--schema"]).ok().json();
    let info = world.run(["info", "--json"]).ok().json();
    for event in info["events"].as_array().expect("a list") {
        let branches = schema["oneOf"].as_array().expect("a list");
        let branch = branches
            .iter()
            .find(|branch| branch["properties"]["event"]["const"] == event["event"])
            .expect("the event");
        let names: Vec<_> = event["metadata"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|field| field["name"].clone())
            .collect();
        assert_eq!(
            branch["properties"]["metadata"]["required"],
            Value::from(names)
        );
    }
}
