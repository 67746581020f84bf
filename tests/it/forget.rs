//! P6 and the id: `forget` leaves no trace on this machine, and none at the destination if it may
//! delete there. The id is a random number.

use fs2::FileExt;
use serde_json::Value;

use crate::support::collector_stand_in::StandIn;
use crate::support::gist_server::{Fault, GistServer, RetryAfter};
use crate::support::traces::traces_of;
use crate::support::world::World;

fn id(world: &World) -> String {
    world.run(["id"]).ok().stdout.trim_end().to_owned()
}

/// The ids of all recorded events, and the anonymous id.
fn ids(world: &World) -> Vec<String> {
    let mut ids = world.event_ids();
    ids.push(id(world));
    ids
}

fn is_gone(world: &World, ids: &[String]) {
    assert_eq!(traces_of(ids, &world.home()), Vec::<String>::new());
    assert!(world.rows().is_empty());
    assert_eq!(
        id(world).len(),
        36,
        "an id that was there is replaced, not removed"
    );
}

/// Sends four events, and leaves three unconfirmed, three pending, two in the overflow, and a
/// damaged copy of the spool.
fn live_in(world: &World, server: &GistServer) -> Vec<String> {
    world.record_many(4);
    assert_eq!(world.flush([])["sent"], 4);
    server.plan(Fault::CutBeforeCommit);
    world.record_many(3);
    world.flush([]);
    world.record_many(3);
    let mut all = ids(world);
    std::fs::copy(
        world.file("spool.db"),
        world.file("spool.db.corrupt-20261122T100000Z"),
    )
    .expect("copies");
    std::fs::copy(
        world.file("spool.db-wal"),
        world.file("spool.db.corrupt-20261122T100000Z-wal"),
    )
    .expect("copies");
    overflow(world, 2);
    let waiting = std::fs::read_to_string(world.file("overflow.jsonl")).expect("the overflow");
    all.extend(waiting.lines().map(|line| {
        let event: Value = serde_json::from_str(line).expect("an event");
        event["event_id"].as_str().expect("an id").to_owned()
    }));
    assert_eq!(all.len(), 13);
    all
}

/// Records this many events while the spool is locked.
fn overflow(world: &World, count: usize) {
    let file = std::fs::File::open(world.file("spool.lock")).expect("opens");
    FileExt::lock_exclusive(&file).expect("locks");
    world.record_many(count);
}

#[test]
fn forget_leaves_no_trace_in_any_file_and_none_at_the_gist() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    let ids = live_in(&world, &server);
    assert!(!traces_of(&ids, &world.home()).is_empty());
    world.run(["forget"]).exits(2);
    assert!(!world.rows().is_empty(), "it asks first");
    let report = world.run(["forget", "--yes", "--json"]).ok().json();
    assert_eq!(
        (
            &report["deleted"],
            &report["remote_left"].as_array().map(Vec::len)
        ),
        (&12.into(), &Some(0)),
        "{report}"
    );
    assert_eq!(report["remote_deleted"].as_array().map(Vec::len), Some(1));
    is_gone(&world, &ids);
    assert_eq!(
        server.files().keys().collect::<Vec<_>>(),
        ["README.md"],
        "what is not ours stays"
    );
    assert_eq!(server.violations(), Vec::<String>::new());
    let stats = world.stats();
    assert_eq!(
        (&stats["recorded"], &stats["sent"], &stats["purged"]),
        (&12.into(), &4.into(), &8.into())
    );
    world.check();
    // New events can be recorded, under a new id.
    world.record_many(2);
    world.flush(["--now"]);
    assert_eq!(server.lines(), world.payloads());
    world.check();
}

#[test]
fn if_the_token_does_not_allow_it_forget_deletes_locally_says_so_and_finishes_later() {
    let server = GistServer::start();
    server.add_reader_token("ghp_reader");
    let mut world = World::with_gist(&server);
    let ids = live_in(&world, &server);
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_reader");
    let ran = world.run(["forget", "--yes"]).exits(75);
    assert!(
        ran.stdout.contains("deleted 12 events here"),
        "all of them: {ran}"
    );
    assert!(
        ran.stdout.contains("could not delete events-") && ran.stdout.contains("HTTP 404"),
        "{ran}"
    );
    is_gone(&world, &ids);
    assert_eq!(server.lines().len(), 4);
    world.check();
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", server.token());
    let report = world.run(["forget", "--yes", "--json"]).ok().json();
    assert_eq!(report["remote_deleted"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.lines(), Vec::<String>::new());
    let again = world.run(["forget", "--yes", "--json"]).ok().json();
    assert_eq!(again["remote_deleted"].as_array().map(Vec::len), Some(0));
    world.check();
}

#[test]
fn forget_without_any_token_says_what_it_needs() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    world.record_many(2);
    world.flush([]);
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    let before = server.connections();
    let ran = world.run(["forget", "--yes"]).exits(75);
    assert!(
        ran.stdout.contains("a Gist needs its owner's token"),
        "{ran}"
    );
    assert_eq!(server.connections(), before);
    assert!(world.rows().is_empty());
}

