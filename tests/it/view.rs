//! `view` shows exactly what was collected, whatever the source contains and in every form of
//! output.

pub(crate) mod browser;
mod gist;
mod hostile;
pub(crate) mod keyboard;
mod sources;
mod terminal;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::world::{World, lines};

/// `view … --json`, which must exit 0.
fn numbers<'a>(world: &World, args: impl IntoIterator<Item = &'a str>) -> Value {
    world
        .run(["view", "--json"].into_iter().chain(args))
        .ok()
        .json()
}

/// A directory with one file that has these lines.
fn dir_of(world: &World, lines: &str) -> String {
    std::fs::create_dir_all(world.out()).expect("a directory");
    std::fs::write(world.out().join("events.jsonl"), lines).expect("a file");
    world.out_target()
}

const KEYS: [&str; 19] = [
    "events",
    "unique_ids",
    "first",
    "last",
    "duplicates",
    "malformed",
    "incomplete",
    "by_event",
    "by_platform",
    "by_python",
    "by_version",
    "by_profile",
    "by_mode",
    "tools",
    "tool_failures",
    "durations",
    "findings",
    "target_types",
    "per_day",
];

#[test]
fn viewing_an_empty_world_shows_nothing_and_changes_nothing() {
    let world = World::new();
    let ran = world.run(["view"]).ok();
    assert!(ran.stdout.contains("0 events"), "{ran}");
    assert!(!world.home().exists(), "looking makes nothing");
    let shown = world.run(["view", "--json"]).ok().stdout;
    let keys: Vec<_> = KEYS
        .iter()
        .map(|key| shown.find(&format!("\"{key}\":")))
        .collect();
    assert!(
        keys.iter().all(Option::is_some) && keys.is_sorted(),
        "{shown}"
    );
    assert_eq!(
        numbers(&world, []).as_object().expect("an object").len(),
        KEYS.len()
    );
    assert_eq!(world.run(["view", "--raw"]).ok().stdout, "");
}

#[test]
fn without_a_destination_the_spool_is_shown_and_with_one_the_destination() {
    let world = World::new();
    world.record_many(12);
    assert_eq!(numbers(&world, [])["events"], 12);
    world.flush(["--to", &world.out_target(), "--limit", "5"]);
    assert_eq!(numbers(&world, [])["events"], 12, "sent or not");
    world
        .run(["connect", "dir", world.out().to_str().expect("a path")])
        .ok();
    assert_eq!(numbers(&world, [])["events"], 5);
    assert_eq!(numbers(&world, ["--from", "spool"])["events"], 12);
    let dashboard = world.run(["view"]).ok().stdout;
    for words in [
        "5 events from 1 anonymous id",
        "pending",
        "7",
        "scan.started",
        "trivy",
    ] {
        assert!(dashboard.contains(words), "{words}\n{dashboard}");
    }
}

#[test]
fn view_works_while_telemetry_is_disabled() {
    let world = World::new().with("JMO_TELEMETRY_DISABLE", "1");
    let dir = dir_of(&world, "{\"event\":\"x\"}\n");
    assert_eq!(numbers(&world, ["--from", &dir])["events"], 1);
}

