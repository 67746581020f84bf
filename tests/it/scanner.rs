//! Privacy by type: the events of the real scanner are stored unchanged, and no caller can add
//! anything that docs/events.md does not allow.

use serde_json::{Value, json};

use crate::support::world::World;

/// Records one event of the scanner, which must succeed without output. Returns the stored metadata.
#[track_caller]
fn taken(world: &World, event: &str, metadata: &Value) -> Value {
    let line =
        json!({"event": event, "version": "0.9.0", "python_version": "3.11", "metadata": metadata});
    let ran = world
        .run_with(["record", "--stdin"], &format!("{line}\n"))
        .ok();
    assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""), "{ran}");
    let last = world.rows().pop().expect("a row");
    assert_eq!(last["event"], event);
    last["payload"]["metadata"].clone()
}

#[test]
fn the_scanners_events_about_scans_are_stored_unchanged() {
    let world = World::new();
    let started = json!({
        "mode": "cli", "profile": "balanced", "tools": ["trufflehog", "semgrep"],
        "target_types": {"repos": 3, "images": 1, "urls": 0, "iac": 0, "gitlab": 0, "k8s": 0},
        "ci_detected": false, "multi_target_scan": true, "compliance_usage": true,
        "total_targets_bucket": "2-5", "scan_frequency_hint": "daily",
    });
    assert_eq!(taken(&world, "scan.started", &started), started);
    assert!(
        !world.file("scan-count").exists(),
        "the scanner has counted by itself"
    );
    let completed = json!({
        "mode": "cli", "profile": "fast", "duration_bucket": "5-15min", "tools_succeeded": 8,
        "tools_failed": 0, "total_findings_bucket": "10-100",
    });
    assert_eq!(taken(&world, "scan.completed", &completed), completed);
    for hint in ["first_time", "weekly"] {
        let mut started = started.clone();
        started["scan_frequency_hint"] = hint.into();
        assert_eq!(taken(&world, "scan.started", &started), started);
    }
    let mut silent = started.clone();
    silent["scan_frequency_hint"] = Value::Null;
    assert_eq!(taken(&world, "scan.started", &silent), silent);
    assert!(!world.file("scan-count").exists());
    silent
        .as_object_mut()
        .expect("an object")
        .remove("scan_frequency_hint");
    assert_eq!(
        taken(&world, "scan.started", &silent)["scan_frequency_hint"],
        "first_time"
    );
    assert_eq!(
        std::fs::read_to_string(world.file("scan-count")).expect("reads"),
        "1"
    );
}

#[test]
fn the_scanners_events_about_reports_and_the_wizard_are_stored_unchanged() {
    let world = World::new();
    let report = json!({
        "output_formats": ["json", "md", "yaml", "html", "simple-html", "sarif", "csv"],
        "findings_bucket": "100-1000", "suppressions_used": true, "compliance_enabled": false,
    });
    assert_eq!(taken(&world, "report.generated", &report), report);
    for artifact in [json!("makefile"), json!("shell"), json!("gha"), Value::Null] {
        let wizard = json!({
            "profile_selected": "balanced", "execution_mode": "native",
            "artifact_generated": artifact, "duration_bucket": "<5min",
        });
        assert_eq!(taken(&world, "wizard.completed", &wizard), wizard);
        let raw = json!({
            "profile_selected": "balanced", "execution_mode": "native",
            "artifact_generated": artifact, "duration_seconds": 123.456,
        });
        assert_eq!(
            taken(&world, "wizard.completed", &raw),
            wizard,
            "the raw number becomes its bucket"
        );
    }
}

