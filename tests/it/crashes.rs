//! A flush that is killed, runs twice, or is overtaken by a `disable`: each event is there once
//! afterwards, and no lock remains.

use std::time::Duration;

use crate::support::cases::all_of;
use crate::support::collector_stand_in::StandIn;
use crate::support::gist_server::{Fault, GistServer, Recorded};
use crate::support::tracer::{Call, Tracer, Verdict};
use crate::support::world::World;
use crate::support::world::later;

const BOUND: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(300);

/// Calls that change the spool or talk to the server; kills between other calls make no difference.
fn matters(call: &Call) -> bool {
    let path = call
        .path
        .as_deref()
        .unwrap_or("".as_ref())
        .to_string_lossy();
    let spool =
        path.contains("spool.db") || path.contains("spool.lock") || path.contains("flush.lock");
    match call.name() {
        "pwrite64" | "write" | "fsync" | "fdatasync" | "ftruncate" | "flock" => {
            spool || path.starts_with("socket:")
        }
        "connect" | "sendto" | "recvfrom" | "writev" | "sendmsg" | "recvmsg" | "read" => {
            path.starts_with("socket:")
        }
        _ => false,
    }
}

/// How many such calls a flush of this world makes.
fn calls(world: &World) -> usize {
    let flush = Tracer::new(world.command(["flush"]))
        .trace()
        .expect("traces");
    flush.calls.iter().filter(|call| matters(call)).count()
}

/// Runs a flush and kills it at the n-th such call. Returns whether it got that far.
fn killed_at(world: &World, n: usize) -> bool {
    let mut seen = 0;
    let flush = Tracer::new(world.command(["flush"]));
    let outcome = flush.run(|call| {
        seen += usize::from(matters(call));
        if seen > n {
            Verdict::Kill
        } else {
            Verdict::Run
        }
    });
    outcome.expect("traces").killed()
}

#[test]
fn a_flush_to_a_gist_killed_at_any_call_that_matters_sends_each_event_once() {
    let calls = {
        let server = GistServer::start();
        let world = World::with_gist(&server);
        world.record_many(5);
        calls(&world)
    };
    assert!(calls > 20, "{calls}");
    // The order of calls varies a little, so try a few more than one run had.
    all_of(
        0..calls + 3,
        |n| format!("call {n}"),
        |n| {
            let server = GistServer::start();
            server.set_spacing_check(false);
            let world = World::with_gist(&server);
            world.record_many(5);
            killed_at(&world, n);
            world.check();
            world.record();
            later(&world, Duration::from_secs(2));
            let report = world.flush(["--now"]);
            assert_eq!(report["remaining"], 0, "{report}");
            assert_eq!(server.lines(), world.payloads());
            assert_eq!(server.violations(), Vec::<String>::new());
            world.check();
        },
    );
}

#[test]
fn a_flush_to_a_collector_killed_at_any_call_that_matters_sends_each_event_once() {
    let connected = |collector: &StandIn| {
        let world = World::new();
        world.run(["connect", "collector", &collector.url()]).ok();
        world.record_many(5);
        world
    };
    let calls = calls(&connected(&StandIn::start()));
    assert!(calls > 20, "{calls}");
    all_of(
        0..calls + 3,
        |n| format!("call {n}"),
        |n| {
            let collector = StandIn::start();
            let world = connected(&collector);
            killed_at(&world, n);
            world.check();
            let there = collector.event_ids();
            for row in world.rows().iter().filter(|row| row["state"] == "sent") {
                let id = row["event_id"].as_str().expect("a string");
                assert!(there.iter().any(|there| there == id), "{row}");
            }
            world.record();
            later(&world, Duration::from_secs(2));
            let report = world.flush(["--now"]);
            assert_eq!(report["remaining"], 0, "{report}");
            let mut recorded = world.payloads();
            recorded.sort();
            let mut there = collector.lines();
            there.sort();
            assert_eq!(there, recorded);
            world.check();
        },
    );
}

