//! Rejected content, and changes of the destination while answers are lost: each event ends up
//! where it should, once.

use std::time::Duration;

use crate::support::cases::all_of;
use crate::support::gist_server::{Fault, GistServer, Identical, Method};
use crate::support::world::World;
use crate::support::world::{database, later};

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn sql(world: &World, statement: &str) {
    database(world).execute_batch(statement).expect(statement);
}

/// Points the world at this server's Gist.
fn turn_to(world: &mut World, server: &GistServer) {
    world.set("JMO_TELEMETRY_GIST_ID", server.gist_id());
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", server.token());
    world.set("JMO_TELEMETRY_GITHUB_API", server.api());
}

/// Brings two segments of two events to the server, without the program knowing: the answers are
/// lost, and no look shows them.
fn two_segments_without_an_answer(server: &GistServer, world: &World) {
    for look in [None, Some(Fault::StaleRead)] {
        world.record_many(2);
        if let Some(fault) = look {
            server.plan_on(Method::GET, fault);
        }
        server.plan_on(Method::PATCH, Fault::CutAfterCommit);
        world.flush(["--now"]);
        sql(
            world,
            "UPDATE segment SET sealed = 1; UPDATE destination SET failures = 0",
        );
    }
}

#[test]
fn one_refused_event_is_held_and_the_others_go_in_few_requests() {
    for refused in [0, 6, 15] {
        let server = GistServer::start();
        let world = World::with_gist(&server);
        world.record_many(16);
        let id = world.event_ids()[refused].clone();
        server.refuse_content_containing(&id);
        let report = world.flush(["--deadline", "60s"]);
        assert_eq!(
            (report["outcome"].as_str(), report["sent"].as_u64()),
            (Some("sent"), Some(15)),
            "{report}"
        );
        assert_eq!(report["held"], 1, "{report}");
        assert!(
            report["error"].as_str().is_some_and(|e| e.contains("422")),
            "{report}"
        );
        // One look, one request for all, four for halving, the file without the event, the event
        // alone once more, a deletion, and the rest.
        assert!(
            report["requests"].as_u64().is_some_and(|n| n <= 10),
            "{report}"
        );
        let held: Vec<_> = world
            .rows()
            .into_iter()
            .filter(|row| row["state"] == "held")
            .collect();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0]["event_id"], id);
        assert!(
            held[0]["last_error"]
                .as_str()
                .is_some_and(|e| e.contains("422"))
        );
        assert_eq!(server.event_ids_across_files().len(), 15);
        let before = server.connections();
        assert_eq!(
            world.flush(["--now"])["outcome"],
            "idle",
            "a held event is left alone"
        );
        assert_eq!(server.connections(), before);
        world.check();

        server.recover();
        world.run(["spool", "retry", "ALL"]).ok();
        assert_eq!(world.flush([])["sent"], 1);
        assert_eq!(sorted(server.lines()), sorted(world.payloads()));
        assert_eq!(server.violations(), Vec::<String>::new());
        world.check();
    }
}

#[test]
fn a_rejected_event_in_the_second_of_two_segments_does_not_delay_others() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(4);
    server.plan(Fault::CutAfterCommit);
    world.flush([]);
    world.record_many(4);
    sql(
        &world,
        "UPDATE segment SET sealed = 1; DELETE FROM destination",
    );
    let id = world.event_ids()[5].clone();
    server.refuse_content_containing(&id);
    server.set_spacing_check(false);
    let report = world.flush([]);
    assert_eq!(report["sent"], 7, "{report}");
    assert_eq!(world.count("held"), 1);
    server.recover();
    world.run(["spool", "retry", "6"]).ok();
    world.flush([]);
    assert_eq!(sorted(server.lines()), sorted(world.payloads()));
    world.check();
}

#[test]
fn a_server_that_takes_only_small_bodies_gets_everything_in_small_files() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(12);
    let longest = world.payloads().iter().map(String::len).max().unwrap_or(0);
    server.refuse_bodies_over(longest * 5);
    let report = world.flush(["--deadline", "120s"]);
    assert_eq!(
        (report["sent"].as_u64(), report["remaining"].as_u64()),
        (Some(12), Some(0)),
        "{report}"
    );
    assert_eq!(world.count("held"), 0, "none is too large by itself");
    assert_eq!(sorted(server.lines()), sorted(world.payloads()));
    assert_eq!(server.violations(), Vec::<String>::new());
    world.check();
}

#[test]
fn a_file_that_the_server_stops_accepting_does_not_delay_new_events() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(2);
    world.flush([]);
    let old = world.event_ids()[0].clone();
    world.record_many(2);
    server.plan(Fault::CutAfterCommit);
    world.flush([]);
    world.flush(["--to", &world.out_target()]);
    server.refuse_content_containing(&old);
    server.set_spacing_check(false);
    for sealed in ["", "UPDATE segment SET sealed = 1, stale = 1"] {
        sql(&world, sealed);
        world.record_many(1);
        let report = world.flush(["--now"]);
        assert_eq!(
            (report["sent"].as_u64(), report["remaining"].as_u64()),
            (Some(1), Some(0)),
            "{report}"
        );
        assert_eq!(world.count("held"), 0);
    }
    world.check();
}

