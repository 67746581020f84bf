//! P9: `banner` and `info` tell the truth about what is collected, whether it can leave this
//! machine, and how to opt out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::gist_server::GistServer;
use crate::support::world::{World, lines};

const SCAN: &str = "record scan.started --mode cli --profile fast";

/// The text of the banner, which is printed on stderr, never on stdout.
#[track_caller]
fn banner(world: &World, mode: &str) -> String {
    let ran = world.run(["banner", "--mode", mode]).ok();
    assert_eq!(ran.stdout, "", "{ran}");
    ran.stderr
}

#[test]
fn the_banner_is_shown_on_the_first_three_scans_and_in_docker_always() {
    let world = World::new();
    for scan in 0..5 {
        for mode in ["cli", "wizard"] {
            assert_eq!(
                !banner(&world, mode).is_empty(),
                scan < 3,
                "{mode}, after {scan} scans"
            );
        }
        assert!(!banner(&world, "docker").is_empty());
        world.run(SCAN.split_whitespace()).ok();
    }
    assert!(world.run(["banner"]).ok().stderr.is_empty(), "cli is meant");
}

#[test]
fn the_banner_is_not_shown_again_or_while_telemetry_is_disabled() {
    for (name, value) in [
        ("JMO_TELEMETRY_SHOWN", "1"),
        ("JMO_TELEMETRY_DISABLE", "1"),
        ("DO_NOT_TRACK", "1"),
        ("CI", "true"),
    ] {
        let world = World::new().with(name, value);
        for mode in ["cli", "wizard", "docker"] {
            assert_eq!(banner(&world, mode), "", "{name}");
        }
        assert_eq!(world.run(["banner", "--json"]).ok().json()["shown"], false);
        let counts_as_shown = name == "JMO_TELEMETRY_SHOWN";
        assert_eq!(
            world.file("notice-shown").exists(),
            counts_as_shown,
            "{name}"
        );
        assert_eq!(world.home().exists(), counts_as_shown, "{name}");
    }
}

#[test]
fn the_banner_names_every_way_to_opt_out() {
    let world = World::new();
    let said = banner(&world, "cli");
    for way in [
        "jmo-telemetry disable",
        "JMO_TELEMETRY_DISABLE=1",
        "DO_NOT_TRACK=1",
        "telemetry: {enabled: false}",
        "jmo.yml",
        "CI",
        "jmo-telemetry info",
        "jmo-telemetry spool list",
    ] {
        assert!(said.contains(way), "{way} in {said}");
    }
    assert!(said.lines().all(|line| line.len() <= 80), "{said}");
    let names = std::fs::read_dir(world.home())
        .expect("a directory")
        .count();
    assert_eq!(names, 1, "only the file that says that it was shown");
}