#[test]
fn forget_makes_no_request_to_a_server_that_asked_us_to_wait() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(2);
    world.flush([]);
    world.record_many(2);
    server.plan(Fault::too_many_requests(RetryAfter::Seconds(600)));
    world.flush([]);
    let before = server.connections();
    let ran = world.run(["forget", "--yes"]).exits(75);
    assert!(ran.stdout.contains("asked us to wait"), "{ran}");
    assert_eq!(server.connections(), before);
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[test]
fn forget_deletes_what_was_sent_even_while_telemetry_is_disabled() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(3);
    world.flush([]);
    world.run(["disable"]).ok();
    world.run(["forget", "--yes"]).ok();
    assert_eq!(server.lines(), Vec::<String>::new());
    assert_eq!(world.status()["enabled"], false, "a no is not forgotten");
    assert_eq!(
        server.violations(),
        Vec::<String>::new(),
        "a pause between two writes"
    );
}

#[test]
fn forget_deletes_the_files_of_a_directory_and_no_other() {
    let world = World::new();
    world.record_many(3);
    world.flush(["--to", &world.out_target()]);
    std::fs::write(world.out().join("events-20261122-theirs.jsonl"), "{}\n").expect("writes");
    world.run(["forget", "--yes"]).ok();
    assert_eq!(world.lines_out(), ["{}"]);
    world.check();
}

#[test]
fn forget_without_a_home_creates_nothing() {
    let world = World::new();
    let ran = world.run(["forget", "--yes"]).ok();
    assert!(ran.stdout.contains("0 events"), "{ran}");
    assert!(!world.home().exists());
}

#[test]
fn forget_does_not_claim_to_have_deleted_what_a_reader_still_uses() {
    let world = World::new();
    world.record_many(5);
    let ids = world.event_ids();
    let reader = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    reader.execute_batch("BEGIN").expect("begins");
    let seen: i64 = reader
        .query_row("SELECT count(*) FROM event", [], |row| row.get(0))
        .expect("reads");
    assert_eq!(seen, 5);
    let ran = world.run(["forget", "--yes"]).exits(75);
    assert!(!ran.stdout.contains("deleted"), "{ran}");
    drop(reader);
    world.run(["forget", "--yes"]).ok();
    assert_eq!(traces_of(&ids, &world.home()), Vec::<String>::new());
    world.check();
}

#[test]
fn purge_and_disable_leave_no_trace_of_what_they_deleted() {
    for command in ["spool purge --all --yes", "disable"] {
        let world = World::new();
        world.record_many(40);
        overflow(&world, 2);
        let ids = world.event_ids();
        assert_eq!(ids.len(), 42);
        world.run(command.split_whitespace()).ok();
        assert_eq!(
            traces_of(&ids, &world.home()),
            Vec::<String>::new(),
            "{command}"
        );
        world.check();
    }
}

#[test]
fn an_id_is_shown_kept_and_reset() {
    let world = World::new();
    assert!(id(&world).starts_with("no id yet"), "looking makes none");
    assert!(!world.home().exists());
    world.record();
    let first = id(&world);
    assert_eq!(world.rows()[0]["payload"]["anonymous_id"], *first);
    let second = world.run(["id", "--reset"]).ok().stdout;
    assert_ne!(second.trim_end(), first);
    world.record();
    assert_eq!(
        world.rows()[1]["payload"]["anonymous_id"],
        second.trim_end()
    );
    let shown = world.run(["id", "--json"]).ok().json();
    assert_eq!(shown["anonymous_id"], second.trim_end());
}