#[test]
fn destinations_that_change_after_lost_answers_each_hold_an_event_once() {
    let (a, b) = (GistServer::start(), GistServer::start());
    let mut world = World::with_gist(&a);
    a.set_identical_patch(Identical::Conflict409);
    world.record_many(3);
    a.plan(Fault::CutAfterCommit);
    world.flush([]);
    turn_to(&mut world, &b);
    b.plan(Fault::HalfBodyAfterCommit);
    world.record_many(2);
    world.flush([]);
    turn_to(&mut world, &a);
    a.plan(Fault::ResetAfterCommit);
    world.record_many(2);
    world.flush(["--now"]);
    assert_eq!(world.count("sent"), 3, "a look has shown the first ones");
    turn_to(&mut world, &b);
    assert_eq!(world.flush(["--now"])["sent"], 4);
    assert_eq!(
        sorted(b.event_ids_across_files()),
        sorted(world.event_ids()[3..].to_vec()),
        "what was not confirmed went to the new one, and what was went from it"
    );
    // Files that A has without having confirmed them are removed when there is something new to do
    // there.
    turn_to(&mut world, &a);
    world.record_many(1);
    assert_eq!(world.flush(["--now"])["sent"], 1);
    let ids = world.event_ids();
    let at_a = ids[..3].iter().chain(&ids[7..]).cloned().collect();
    assert_eq!(sorted(a.event_ids_across_files()), sorted(at_a));
    assert_eq!(
        sorted(b.event_ids_across_files()),
        sorted(ids[3..7].to_vec())
    );
    for server in [&a, &b] {
        assert_eq!(server.violations(), Vec::<String>::new());
    }
    world.check();
}

#[test]
fn a_file_that_must_go_is_not_forgotten_before_it_is_gone() {
    let on = |method, fault| Some((method, fault));
    let patch = |fault| on(Method::PATCH, fault);
    let deletions = [
        ("well", None),
        ("409, not written", patch(Fault::conflict(false))),
        ("409, written", patch(Fault::conflict(true))),
        ("cut, not written", patch(Fault::CutBeforeCommit)),
        ("cut, written", patch(Fault::CutAfterCommit)),
        ("422", patch(Fault::unprocessable())),
        ("500, written", patch(Fault::server_error(500, true))),
        ("a login page", patch(Fault::CaptivePortal)),
        ("a look at another Gist", on(Method::GET, Fault::OtherGist)),
        (
            "a look at a login page",
            on(Method::GET, Fault::CaptivePortal),
        ),
        (
            "a look that is refused",
            on(Method::GET, Fault::unprocessable()),
        ),
        (
            "a look that conflicts",
            on(Method::GET, Fault::conflict(false)),
        ),
    ];
    all_of(
        deletions,
        |(name, _)| (*name).to_owned(),
        |(_, fault)| {
            let server = GistServer::start();
            let world = World::with_gist(&server);
            two_segments_without_an_answer(&server, &world);
            assert_eq!(server.event_ids_across_files().len(), 4);
            world.flush(["--to", &world.out_target()]);
            world.record_many(1);
            if let Some((method, fault)) = fault {
                server.plan_on(method, fault);
            }
            world.flush(["--now"]);
            later(&world, Duration::from_secs(2));
            world.flush(["--now"]);
            assert_eq!(server.event_ids_across_files(), world.event_ids()[4..]);
            assert_eq!(world.lines_out().len(), 4);
            let held = world.count("held");
            assert_eq!(held, 0, "no event is to blame for it");
            assert_eq!(world.count("sent"), 5);
            let spaced = server.violations();
            assert!(
                spaced
                    .iter()
                    .all(|breach| breach.contains("less than a second")),
                "{spaced:?}"
            );
            world.check();
        },
    );
}

#[test]
fn a_deletion_and_a_write_have_a_pause_between_them() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    two_segments_without_an_answer(&server, &world);
    world.flush(["--to", &world.out_target()]);
    world.record_many(1);
    let report = world.flush(["--now"]);
    assert_eq!(
        (report["sent"].as_u64(), report["requests"].as_u64()),
        (Some(1), Some(4)),
        "{report}"
    );
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[test]
fn another_content_of_the_same_size_is_no_proof() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(3);
    server.plan(Fault::CutBeforeCommit);
    world.flush([]);
    let segment = world.rows()[0]["segment"]
        .as_str()
        .expect("a name")
        .to_owned();
    let size: usize = world.payloads().iter().map(|line| line.len() + 1).sum();
    server.put_file(&segment, &"x".repeat(size));
    server.plan(Fault::conflict(false));
    world.flush(["--now"]);
    // The other file is left alone, and ours is written next to it.
    let mut lines = server.lines();
    lines.retain(|line| !line.starts_with("xx"));
    assert_eq!(lines, world.payloads());
    assert_eq!(world.count("sent"), 3);
}