#[test]
fn every_line_is_an_event_a_duplicate_or_malformed() {
    let world = World::new();
    let mut text =
        String::from("\u{feff}{\"event\":\"telemetry.initialized\",\"message\":\"hello\"}\r\n\n");
    text += "{\"event\":\"x\",\"event_id\":\"same\"}\n{\"event\":\"x\",\"event_id\":\"same\"}\n";
    text += "{\"event\":\"x\",\"metadata\":[1],\"platform\":7,\"version\":1.5,\"metadata\":{\"tools\":\"trivy\"}}\n";
    text += "[]\n{\"no\":1}\n\u{0}\u{0}\u{0}\n{\"event\":\"to";
    let dir = dir_of(&world, &text);
    std::fs::write(world.out().join("README.md"), "{\"event\":\"not here\"}\n").expect("a file");
    std::fs::create_dir(world.out().join("a.jsonl")).expect("a directory");
    let shown = numbers(&world, ["--from", &dir]);
    assert_eq!(
        (&shown["events"], &shown["duplicates"], &shown["malformed"]),
        (&json!(3), &json!(1), &json!(4)),
        "{shown}"
    );
    assert_eq!(
        shown["by_event"],
        json!({"telemetry.initialized": 1, "x": 2})
    );
    assert_eq!(shown["by_version"], json!({"1.5": 1}));
    assert_eq!(shown["tools"], json!({"trivy": 1}));
    let raw = world.run(["view", "--raw", "--from", &dir]).ok().stdout;
    assert_eq!(raw.lines().count(), 3);
    assert_eq!(
        raw.lines().next(),
        Some("{\"event\":\"telemetry.initialized\",\"message\":\"hello\"}")
    );
}

#[test]
fn raw_gives_back_our_lines_byte_for_byte() {
    let world = World::new();
    world.record_many(40);
    world.flush(["--to", &world.out_target()]);
    let raw = world
        .run(["view", "--raw", "--from", &world.out_target()])
        .ok();
    assert_eq!(
        raw.stdout.lines().map(str::to_owned).collect::<Vec<_>>(),
        world.payloads()
    );
    let file = world.out().join(
        std::fs::read_dir(world.out())
            .expect("a directory")
            .next()
            .expect("one")
            .expect("entry")
            .file_name(),
    );
    let file = file.to_str().expect("a path");
    assert_eq!(
        world.run(["view", "--raw", "--from", file]).ok().stdout,
        raw.stdout
    );
}

#[test]
fn since_leaves_out_older_events_and_reports_those_without_a_time() {
    let world = World::new();
    let at = |days: i64| (chrono::Utc::now() - chrono::TimeDelta::days(days)).to_rfc3339();
    let mut text: String = [0, 1, 29, 31, 400]
        .map(|days| format!("{{\"event\":\"x\",\"timestamp\":\"{}\"}}\n", at(days)))
        .concat();
    text += "{\"event\":\"x\"}\n";
    let dir = dir_of(&world, &text);
    assert_eq!(numbers(&world, ["--from", &dir])["events"], 6);
    let ran = world
        .run(["view", "--json", "--from", &dir, "--since", "30d"])
        .ok();
    assert_eq!(ran.json()["events"], 3);
    assert!(ran.stderr.contains("1 without a usable timestamp"), "{ran}");
    assert_eq!(
        numbers(&world, ["--from", &dir, "--since", "36h"])["events"],
        2
    );
    world.run(["view", "--since", "soon"]).exits(2);
}

