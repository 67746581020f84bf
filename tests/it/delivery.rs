//! P2 and P3: exactly what was shown arrives, once, whatever happens on the way.

use std::collections::BTreeSet;

use crate::support::gist_server::{Fault, GistServer};
use crate::support::tracer::Tracer;
use crate::support::world::World;

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn thirteen_events_to_a_directory_arrive_byte_for_byte() {
    let world = World::new();
    world.record_many(13);
    let report = world.flush(["--to", &world.out_target()]);
    assert_eq!(
        (report["outcome"].as_str(), report["sent"].as_u64()),
        (Some("sent"), Some(13)),
        "{report}"
    );
    assert_eq!(world.lines_out(), world.payloads());
    let segment = &report["segments"][0];
    let content = std::fs::read(world.out().join(segment["name"].as_str().expect("a name")))
        .expect("the file");
    assert_eq!(segment["bytes"], content.len());
    assert_eq!(world.count("sent"), 13);
    let shown = world.run(["spool", "show", "1", "--json"]).ok().json();
    assert_eq!(shown["receipt"]["sha256"], segment["sha256"]);
    world.check();
}

#[test]
fn a_hundred_and_fifty_events_in_three_flushes_to_a_gist_arrive_once_with_pauses_between_writes() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    for _ in 0..3 {
        world.record_many(50);
        let report = world.flush([]);
        assert_eq!(
            (report["sent"].as_u64(), report["remaining"].as_u64()),
            (Some(50), Some(0)),
            "{report}"
        );
    }
    assert_eq!(sorted(server.lines()), sorted(world.payloads()));
    assert_eq!(
        server
            .files()
            .keys()
            .filter(|name| name.starts_with("events-"))
            .count(),
        1,
        "one segment, three times"
    );
    assert_eq!(server.violations(), Vec::<String>::new());
    world.check();
}

#[test]
fn a_flush_with_nothing_to_do_contacts_nobody() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.flush([]);
    assert_eq!(server.connections(), 0, "an empty home");
    world.record_many(2);
    world.flush([]);
    let before = server.connections();
    let report = world.flush([]);
    assert_eq!(
        (report["outcome"].as_str(), report["requests"].as_u64()),
        (Some("idle"), Some(0))
    );
    assert_eq!(server.connections(), before);
}

#[test]
fn a_dry_run_prints_the_files_that_the_flush_then_writes() {
    let world = World::new();
    world.record_many(3000);
    world.flush(["--to", &world.out_target(), "--limit", "10"]);
    let dry = world
        .run(["flush", "--dry-run", "--json", "--to", &world.out_target()])
        .ok()
        .json();
    assert_eq!(world.count("sent"), 10, "a dry run changes nothing");
    let printed = world
        .run(["flush", "--dry-run", "--to", &world.out_target()])
        .ok()
        .stdout;
    world.flush(["--to", &world.out_target()]);
    let segments = dry["segments"].as_array().expect("a list");
    assert!(segments.len() >= 2, "{} segments", segments.len());
    for segment in segments {
        let name = segment["name"].as_str().expect("a name");
        let written = std::fs::read_to_string(world.out().join(name)).expect(name);
        assert_eq!(segment["content"], written, "{name}");
        assert!(printed.contains(name) && printed.contains(&written));
    }
    assert_eq!(world.lines_out().len(), 3000);
}

#[test]
fn a_patch_that_was_committed_and_then_cut_off_is_not_sent_twice() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(20);
    server.plan(Fault::CutAfterCommit);
    let report = world.flush([]);
    assert_eq!(
        (report["sent"].as_u64(), report["remaining"].as_u64()),
        (Some(0), Some(20)),
        "{report}"
    );
    assert_eq!(world.count("sending"), 20);
    world.record_many(5);
    let report = world.flush(["--now"]);
    assert_eq!(report["sent"], 25, "{report}");
    assert_eq!(sorted(server.lines()), sorted(world.payloads()));
    world.check();
}

#[test]
fn a_segment_is_sealed_before_it_passes_its_limit() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(5000);
    let report = world.flush([]);
    assert_eq!(report["sent"], 5000, "{report}");
    let files = server.files();
    let sizes: Vec<_> = files
        .iter()
        .filter(|(name, _)| name.starts_with("events-"))
        .map(|(_, text)| text.len())
        .collect();
    assert!(
        sizes.len() > 2 && sizes.iter().all(|size| *size <= 512 * 1024),
        "{sizes:?}"
    );
    let ids: BTreeSet<_> = server.event_ids_across_files().into_iter().collect();
    assert_eq!(
        (ids.len(), server.event_ids_across_files().len()),
        (5000, 5000)
    );
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[test]
fn a_second_flush_leaves_at_once() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(2);
    server.plan(Fault::StallBeforeCommit(std::time::Duration::from_secs(20)));
    let mut first = world.command(["flush"]).spawn().expect("starts");
    assert!(server.wait_for(
        |state| !state.requests.is_empty(),
        std::time::Duration::from_secs(10)
    ));
    let second = world.flush([]);
    assert_eq!(second["outcome"], "busy");
    first.kill().expect("kills");
    first.wait().expect("ends");
    let third = world.flush(["--now"]);
    assert_eq!(third["sent"], 2, "a killed flush leaves no lock: {third}");
}

