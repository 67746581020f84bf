//! P4, P6 and P9: the user's choice with `enable` and `disable`. What these commands claim is true
//! from then on, whatever other processes are running.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fs2::FileExt;
use jmo_telemetry::event::{Draft, Payload, Stamp, event_id};
use jmo_telemetry::home::Home;
use jmo_telemetry::spool::{Caller, Spool};

use crate::support::gist_server::{Fault, GistServer, Recorded};
use crate::support::world::{Ran, World, lines};
use crate::support::{BOUND, wait_for};

fn start(world: &World, args: &str) -> Child {
    world
        .command(args.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

fn end(world: &World, child: Child) -> Ran {
    Ran::from_output(
        &world.command(["…"]),
        child.wait_with_output().expect("ends"),
    )
}

/// A file of the home, locked as by another process of this program.
fn locked(world: &World, name: &str) -> std::fs::File {
    std::fs::create_dir_all(world.home()).expect("makes");
    let file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(world.file(name))
        .expect("opens");
    FileExt::lock_exclusive(&file).expect("locks");
    file
}

const RECORD: &str = "record tool.failed --tool trivy --failure-type crash --profile fast";

#[test]
fn enable_claims_no_effect_that_another_rule_overrides() {
    for (name, value) in [
        ("DO_NOT_TRACK", "1"),
        ("JMO_TELEMETRY_DISABLE", "1"),
        ("CI", "1"),
    ] {
        let world = World::new().with(name, value);
        let ran = world.run(["enable"]).ok();
        assert!(
            ran.stdout.contains("telemetry stays disabled")
                && !ran.stdout.contains("telemetry is enabled")
                && ran.stdout.contains(name),
            "{ran}"
        );
        let report = world.run(["enable", "--json"]).ok().json();
        assert_eq!(
            (&report["enabled"], &report["rule"], &report["can_leave"]),
            (&false.into(), &name.into(), &false.into())
        );
    }
    let world = World::new();
    std::fs::write(world.cwd().join("jmo.yml"), "telemetry: {enabled: no}\n").expect("writes");
    let ran = world.run(["enable"]).ok();
    assert!(
        ran.stdout.contains("stays disabled") && ran.stdout.contains("jmo.yml, line 1, column 22"),
        "{ran}"
    );
}

#[test]
fn enable_says_whether_anything_can_leave_and_where_to() {
    let world = World::new();
    let ran = world.run(["enable"]).ok();
    assert!(
        ran.stdout.contains("nothing can leave this machine"),
        "{ran}"
    );
    let world = World::new().with("JMO_TELEMETRY_GIST_ID", "0123456789abcdef");
    let ran = world.run(["enable"]).ok();
    assert!(
        ran.stdout.contains("nothing can leave this machine"),
        "without a token: {ran}"
    );
    world.run(["connect", "dir", "out"]).ok();
    let mut world = world;
    world.unset("JMO_TELEMETRY_GIST_ID");
    let ran = world.run(["enable"]).ok();
    assert!(
        ran.stdout
            .contains(&format!("events go to {}", world.out_target())),
        "{ran}"
    );
}

#[test]
fn a_stored_no_is_not_overridden_by_a_projects_yes() {
    let world = World::new();
    world.run(["disable"]).ok();
    std::fs::write(world.cwd().join("jmo.yml"), "telemetry: {enabled: yes}\n").expect("writes");
    world.record();
    let status = world.status();
    assert_eq!(
        (&status["enabled"], &status["rule"]),
        (&false.into(), &"consent.json".into())
    );
    assert!(!world.file("spool.db").exists());
    world.run(["enable"]).ok();
    world.record();
    assert_eq!(world.rows().len(), 1);
}

#[test]
fn disable_deletes_what_was_not_sent_and_says_how_much() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(4);
    world.flush(["--to", &world.out_target()]);
    world.record_many(5);
    server.plan(Fault::CutAfterCommit);
    world.flush([]);
    world.record_many(3);
    let lock = locked(&world, "spool.lock");
    world.record_many(2);
    drop(lock);
    assert_eq!(
        std::fs::read_to_string(world.file("overflow.jsonl"))
            .expect("the overflow")
            .lines()
            .count(),
        2
    );
    let ran = world.run(["disable"]).ok();
    assert!(ran.stdout.contains("10 events"), "{ran}");
    let stats = world.stats();
    for (name, number) in [
        ("recorded", 14),
        ("sent", 4),
        ("purged", 10),
        ("pending", 0),
        ("sending", 0),
        ("overflow", 0),
    ] {
        assert_eq!(stats[name], number, "{name} in {stats}");
    }
    assert_eq!(world.rows().len(), 4, "what was sent stays to be seen");
    let report = world.run(["disable", "--json"]).ok().json();
    assert_eq!(
        (&report["deleted"], &report["enabled"]),
        (&0.into(), &false.into())
    );
    world.check();
    world.run(["enable"]).ok();
    world.record_many(1);
    world.flush(["--now"]);
    assert_eq!(
        server.lines(),
        world.payloads()[4..],
        "what was deleted is not sent later"
    );
}

#[test]
fn disable_keep_keeps_it_and_sends_nothing_until_enabled_again() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(3);
    let ran = world.run(["disable", "--keep"]).ok();
    assert!(ran.stdout.contains("is kept, and is not sent"), "{ran}");
    assert_eq!(world.flush(["--now"])["outcome"], "disabled");
    world.record_many(2);
    assert_eq!((world.count("pending"), server.connections()), (3, 0));
    world.run(["enable"]).ok();
    assert_eq!(world.flush([])["sent"], 3);
    assert_eq!(server.lines(), world.payloads());
    world.check();
}