#[test]
fn no_caller_can_set_the_id_the_time_or_the_platform() {
    let world = World::new();
    let line = json!({
        "event": "tool.failed", "version": "1.0.2", "python_version": "3.11",
        "anonymous_id": "11111111-1111-4111-8111-111111111111",
        "event_id": "01900000-0000-7000-8000-000000000001",
        "timestamp": "1999-12-31T23:59:59.000Z", "platform": "Plan9",
        "metadata": {
            "tool": "trivy", "failure_type": "crash", "profile": "fast", "exit_code": 1,
            "anonymous_id": "11111111-1111-4111-8111-111111111111", "timestamp": "1999-12-31T23:59:59.000Z",
        },
    });
    let ran = world
        .run_with(["record", "--stdin", "--json"], &format!("{line}\n"))
        .ok();
    assert_eq!(
        ran.json()["dropped_fields"],
        json!(["anonymous_id", "event_id", "platform", "timestamp"])
    );
    for name in ["anonymous_id", "event_id", "platform", "timestamp"] {
        assert!(
            ran.stderr.contains(&format!("warning: field {name} ")),
            "{ran}"
        );
    }
    let payload = world.rows()[0]["payload"].clone();
    let text = payload.to_string();
    for theirs in ["11111111", "01900000", "1999", "Plan9"] {
        assert!(
            !text.contains(theirs) && !ran.stderr.contains(theirs),
            "{text}"
        );
    }
    assert_eq!(payload["platform"], "Linux");
    assert_eq!(
        payload["anonymous_id"],
        *world.run(["id"]).ok().stdout.trim_end()
    );
    for option in ["--anonymous-id", "--event-id", "--timestamp", "--platform"] {
        let ran = world
            .run(["record", "tool.failed", option, "Plan9"])
            .exits(2);
        assert!(
            ran.stderr.contains(option) && !ran.stderr.contains("Plan9"),
            "{ran}"
        );
    }
    assert_eq!(world.rows().len(), 1);
}

#[test]
fn a_word_outside_its_vocabulary_becomes_the_general_one() {
    let world = World::new();
    let started = json!({
        "mode": "docker", "profile": "acme-nightly", "tools": ["acme-scan", "trivy", "acme-lint", "other"],
        "target_types": {"repos": -3, "images": 5_000_000_000_i64}, "compliance_usage": false,
    });
    let stored = taken(&world, "scan.started", &started);
    assert_eq!(
        (&stored["profile"], &stored["tools"]),
        (&json!("custom"), &json!(["other", "trivy"]))
    );
    assert_eq!(
        (
            &stored["target_types"]["repos"],
            &stored["target_types"]["images"]
        ),
        (&json!(0), &json!(u32::MAX))
    );
    let policies = json!({
        "policies": ["acme-policy", "pci-dss"], "violations": 21, "evaluation_ms": 99.9,
        "passed_count": 1, "failed_count": 1,
    });
    let stored = taken(&world, "policy.evaluated", &policies);
    assert_eq!(stored["policies"], json!(["custom", "pci-dss"]));
    assert_eq!(
        (
            &stored["violations_bucket"],
            &stored["evaluation_time_bucket"],
            &stored["policy_count"]
        ),
        (&json!("20-100"), &json!("50-100ms"), &json!(2))
    );
    let report = json!({"output_formats": ["pdf", "json"], "findings": 1000});
    assert_eq!(
        taken(&world, "report.generated", &report)["output_formats"],
        json!(["other", "json"])
    );
}

#[test]
fn a_scanner_that_counts_by_itself_counts_each_scan_once() {
    let world = World::new();
    let hints: Vec<String> = (0..11)
        .map(|_| world.run(["count-scan"]).ok().stdout.trim_end().to_owned())
        .collect();
    assert_eq!(
        (&*hints[0], &*hints[1], &*hints[9], &*hints[10]),
        ("first_time", "weekly", "weekly", "daily")
    );
    let started = json!({
        "mode": "cli", "profile": "fast", "tools": [], "target_types": {}, "scan_frequency_hint": "daily",
    });
    let line = json!({"event": "scan.started", "metadata": started});
    world
        .run_with(["record", "--stdin"], &format!("{line}\n"))
        .ok();
    assert_eq!(
        std::fs::read_to_string(world.file("scan-count")).expect("reads"),
        "11"
    );
}

#[test]
fn no_scan_is_counted_while_telemetry_is_disabled() {
    let world = World::new().with("DO_NOT_TRACK", "1");
    let ran = world.run(["count-scan", "--json"]).ok();
    assert_eq!(ran.json()["scan_frequency_hint"], Value::Null);
    assert_eq!(&*world.run(["count-scan"]).ok().stdout, "");
    assert!(!world.home().exists());
}

#[test]
fn an_id_is_created_on_request_and_then_stays() {
    let world = World::new();
    world.run(["id"]).ok();
    assert!(!world.file("telemetry-id").exists(), "looking makes none");
    let id = world.run(["id", "--create"]).ok().stdout;
    assert_eq!(id.trim_end().len(), 36);
    assert_eq!(world.run(["id", "--create"]).ok().stdout, id);
    assert_eq!(world.run(["id"]).ok().stdout, id);
}