#[test]
fn a_flush_to_a_directory_killed_at_any_of_its_system_calls_sends_each_event_once() {
    let mut n = 0;
    loop {
        let world = World::new();
        world.record_many(7);
        let target = world.out_target();
        let flush = world.command(["flush", "--to", &target]);
        let killed = Tracer::new(flush).kill_at(n).expect("traces").killed();
        world.record();
        world.flush(["--to", &target, "--now"]);
        assert_eq!(world.lines_out(), world.payloads(), "killed at call {n}");
        world.check();
        if !killed {
            break;
        }
        n += 1;
    }
}

#[test]
fn a_destination_that_changes_gets_what_the_old_one_did_not_confirm() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(4);
    server.plan(Fault::CutAfterCommit);
    world.flush([]);
    world.flush(["--to", &world.out_target()]);
    assert_eq!(world.lines_out(), world.payloads());
    world.record_many(3);
    // Back to the Gist: the four events it may have were confirmed at the other destination, so its
    // file is replaced by one without them.
    world.flush(["--now"]);
    let ids = server.event_ids_across_files();
    assert_eq!(
        ids,
        world.event_ids()[4..],
        "each event is at one destination"
    );
    world.check();
}

#[test]
fn without_a_destination_nothing_leaves_and_nothing_is_printed() {
    let world = World::new();
    world.record_many(2);
    let ran = world.run(["flush"]).ok();
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("", ""),
        "{ran}"
    );
    world.run(["flush", "--strict"]).exits(78);
    assert_eq!(world.status()["can_leave"], false);
}

#[test]
fn connect_remembers_a_checked_destination_for_cron_and_changes_nothing_in_it() {
    let server = GistServer::start();
    let mut world = World::new().with("JMO_TELEMETRY_GITHUB_API", server.api());
    let before = server.files();
    world
        .run_with(["connect", "gist", server.gist_id()], server.token())
        .ok();
    assert_eq!(server.files(), before);
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.path.ends_with(server.gist_id())),
        "that Gist alone"
    );
    world.unset("JMO_TELEMETRY_GITHUB_API");
    world.record_many(3);
    server.set_spacing_check(false);
    assert_eq!(world.flush([])["sent"], 3);
    assert_eq!(world.status()["can_leave"], true);
    world.run(["disconnect"]).ok();
    assert_eq!(world.status()["destination"], serde_json::Value::Null);
}

#[test]
fn connect_says_why_a_token_or_a_gist_is_not_usable() {
    let server = GistServer::start();
    server.add_reader_token("ghp_somebody_else");
    let world = World::new().with("JMO_TELEMETRY_GITHUB_API", server.api());
    for (token, words) in [
        ("ghp_wrong", "the token is not valid"),
        ("ghp_somebody_else", "not its owner's"),
    ] {
        let ran = world
            .run_with(["connect", "gist", server.gist_id()], token)
            .exits(78);
        assert!(
            ran.stderr.contains(words) && !ran.stderr.contains(token),
            "{ran}"
        );
        assert!(!world.file("destination.json").exists());
    }
}

#[test]
fn a_hundred_thousand_events_go_in_at_most_fifteen_writes_and_little_memory() {
    let server = GistServer::start();
    let world = World::with_gist(&server).with("JMO_TELEMETRY_SPOOL_MAX", "1GiB");
    world.record_many(100_000);
    let mut flush = world
        .command(["flush", "--deadline", "10m"])
        .spawn()
        .expect("starts");
    let mut most = 0;
    let status = loop {
        // The kernel's high-water mark.
        most = most.max(memory(flush.id()).unwrap_or(0));
        if let Some(status) = flush.try_wait().expect("is our child") {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    assert!((1..128 << 10).contains(&most), "{most} KiB");
    let writes = server
        .requests()
        .iter()
        .filter(|request| request.is_write())
        .count();
    assert!(writes <= 15, "{writes} writes");
    assert_eq!(server.event_ids_across_files().len(), 100_000);
    let largest = server.files().values().map(String::len).max();
    assert!(largest <= Some(512 << 10), "{largest:?}");
    assert_eq!(server.violations(), Vec::<String>::new());
    world.check();
}

/// The maximum memory that a process has used, in KiB.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn a_server_is_found_by_its_name() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    let by_name = server.api().replace("127.0.0.1", "localhost");
    assert_ne!(by_name, server.api());
    world.set("JMO_TELEMETRY_GITHUB_API", &by_name);
    world.record_many(3);
    assert_eq!(world.flush([])["sent"], 3);
    assert_eq!(sorted(server.lines()), sorted(world.payloads()));
    // This name never exists (RFC 6761). An unknown host is a network failure like any other.
    world.set("JMO_TELEMETRY_GITHUB_API", "https://gist.invalid");
    world.record();
    let report = world.flush(["--now"]);
    assert_eq!(
        (&report["outcome"], &report["sent"]),
        (&"failed".into(), &0.into()),
        "{report}"
    );
    world.check();
}