#[test]
fn a_purge_is_counted_and_leaves_what_was_sent() {
    let world = World::new();
    world.record_many(6);
    world.flush(["--to", &world.out_target(), "--limit", "2"]);
    world.run(["spool", "purge", "--pending"]).exits(2);
    world.run(["spool", "purge", "--pending", "--yes"]).ok();
    assert_eq!(
        (world.rows().len(), world.stats()["purged"].as_u64()),
        (2, Some(4))
    );
    world.check();
    world.run(["spool", "purge", "--all", "--yes"]).ok();
    assert_eq!(
        (world.rows().len(), world.stats()["sent"].as_u64()),
        (0, Some(2))
    );
    world.check();
}

#[test]
fn a_no_in_the_middle_of_a_flush_stops_it_before_the_next_request() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    // More than fits into one request.
    world.record_many(16_000);
    server.plan(Fault::SlowAnswer(Duration::from_secs(3)));
    let flush = start(&world, "flush --json");
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    world.run(["disable", "--keep"]).ok();
    let report = end(&world, flush).ok().json();
    assert_eq!(
        (&report["outcome"], &report["requests"]),
        (&"disabled".into(), &2.into()),
        "{}",
        report["error"]
    );
    assert_eq!(server.requests().len(), 2);
    assert!(
        report["remaining"].as_u64() > Some(1000),
        "{}",
        report["remaining"]
    );
    world.check();
}

#[test]
fn a_disable_in_the_middle_of_a_flush_keeps_the_ledger() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(7);
    server.plan(Fault::SlowAnswer(Duration::from_secs(2)));
    let flush = start(&world, "flush --json");
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    world.run(["disable"]).ok();
    end(&world, flush).ok();
    let stats = world.stats();
    assert_eq!(
        stats["purged"].as_u64().expect("n") + stats["sent"].as_u64().expect("n"),
        7
    );
    world.check();
}