#[test]
fn rows_that_must_be_written_again_are_not_pruned_before() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(3);
    world.flush([]);
    // The same state as when an answer was lost, the destination changed, and the rest of the
    // segment was purged.
    sql(
        &world,
        "UPDATE segment SET sealed = 1, stale = 1; UPDATE event SET sent_at = 0",
    );
    world.run(["spool", "prune"]).ok();
    world.record_many(1);
    later(&world, Duration::from_secs(2));
    world.flush(["--now"]);
    assert_eq!(server.event_ids_across_files().len(), 4);
}

#[test]
fn a_rejected_look_is_not_held_against_an_event() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(1);
    server.plan_many([Fault::conflict(true), Fault::unprocessable()]);
    assert_eq!(world.flush([])["sent"], 1);
    assert_eq!(server.lines(), world.payloads());
}

#[test]
fn a_rejection_after_a_lost_answer_duplicates_nothing() {
    for sent_before in [0, 2] {
        let server = GistServer::start();
        let world = World::with_gist(&server);
        if sent_before > 0 {
            world.record_many(sent_before);
            world.flush([]);
        }
        world.record_many(1);
        server.plan(Fault::CutAfterCommit);
        world.flush([]);
        // The look does not show it yet.
        server.plan_on(Method::GET, Fault::StaleRead);
        server.plan_on(Method::PATCH, Fault::unprocessable());
        let report = world.flush(["--now"]);
        // It is held only if the destination accepts something else, which it does not do here.
        let remaining = usize::from(sent_before == 0);
        assert_eq!(report["remaining"], remaining, "{report}");
        let not_held = world
            .rows()
            .into_iter()
            .filter(|row| row["state"] != "held");
        let not_held: Vec<_> = not_held
            .map(|row| row["event_id"].as_str().expect("a string").to_owned())
            .collect();
        assert_eq!(
            sorted(server.event_ids_across_files()),
            sorted(not_held),
            "a held event is not there"
        );
        world.run(["spool", "retry", "ALL"]).ok();
        world.flush(["--now"]);
        assert_eq!(sorted(server.lines()), sorted(world.payloads()));
        assert_eq!(server.violations(), Vec::<String>::new());
        world.check();
    }
}

#[test]
fn a_destination_that_rejects_everything_holds_nothing() {
    for fault in [
        Fault::too_large(),
        Fault::unprocessable(),
        Fault::refusal(400, "No"),
    ] {
        for count in [1, 40, 3000] {
            let server = GistServer::start();
            let world = World::with_gist(&server);
            world.record_many(count);
            server.set_spacing_check(false);
            for _ in 0..10 {
                server.plan_on(Method::PATCH, fault.clone());
            }
            let report = world.flush(["--deadline", "60s"]);
            assert_eq!(report["outcome"], "failed", "{report}");
            assert!(
                report["requests"].as_u64().is_some_and(|n| n <= 8),
                "{report}"
            );
            assert_eq!(world.stats()["held"], 0);
            world.check();
            server.recover();
            assert_eq!(world.flush(["--now"])["sent"], count);
            assert_eq!(server.event_ids_across_files().len(), count);
        }
    }
}

#[test]
fn a_name_in_a_manipulated_database_leads_to_no_other_file_of_the_gist() {
    for crowded in [false, true] {
        let server = GistServer::start();
        server.set_spacing_check(false);
        if crowded {
            server.put_files((0..300).map(|n| (format!("A-{n}.txt"), "theirs".to_owned())));
        }
        let world = World::with_gist(&server);
        world.record();
        world.flush([]);
        sql(&world, "UPDATE segment SET name = 'README.md', sealed = 0");
        world.record();
        world.flush(["--now"]);
        sql(
            &world,
            "UPDATE segment SET stale = 1 WHERE name = 'README.md'",
        );
        world.flush(["--now"]);
        world.run(["forget", "--yes"]);
        assert_eq!(server.files()["README.md"], "Collected telemetry.\n");
    }
}

#[test]
fn nothing_is_held_by_a_destination_that_accepts_only_what_it_already_has() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record();
    world.flush([]);
    server.set_spacing_check(false);
    server.refuse_content_containing("scan.started");
    world.record_many(1);
    world.run(["flush", "--strict", "--now"]).exits(75);
    assert_eq!((world.count("held"), world.count("sent")), (0, 1));
    world.check();
    server.recover();
    world.flush(["--now"]);
    assert_eq!(sorted(server.lines()), sorted(world.payloads()));
    world.check();
}