#[test]
fn a_flush_killed_while_the_server_is_silent_sends_each_event_once() {
    for fault in [
        Fault::StallBeforeCommit(LONG),
        Fault::StallAfterCommit(LONG),
    ] {
        let server = GistServer::start();
        server.set_spacing_check(false);
        let world = World::with_gist(&server);
        world.record_many(5);
        server.plan(fault);
        let mut flush = world.command(["flush"]).spawn().expect("starts");
        assert!(server.wait_for(
            |state| {
                state
                    .requests
                    .iter()
                    .any(|request| !request.body.is_empty())
            },
            BOUND
        ));
        flush.kill().expect("kills");
        flush.wait().expect("ends");
        assert_eq!(world.count("sending"), 5);
        world.record_many(2);
        assert_eq!(world.flush([])["sent"], 7);
        assert_eq!(server.lines(), world.payloads());
        world.check();
    }
}

#[test]
fn two_flushes_at_once_and_eight_recorders_send_each_event_once() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(20);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    world.record();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    world.run(["flush"]).ok();
                }
            });
        }
    });
    world.flush([]);
    assert_eq!(world.count("sent"), 60);
    let (mut there, mut recorded) = (server.event_ids_across_files(), world.event_ids());
    there.sort();
    recorded.sort();
    assert_eq!(there, recorded);
    assert_eq!(server.violations(), Vec::<String>::new());
    world.check();
}

#[test]
fn a_disable_during_a_request_prevents_any_further_request() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(4);
    server.plan(Fault::SlowAnswer(Duration::from_secs(3)));
    let flush = world
        .command(["flush", "--json", "--limit", "4"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    world.run(["disable", "--keep"]).ok();
    world.run_with(["spool", "list"], "").ok();
    flush.wait_with_output().expect("ends");
    assert_eq!(server.requests().len(), 2, "the look and the write");
    assert_eq!(world.count("sent"), 4, "what was under way is confirmed");
}

#[test]
fn after_a_conflict_no_request_is_made_once_telemetry_is_disabled() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(4);
    // The write conflicts and the look is slow, which leaves time for a disable before the next write.
    server.plan_many([
        Fault::conflict(false),
        Fault::SlowAnswer(Duration::from_secs(3)),
    ]);
    let flush = world
        .command(["flush", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    assert!(server.wait_for(|state| state.requests.len() == 3, BOUND));
    world.run(["disable", "--keep"]).ok();
    let output = flush.wait_with_output().expect("ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["outcome"], "disabled", "{report}");
    assert_eq!(server.requests().len(), 3);
    assert_eq!(world.count("sent"), 0);
    assert_eq!(server.lines(), Vec::<String>::new());
    world.check();
}

#[test]
fn a_flush_killed_while_it_looks_for_a_rejected_event_holds_nothing() {
    let server = GistServer::start();
    server.set_spacing_check(false);
    let world = World::with_gist(&server);
    world.record_many(2);
    // After two rejections the first event is alone, and nothing else has been accepted.
    server.plan_many([
        Fault::unprocessable(),
        Fault::unprocessable(),
        Fault::StallBeforeCommit(LONG),
    ]);
    let mut flush = world.command(["flush"]).spawn().expect("starts");
    let third = |state: &crate::support::gist_server::State| {
        state
            .requests
            .iter()
            .filter(|request| !request.body.is_empty())
            .count()
            == 3
    };
    assert!(server.wait_for(third, BOUND));
    flush.kill().expect("kills");
    flush.wait().expect("ends");
    assert_eq!(world.count("held"), 0);
    world.check();
    server.recover();
    later(&world, Duration::from_secs(2));
    world.flush(["--now"]);
    let (mut there, mut recorded) = (server.lines(), world.payloads());
    there.sort();
    recorded.sort();
    assert_eq!(there, recorded);
    world.check();
}