#[test]
fn a_disable_while_a_record_waits_for_the_lock_is_respected() {
    for lock_stays in [true, false] {
        let world = World::new();
        let lock = locked(&world, "spool.lock");
        let record = start(&world, RECORD);
        // By now it has checked consent once, when telemetry was enabled.
        wait_for(|| world.file("telemetry-id").exists());
        std::fs::write(world.cwd().join("jmo.yml"), "telemetry: no\n").expect("writes");
        let lock = lock_stays.then_some(lock);
        let ran = end(&world, record).ok();
        assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""), "{ran}");
        drop(lock);
        let waiting = std::fs::read_to_string(world.file("overflow.jsonl")).unwrap_or_default();
        assert_eq!(waiting, "");
        assert_eq!(world.stats()["recorded"], 0);
    }
}

#[test]
fn disable_waits_for_a_process_that_is_about_to_write_the_first_event() {
    let world = World::new();
    let home = Home::at(world.home());
    home.create().expect("makes");
    let draft = Draft::from_json(lines(1).trim_end().as_bytes())
        .expect("an event")
        .draft;
    let at = "2026-11-22T10:00:00Z".parse().expect("a time");
    let stamp = Stamp {
        anonymous_id: home
            .anonymous_id(std::time::Duration::from_secs(1))
            .expect("an id"),
        at,
        frequency: None,
        event_id: event_id(at, [1; 10]),
    };
    let payload = Payload::new(draft, &stamp);
    let mut disable = None;
    Spool::write(&home, Caller::record(), |writer| {
        disable = Some(start(&world, "disable --json"));
        wait_for(|| world.file("consent.json").exists());
        writer.append(std::slice::from_ref(&payload))
    })
    .expect("appends");
    let disable = disable.expect("was started");
    assert_eq!(end(&world, disable).ok().json()["deleted"], 1);
    assert_eq!(world.rows().len(), 0);
    world.check();
}

#[test]
fn disable_does_not_claim_to_have_deleted_an_event_that_is_about_to_be_added() {
    let world = World::new();
    world.record();
    let lock = locked(&world, "overflow.jsonl");
    let ran = world.run(["disable"]).exits(75);
    assert!(
        !ran.stdout.contains("deleted")
            && ran.stderr.contains("hint: telemetry is disabled anyway"),
        "{ran}"
    );
    assert_eq!(world.status()["enabled"], false);
    drop(lock);
    world.run(["disable"]).ok();
    assert_eq!(world.stats()["purged"], 1);
    world.check();
}

/// Stops the other threads even when the test fails, so that it does not hang.
struct StopsAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopsAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn after_disable_nothing_unsent_is_left_however_many_are_recording() {
    let world = World::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stops = StopsAtTheEnd(&stop);
        for _ in 0..16 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    world.run(RECORD.split_whitespace()).ok();
                }
            });
        }
        wait_for(|| world.file("spool.db").exists());
        let ran = world.run(["disable"]).ok();
        assert!(ran.stdout.contains("deleted"), "{ran}");
        let unsent = |stats: &serde_json::Value| {
            ["pending", "sending", "held", "overflow"].map(|name| stats[name].as_u64())
        };
        let after = world.stats();
        assert_eq!(unsent(&after), [Some(0); 4], "{after}");
        // Let all of them run a few more rounds.
        for _ in 0..10 {
            world.run(RECORD.split_whitespace()).ok();
        }
        drop(stops);
        let last = world.stats();
        assert_eq!(
            (unsent(&last), &last["recorded"]),
            ([Some(0); 4], &after["recorded"])
        );
    });
    assert_eq!(
        std::fs::read(world.file("overflow.jsonl")).unwrap_or_default(),
        b""
    );
    world.check();
}

#[test]
fn a_broken_destination_does_not_matter_while_telemetry_is_disabled() {
    let mut world = World::new();
    world.record();
    std::fs::write(world.file("destination.json"), "{").expect("writes");
    let ran = world.run(["flush"]).ok();
    assert!(ran.stderr.contains("connect` again"), "{ran}");
    world.set("DO_NOT_TRACK", "1");
    let ran = world.run(["flush"]).ok();
    assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""), "{ran}");
}
