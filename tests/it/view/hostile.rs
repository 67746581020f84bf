//! A Gist with years of data: the former module's file, our files, and everything that can be wrong
//! in them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::numbers;
use crate::support::gist_server::GistServer;
use crate::support::world::World;

const PLATFORMS: [&str; 3] = ["Darwin", "Linux", "Windows"];
const PROFILES: [&str; 4] = ["fast", "balanced", "deep", "custom"];
const TOOLS: [&str; 5] = ["trivy", "semgrep", "afl++", "syft", "zap"];

/// An event of the former module, with the wizard's raw seconds and its own platform names.
fn legacy(n: usize) -> Value {
    if n == 0 {
        return json!({"event": "telemetry.initialized", "timestamp": "2025-10-19T00:00:00Z", "message": "backend"});
    }
    let (event, metadata) = match n % 4 {
        0 => (
            "wizard.completed",
            json!({"profile_selected": PROFILES[n % 3], "execution_mode": "native", "artifact_generated": null, "duration_seconds": n * 3}),
        ),
        1 => (
            "scan.started",
            json!({"mode": "cli", "profile": PROFILES[n % 4], "tools": TOOLS[..n % 6 % 5], "target_types": {"repos": n % 3, "images": 0}}),
        ),
        2 => (
            "tool.failed",
            json!({"tool": TOOLS[n % 5], "failure_type": "timeout", "profile": "fast"}),
        ),
        _ => ("test.event", json!("another shape")),
    };
    json!({
        "event": event, "version": "0.7.0-dev", "platform": PLATFORMS[n % 3], "python_version": "3.11",
        "anonymous_id": format!("a7f3c8e2-4b1d-4f9e-8c3a-{:012x}", n % 17),
        "timestamp": format!("2025-{:02}-{:02}T14:32:{:02}.123456+00:00", 10 + n % 3, 1 + n % 28, n % 60),
        "metadata": metadata,
    })
}

fn ours(n: usize) -> Value {
    let (event, metadata) = match n % 3 {
        0 => (
            "scan.completed",
            json!({"mode": "docker", "profile": PROFILES[n % 4], "duration_bucket": "5-15min", "tools_succeeded": 8, "tools_failed": 0, "total_findings_bucket": "10-100"}),
        ),
        1 => (
            "report.generated",
            json!({"output_formats": ["json"], "findings_bucket": ">1000", "suppressions_used": true, "compliance_enabled": false}),
        ),
        _ => (
            "scan.started",
            json!({"mode": "wizard", "profile": "fast", "tools": TOOLS, "target_types": {"repos": 1, "images": 2, "urls": 0, "iac": 0, "gitlab": 0, "k8s": 1}}),
        ),
    };
    json!({
        "event": event, "version": if n.is_multiple_of(2) { "1.0.2" } else { "1.1.0" }, "platform": "macOS",
        "python_version": if n.is_multiple_of(10) { Value::Null } else { json!("3.12") },
        "anonymous_id": format!("11111111-2222-4333-8444-{:012x}", n % 101),
        "timestamp": format!("2026-{:02}-{:02}T01:02:03.456Z", 1 + n % 11, 1 + n % 28),
        "metadata": metadata, "event_id": format!("019389ab-cdef-7000-8000-{n:012x}"),
    })
}