#[test]
fn the_banner_tells_the_truth_about_what_can_leave() {
    let server = GistServer::start();
    let gist = format!("gist:{}", server.gist_id());
    let world = World::new();
    let said = banner(&world, "cli");
    assert!(
        said.contains("None of them can leave this machine: no destination is configured"),
        "{said}"
    );
    let mut world = World::with_gist(&server);
    let said = banner(&world, "cli");
    assert!(
        said.contains(&format!("They are uploaded to {gist}.")),
        "{said}"
    );
    let json = world.run(["banner", "--json"]).ok().json();
    assert_eq!(
        (&json["shown"], &json["can_leave"], &json["destination"]),
        (&true.into(), &true.into(), &(*gist).into())
    );
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    let said = banner(&world, "cli");
    assert!(
        said.contains("None of them can leave this machine") && !said.contains("uploaded to"),
        "without the owner's token: {said}"
    );
    world.set("JMO_TELEMETRY_GIST_ID", "../etc");
    let said = banner(&world, "cli");
    assert!(
        said.contains("None of them can leave this machine"),
        "{said}"
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn that_the_banner_was_shown_is_stored_once_and_asking_for_json_does_not_count() {
    let world = World::new();
    assert_eq!(world.run(["banner", "--json"]).ok().json()["shown"], true);
    assert!(!world.home().exists());
    banner(&world, "cli");
    let noted = std::fs::read_to_string(world.file("notice-shown")).expect("is there");
    let at = chrono::DateTime::parse_from_rfc3339(noted.trim());
    assert!(at.is_ok() && noted.ends_with("Z\n"), "{noted:?}");
    std::fs::write(world.file("notice-shown"), "2026-01-01T00:00:00Z\n").expect("writes");
    banner(&world, "docker");
    let kept = std::fs::read_to_string(world.file("notice-shown")).expect("is there");
    assert_eq!(kept, "2026-01-01T00:00:00Z\n");
}

#[test]
fn before_the_notice_nothing_counts_as_tried_and_forget_asks_nobody_either() {
    // Nothing listens there, so any request would be an error.
    let world = World::new().with("JMO_TELEMETRY_ENDPOINT", "http://127.0.0.1:9");
    world.record_many(2);
    for _ in 0..2 {
        let report = world.flush(["--now"]);
        assert_eq!(report["outcome"], "notice_first", "{report}");
    }
    for row in world.rows() {
        assert_eq!(
            (&row["state"], &row["attempts"]),
            (&json!("pending"), &json!(0))
        );
        assert_eq!(
            (&row["segment"], &row["destination"]),
            (&json!(null), &json!(null))
        );
    }
    let forgot = world.run(["forget", "--yes", "--json"]).ok().json();
    assert_eq!(
        (&forgot["deleted"], &forgot["remote_left"]),
        (&json!(2), &json!([]))
    );
}

#[test]
fn a_banner_that_could_not_be_written_was_not_shown() {
    let world = World::new().with("JMO_TELEMETRY_ENDPOINT", "https://collector.example");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let ran = world
        .command(["banner"])
        .stderr(full.expect("opens"))
        .status();
    assert!(ran.expect("runs").success());
    assert!(!world.file("notice-shown").exists());
    assert_eq!(world.status()["can_leave"], false);
    banner(&world, "cli");
    assert_eq!(world.status()["can_leave"], true);
}

#[test]
fn status_says_what_the_banner_says() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    assert_eq!(world.status()["can_leave"], true);
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    let status = world.status();
    assert_eq!(status["can_leave"], false);
    let obstacle = status["obstacle"].as_str().expect("why");
    assert!(obstacle.contains("owner's token"), "{obstacle}");
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", server.token());
    world.set("JMO_TELEMETRY_GITHUB_API", "http://example.com");
    let status = world.status();
    assert_eq!(status["can_leave"], false);
    assert_eq!(server.connections(), 0);
}

/// The names of the fields of a JSON object; those of nested objects as `outer.inner`.
fn fields(value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, inner) in value.as_object().into_iter().flatten() {
        names.insert(name.clone());
        names.extend(fields(inner).iter().map(|field| format!("{name}.{field}")));
    }
    names
}

#[test]
fn info_lists_every_field_that_is_really_recorded_and_no_other() {
    let world = World::new();
    let info = world.run(["info", "--json"]).ok().json();
    let text = world.run(["info"]).ok().stdout;
    assert!(!world.home().exists(), "reading it records nothing");
    world.record_many(6);
    let rows = world.rows();
    assert_eq!(info["events"].as_array().map(Vec::len), Some(rows.len()));
    for (row, told) in rows.iter().zip(info["events"].as_array().expect("a list")) {
        assert_eq!(row["event"], told["event"]);
        let named = |list: &Value| -> BTreeSet<String> {
            let names = list.as_array().expect("a list").iter();
            names
                .map(|field| field["name"].as_str().expect("a name").to_owned())
                .collect()
        };
        let metadata = &row["payload"]["metadata"];
        let top: BTreeSet<String> = metadata
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert_eq!(top, named(&told["metadata"]));
        let mut envelope: BTreeSet<String> = row["payload"]
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert!(envelope.remove("metadata"));
        assert_eq!(envelope, named(&info["every_event"]));
        assert_eq!(
            fields(&row["payload"]),
            fields(&told["example"]),
            "the example is a real one"
        );
        for field in fields(&row["payload"]) {
            let last = field.split('.').next_back().expect("a name");
            assert!(text.contains(last), "{field}");
        }
    }
}

#[test]
fn a_field_has_only_the_values_that_info_lists() {
    let world = World::new();
    let info = world.run(["info", "--json"]).ok().json();
    world.run_with(["record", "--stdin"], &lines(6)).ok();
    for (row, told) in world
        .rows()
        .iter()
        .zip(info["events"].as_array().expect("a list"))
    {
        for field in told["metadata"].as_array().expect("a list") {
            let name = field["name"].as_str().expect("a name");
            let values = field["values"].as_str().expect("words");
            let held = &row["payload"]["metadata"][name];
            let words = held
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![held.clone()]);
            for word in words.iter().filter_map(Value::as_str) {
                assert!(values.contains(word), "{name}: {word} is none of {values}");
            }
        }
    }
}