#[test]
fn an_id_file_that_holds_no_random_uuid_is_never_sent_and_is_replaced() {
    for content in [
        "somebody@example.com",
        "",
        "CANARY-4b1d-4f9e-8c3a-2d5e7f9b1a3c",
        "a7f3c8e2-4b1d-1f9e-8c3a-2d5e7f9b1a3c",
        "a7f3c8e2-4b1d-4f9e-0c3a-2d5e7f9b1a3c",
        "a7f3c8e24b1d4f9e8c3a2d5e7f9b1a3c",
        "{a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c}",
        "a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c me",
        "\u{0}\u{1b}[31m",
        &"host.example.com/".repeat(300),
    ] {
        let world = World::new();
        std::fs::create_dir(world.home()).expect("makes");
        std::fs::write(world.file("telemetry-id"), content).expect("writes");
        assert!(id(&world).starts_with("no id yet"), "{content}");
        world.record();
        let sent = world.rows()[0]["payload"]["anonymous_id"].clone();
        let sent = sent.as_str().expect("a string");
        assert!(
            sent.len() == 36 && sent.as_bytes()[14] == b'4' && !content.contains(sent),
            "{sent}"
        );
        let kept = std::fs::read_to_string(world.file("telemetry-id")).expect("reads");
        assert_eq!(kept, sent);
    }
    // A valid id is kept, even with the line end of the former module.
    let world = World::new();
    std::fs::create_dir(world.home()).expect("makes");
    let kept = "a7f3c8e2-4b1d-4f9e-8c3a-2d5e7f9b1a3c";
    std::fs::write(world.file("telemetry-id"), format!("{kept}\n")).expect("writes");
    world.record();
    assert_eq!(world.rows()[0]["payload"]["anonymous_id"], kept);
}

#[test]
fn forget_replaces_invalid_content_of_the_id_file() {
    let world = World::new();
    std::fs::create_dir(world.home()).expect("makes");
    std::fs::write(world.file("telemetry-id"), "somebody@example.com").expect("writes");
    world.run(["forget", "--yes"]).ok();
    assert_eq!(
        traces_of(&["somebody"], &world.home()),
        Vec::<String>::new()
    );
}

#[test]
fn what_was_sent_stays_at_the_destination_when_it_is_purged_here() {
    let world = World::new();
    world.record_many(3);
    world.flush(["--to", &world.out_target()]);
    let mut sent = world.lines_out();
    world.run(["spool", "purge", "--all", "--yes"]).ok();
    world.record_many(2);
    world.flush(["--to", &world.out_target()]);
    sent.extend(world.payloads());
    sent.sort();
    let mut there = world.lines_out();
    there.sort();
    assert_eq!(there, sent, "its file is not written again without it");
    world.check();
}

#[test]
fn forget_begins_the_count_of_scans_anew_and_says_what_stays() {
    let server = GistServer::start();
    let world = World::new().with("JMO_TELEMETRY_GITHUB_API", server.api());
    world
        .run_with(["connect", "gist", server.gist_id()], server.token())
        .ok();
    for _ in 0..2 {
        world
            .run("record scan.started --mode cli --profile fast".split_whitespace())
            .ok();
    }
    let ran = world.run(["forget", "--yes"]).ok();
    for what in [
        "token",
        "jmo-telemetry disconnect",
        "still enabled",
        "jmo-telemetry disable",
    ] {
        assert!(ran.stderr.contains(what), "{what}: {ran}");
    }
    assert!(!world.file("scan-count").exists());
    world
        .run("record scan.started --mode cli --profile fast".split_whitespace())
        .ok();
    assert!(world.payloads()[0].contains("first_time"));
}

/// A world that has sent three events to the collector, and the anonymous id in them.
fn three_sent_to(collector: &StandIn) -> (World, String) {
    let world = World::new().with("JMO_TELEMETRY_ENDPOINT", &collector.url());
    world.run(["banner"]).ok();
    world.record_many(3);
    world.flush([]);
    let sent = id(&world);
    (world, sent)
}

#[test]
fn forget_deletes_at_a_collector_what_was_sent_under_an_earlier_id_whose_rows_are_gone() {
    let collector = StandIn::start();
    let (world, before) = three_sent_to(&collector);
    world.run(["id", "--reset"]).ok();
    world.run(["spool", "purge", "--all", "--yes"]).ok();
    world.record_many(2);
    world.flush([]);
    assert_eq!(collector.lines().len(), 5);
    world.run(["forget", "--yes"]).ok();
    assert_eq!(collector.lines(), Vec::<String>::new());
    is_gone(&world, &[before]);
}

#[test]
fn a_repeated_forget_deletes_at_a_collector_what_the_first_one_could_not() {
    let collector = StandIn::start();
    let (world, before) = three_sent_to(&collector);
    collector.keep_everything(true);
    world.run(["forget", "--yes"]).exits(75);
    assert_eq!(collector.lines().len(), 3);
    collector.keep_everything(false);
    let again = world.run(["forget", "--yes", "--json"]).ok().json();
    assert_eq!(again["remote_left"], serde_json::json!([]));
    assert_eq!(collector.lines(), Vec::<String>::new());
    is_gone(&world, &[before]);
}