/// Counts in a different way than the program: with all values in memory, and separate code for
/// each number.
fn counted(events: &[Value]) -> BTreeMap<&'static str, Value> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let tally = |words: Vec<(String, u64)>| {
        let mut counts = Map::new();
        for (word, by) in words {
            let before = counts.get(&word).and_then(Value::as_u64).unwrap_or(0);
            counts.insert(word, json!(before + by));
        }
        Value::Object(counts)
    };
    let by = |word: &dyn Fn(&Value) -> Option<String>| {
        tally(
            events
                .iter()
                .filter_map(word)
                .map(|word| (word, 1))
                .collect(),
        )
    };
    let started = |event: &&Value| event["event"] == "scan.started";
    let tools = events.iter().filter(started).flat_map(|event| {
        event["metadata"]["tools"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    });
    let targets = events.iter().filter(started).flat_map(|event| {
        event["metadata"]["target_types"]
            .as_object()
            .cloned()
            .unwrap_or_default()
    });
    let ids: BTreeSet<_> = events
        .iter()
        .filter_map(|event| event["anonymous_id"].as_str())
        .collect();
    let bucket = |seconds: u64| match seconds {
        0..300 => "<5min",
        300..900 => "5-15min",
        900..1800 => "15-30min",
        _ => ">30min",
    };
    BTreeMap::from([
        ("events", json!(events.len())),
        ("unique_ids", json!(ids.len())),
        ("by_event", by(&|event| text(&event["event"]))),
        (
            "by_platform",
            by(&|event| text(&event["platform"]).map(|name| name.replace("Darwin", "macOS"))),
        ),
        ("by_python", by(&|event| text(&event["python_version"]))),
        ("by_version", by(&|event| text(&event["version"]))),
        (
            "by_profile",
            by(&|event| {
                text(&event["metadata"]["profile"])
                    .or_else(|| text(&event["metadata"]["profile_selected"]))
            }),
        ),
        ("by_mode", by(&|event| text(&event["metadata"]["mode"]))),
        (
            "tools",
            tally(tools.map(|tool| (text(&tool).expect("text"), 1)).collect()),
        ),
        (
            "tool_failures",
            by(&|event| text(&event["metadata"]["tool"])),
        ),
        (
            "durations",
            by(&|event| {
                text(&event["metadata"]["duration_bucket"]).or_else(|| {
                    Some(bucket(event["metadata"]["duration_seconds"].as_u64()?).to_owned())
                })
            }),
        ),
        (
            "findings",
            by(&|event| {
                text(&event["metadata"]["total_findings_bucket"])
                    .or_else(|| text(&event["metadata"]["findings_bucket"]))
            }),
        ),
        (
            "target_types",
            tally(
                targets
                    .map(|(kind, count)| (kind, count.as_u64().expect("a count")))
                    .filter(|(_, count)| *count > 0)
                    .collect(),
            ),
        ),
        (
            "per_day",
            by(&|event| Some(event["timestamp"].as_str()?[..10].to_owned())),
        ),
    ])
}

#[test]
fn every_number_over_a_hostile_gist_is_right_and_the_second_look_is_free() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    let old: Vec<_> = (0..745).map(legacy).collect();
    let new: Vec<_> = (0..4300).map(ours).collect();
    let text = |events: &[Value]| {
        events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect::<String>()
    };
    server.put_file("jmo-telemetry-events.jsonl", &text(&old));
    // One file over 1 MB, whose first 100 events are also in another file, and one that ends in a
    // torn line.
    server.put_file(
        "events-20260101-aaaaaaaaaaaaaaaa.jsonl",
        &text(&new[..3000]),
    );
    assert!(text(&new[..3000]).len() > 1_000_000);
    server.put_file(
        "events-20260301-bbbbbbbbbbbbbbbb.jsonl",
        &text(&[&new[..100], &new[3000..3900]].concat()),
    );
    let torn = text(&new[3900..]) + &new[0].to_string()[..70];
    server.put_file("events-20260501-cccccccccccccccc.jsonl", &torn);
    server.put_file("README.md", "# Collected telemetry\n{\"event\":\"none\"}\n");

    let all = [old, new].concat();
    let expected = counted(&all);
    for look in [200, 304] {
        server.clear_requests();
        let shown = numbers(&world, []);
        for (key, value) in &expected {
            assert_eq!(&shown[*key], value, "{key} at the look that got {look}");
        }
        assert_eq!(shown["duplicates"], 100);
        assert_eq!(shown["malformed"], 1);
        assert_eq!(shown["incomplete"], false);
        assert_eq!(shown["first"], "2025-10-01T14:32:00.123456Z");
        assert_eq!(shown["last"], "2026-11-28T01:02:03.456Z");
        let statuses: Vec<_> = server
            .requests()
            .iter()
            .filter(|request| !request.raw)
            .map(|request| request.status)
            .collect();
        assert_eq!(statuses, [Some(look)]);
    }
    assert_eq!(
        server.violations(),
        Vec::<String>::new(),
        "and no token at the raw host"
    );
    let raw = world.run(["view", "--raw"]).ok().stdout;
    assert_eq!(raw.lines().count(), all.len());
    let dashboard = world.run(["view"]).ok().stdout;
    assert!(
        dashboard.contains("5,045 events from 118 anonymous ids"),
        "{dashboard}"
    );
}