#[test]
fn no_cell_of_the_csv_is_a_formula() {
    let world = World::new();
    let dir = dir_of(
        &world,
        concat!(
            r#"{"event":"=cmd|'/C calc'!A0","timestamp":"2026-11-22T10:00:00Z","platform":"+1","python_version":"3.11","metadata":{"profile":"@SUM(1)","mode":"\t=1","exit_code":-9,"tools":["-a","b"],"mine":"=1"}}"#,
            "\n",
            r#"{"event":"scan.completed","timestamp":"2026-11-22T10:00:00Z","platform":"Darwin","metadata":{"profile":"fast","mode":"cli","duration_bucket":"5-15min","total_findings_bucket":"1-10"}}"#,
            "\n",
            r#"{"event":"unicode, \"é\" 漢字"}"#,
            "\n"
        ),
    );
    let ran = world
        .run(["view", "--from", &dir, "--export", "out.csv"])
        .ok();
    assert_eq!(ran.stdout, "", "{ran}");
    let mut csv = csv::Reader::from_path(world.cwd().join("out.csv")).expect("a CSV file");
    let head = csv.headers().expect("a head").clone();
    assert!(
        head.iter().collect::<Vec<_>>().join(",").starts_with(
            "event,timestamp,platform,python_version,profile,mode,duration,tools_count,"
        )
    );
    let rows: Vec<_> = csv.records().map(|row| row.expect("a row")).collect();
    let cell = |row: usize, name: &str| {
        let column = head
            .iter()
            .position(|column| column == name)
            .expect("a column");
        rows[row].get(column).expect("a cell")
    };
    assert_eq!(rows.len(), 3);
    for row in &rows {
        for text in row {
            let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
            assert!(!risky || text.parse::<f64>().is_ok(), "{text}");
        }
    }
    assert_eq!(cell(0, "event"), "'=cmd|'/C calc'!A0");
    assert_eq!(cell(0, "platform"), "'+1");
    assert_eq!((cell(0, "exit_code"), cell(0, "tools_count")), ("-9", "2"));
    assert_eq!(cell(0, "other"), r#"{"mine":"=1"}"#);
    assert_eq!(
        [
            "platform",
            "profile",
            "mode",
            "duration",
            "tools_count",
            "findings"
        ]
        .map(|name| cell(1, name)),
        ["macOS", "fast", "cli", "5-15min", "0", "1-10"]
    );
    assert_eq!(cell(2, "event"), "unicode, \"é\" 漢字");
}

#[test]
fn a_failed_export_does_not_change_the_old_file() {
    let world = World::new();
    std::fs::write(world.cwd().join("out.csv"), "former").expect("a file");
    for form in ["--export", "--html"] {
        world
            .run(["view", "--from", "dir:nowhere", form, "out.csv"])
            .exits(78);
        world.run(["view", form, "no/such/dir/out"]).exits(73);
    }
    assert_eq!(
        std::fs::read(world.cwd().join("out.csv")).expect("a file"),
        b"former"
    );
    let left: Vec<_> = std::fs::read_dir(world.cwd())
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["out.csv"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let world = World::new();
    let line = r#"{"event":"scan.started","metadata":{"tools":["trivy"]}}"#;
    let dir = dir_of(&world, &format!("{line}\n").repeat(50_000));
    for form in [&["--raw"][..], &["--json"], &[]] {
        let mut child = world
            .command(["view", "--from", &dir].iter().chain(form))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        if form == ["--raw"] {
            out.read_line(&mut first).expect("a line");
            assert_eq!(first.trim_end(), line);
        }
        drop(out);
        let mut said = String::new();
        child
            .stderr
            .take()
            .expect("a pipe")
            .read_to_string(&mut said)
            .expect("reads");
        assert_eq!(
            (child.wait().expect("ends").code(), said.as_str()),
            (Some(0), ""),
            "{form:?}"
        );
    }
}

#[test]
fn a_missing_source_is_reported_in_one_line() {
    let world = World::new();
    for (from, words) in [
        ("dir:nowhere", "failed to read `nowhere`"),
        ("nothing.jsonl", "failed to read `nothing.jsonl`"),
        ("gist", "no Gist is configured"),
    ] {
        let ran = world.run(["view", "--from", from]).exits(78);
        assert!(
            ran.stderr.contains(words) && ran.stderr.contains("hint: "),
            "{ran}"
        );
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.lines().count()),
            ("", 2),
            "{ran}"
        );
    }
    world.run(["view", "--json", "--raw"]).exits(2);
}

#[test]
fn the_dashboard_has_no_colours_unless_on_a_terminal() {
    let world = World::new();
    let dir = dir_of(
        &world,
        &lines(60).replace(
            "\"version\"",
            "\"timestamp\":\"2026-11-22T10:00:00Z\",\"version\"",
        ),
    );
    let shown = world.run(["view", "--from", &dir]).ok().stdout;
    assert!(!shown.contains('\u{1b}'));
    for words in [
        "60 events",
        "2026-11-22",
        "Platforms",
        "Python versions",
        "Scanner versions",
        "Profiles",
        "Modes",
        "Tools",
        "Tool failures",
        "Durations",
        "Findings",
        "Targets",
        "This machine's spool",
        "Last events",
        "semgrep",
        "repos",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );
}