/// Runs the program with this much memory, in MiB.
fn within(world: &World, mib: usize, args: &str) -> std::process::Output {
    let inner = world.command(["-"; 0]);
    let program = env!("CARGO_BIN_EXE_jmo-telemetry");
    let mut shell = std::process::Command::new("sh");
    shell
        .args([
            "-c",
            &format!("ulimit -v {}; exec {program} {args}", mib * 1024),
        ])
        .current_dir(world.cwd())
        .env_clear();
    for (name, value) in inner.get_envs() {
        shell.env(name, value.expect("a variable that is set"));
    }
    shell.output().expect("runs")
}

/// An event with unique words, a unique day and a unique id, so that nothing repeats.
fn bomb(n: usize) -> String {
    let (year, month, day) = (n / 336, 1 + n / 28 % 12, 1 + n % 28);
    let text = "é".repeat(100);
    format!(
        "{{\"event\":\"{n}{text}\",\"version\":\"{n}{text}\",\"platform\":\"{n}{text}\",\"anonymous_id\":\"{n}\",\
         \"timestamp\":\"{year:04}-{month:02}-{day:02}T00:00:00Z\",\"event_id\":\"{n}\",\
         \"metadata\":{{\"profile\":\"{n}{text}\",\"mode\":\"{n}{text}\",\"tools\":[\"{n}{text}\",\"{n}x{text}\"],\
         \"target_types\":{{\"{n}{text}\":1e300}}}}}}\n"
    )
}

#[test]
fn words_days_and_ids_that_never_repeat_fit_into_300_mib_in_every_form() {
    let world = World::new();
    std::fs::create_dir_all(world.out()).expect("a directory");
    let events = 40_000;
    let lines: String = (0..events).map(bomb).collect();
    std::fs::write(world.out().join("bomb.jsonl"), lines).expect("a file");
    for form in ["", "--json", "--raw", "--export out.csv", "--html out.html"] {
        let args = format!("view --from {} {form}", world.out_target());
        let output = within(&world, 300, &args);
        assert!(
            output.status.success(),
            "{form}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let shown = numbers(&world, ["--from", &world.out_target()]);
    assert_eq!(shown["events"], events);
    assert_eq!(shown["by_mode"]["(others)"], events - 10_000);
}

#[test]
fn a_line_of_a_hundred_megabytes_is_one_malformed_line_in_little_memory() {
    let world = World::new();
    std::fs::create_dir_all(world.out()).expect("a directory");
    let mut file = std::fs::File::create(world.out().join("huge.jsonl")).expect("a file");
    use std::io::Write as _;
    writeln!(file, "{}", ours(1)).expect("writes");
    let part = vec![b'x'; 1024 * 1024];
    file.write_all(b"{\"event\":\"").expect("writes");
    for _ in 0..100 {
        file.write_all(&part).expect("writes");
    }
    write!(file, "\"}}\n{}\n", ours(2)).expect("writes");
    drop(file);
    let args = format!("view --json --from {}", world.out_target());
    let output = within(&world, 195, &args);
    let shown: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(
        (shown["events"].as_u64(), shown["malformed"].as_u64()),
        (Some(2), Some(1)),
        "{shown}"
    );
}
