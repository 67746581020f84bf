//! When a destination is not contacted: waits that the server asks for, our own backoff, and the
//! pause after a refusal. All of these outlast the process, since each cron run is a new one.

use hyper::Method;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::support::gist_server::{Fault, GistServer, RetryAfter};
use crate::support::world::World;
use crate::support::world::{database, later};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A world with three events, after a first flush that got this answer.
fn after(fault: Fault) -> (GistServer, World, Value) {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(3);
    server.plan(fault);
    let report = world.flush([]);
    (server, world, report)
}

fn wait_of(report: &Value) -> TimeDelta {
    let until: DateTime<Utc> = report["next_attempt_at"]
        .as_str()
        .and_then(|at| at.parse().ok())
        .unwrap_or_else(|| panic!("no time: {report}"));
    until - Utc::now()
}

#[test]
fn a_server_that_limits_us_without_a_time_is_not_contacted_for_a_minute() {
    for fault in [
        Fault::secondary_limit(RetryAfter::Absent),
        Fault::too_many_requests(RetryAfter::Absent),
    ] {
        let (server, world, _) = after(fault);
        server.recover();
        let before = server.connections();
        later(&world, seconds(50));
        for args in [&["--now"][..], &[]] {
            let report = world.flush(args.iter().copied());
            assert_eq!(report["outcome"], "waiting", "{report}");
            assert_eq!(report["remaining"], 3);
        }
        assert_eq!(server.connections(), before);
        later(&world, seconds(15));
        assert_eq!(world.flush([])["sent"], 3);
    }
}

#[test]
fn a_wait_that_the_server_asks_for_is_respected_to_the_second() {
    for (fault, stated) in [
        (Fault::too_many_requests(RetryAfter::Seconds(300)), 300),
        (Fault::secondary_limit(RetryAfter::Date(seconds(600))), 600),
        (Fault::rate_limited(seconds(1800)), 1800),
        (
            Fault::server_error(503, false).with_pause(RetryAfter::Seconds(200)),
            200,
        ),
    ] {
        let (server, world, report) = after(fault);
        let wait = wait_of(&report);
        assert!(wait <= TimeDelta::seconds(stated + 1), "{report}");
        let status = world.status();
        assert_eq!(status["next_attempt_at"], report["next_attempt_at"]);
        assert_eq!(status["last_flush"]["outcome"], "waiting", "{status}");
        // First all of the wait except the time that this test may take, then all of it.
        later(&world, seconds(stated.unsigned_abs() - 100));
        let before = server.connections();
        assert_eq!(world.flush(["--now"])["outcome"], "waiting");
        assert_eq!(server.connections(), before);
        later(&world, seconds(102));
        server.recover();
        assert_eq!(world.flush([])["sent"], 3);
    }
}

#[test]
fn no_command_makes_a_request_during_a_wait_not_even_connect_or_forget() {
    let (server, world, _) = after(Fault::CutAfterCommit);
    world.record();
    server.plan(Fault::too_many_requests(RetryAfter::Seconds(3600)));
    assert_eq!(world.flush(["--now"])["outcome"], "waiting");
    let before = server.connections();
    let ran = world.run(["connect", "gist", server.gist_id()]).exits(75);
    assert!(ran.stderr.contains("asked us to wait"), "{ran}");
    let report = world.run(["forget", "--yes", "--json"]).exits(75).json();
    assert_eq!(report["remote_left"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.connections(), before);
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[test]
fn a_rate_limit_that_connect_gets_applies_to_the_next_flush() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(1);
    server.plan_on(
        Method::GET,
        Fault::too_many_requests(RetryAfter::Seconds(3600)),
    );
    world.run(["connect", "gist", server.gist_id()]).exits(75);
    assert_eq!(world.flush(["--now"])["outcome"], "waiting");
    world.run(["connect", "gist", server.gist_id()]).exits(75);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[test]
fn our_own_backoff_outlives_the_process_and_now_ignores_it() {
    let (server, world, mut report) = after(Fault::server_error(502, false));
    server.set_spacing_check(false);
    // With full jitter a backoff can be short, but sooner or later one is not.
    while wait_of(&report) < TimeDelta::seconds(30) {
        server.plan(Fault::server_error(502, false));
        later(&world, seconds(2));
        report = world.flush(["--now"]);
        assert_eq!(report["outcome"], "failed", "{report}");
    }
    let before = server.connections();
    let waiting = world.flush([]);
    assert_eq!(waiting["outcome"], "backoff", "{waiting}");
    assert_eq!(waiting["next_attempt_at"], report["next_attempt_at"]);
    assert_eq!(world.status()["next_attempt_at"], report["next_attempt_at"]);
    world.run(["flush", "--strict"]).exits(75);
    assert_eq!(server.connections(), before);
    assert_eq!(world.flush(["--now"])["sent"], 3);
    assert_eq!(world.status()["next_attempt_at"], Value::Null);
}

#[test]
fn a_backoff_ends_by_itself() {
    let (_server, world, _) = after(Fault::CutBeforeCommit);
    later(&world, seconds(61));
    assert_eq!(world.flush([])["sent"], 3);
}

#[test]
fn a_refused_token_is_not_tried_again_at_once_and_status_says_what_to_do() {
    for (fault, words) in [
        (Fault::unauthorized(), "the token is not valid"),
        (Fault::forbidden(), "the token may not write this Gist"),
        (Fault::not_found(), "the Gist does not exist"),
        (Fault::gone(), "the Gist does not exist"),
    ] {
        let (server, world, report) = after(fault);
        assert_eq!(report["outcome"], "paused", "{report}");
        assert_eq!(world.count("pending"), 3);
        let before = server.connections();
        for _ in 0..3 {
            assert_eq!(world.flush([])["outcome"], "paused");
        }
        world.run(["flush", "--strict"]).exits(78);
        assert_eq!(server.connections(), before);
        let status = world.status();
        assert_eq!(status["can_leave"], false, "{status}");
        let obstacle = status["obstacle"].as_str().expect("a text");
        assert!(obstacle.contains(words), "{obstacle}");
        assert!(obstacle.contains("flush --now"), "{obstacle}");
        let text = world.run(["status"]).ok().stdout;
        assert!(
            text.contains(words)
                && text.contains("in 23 h") | text.contains("in 24 h") | text.contains("in 1 d"),
            "{text}"
        );
        assert_eq!(world.flush(["--now"])["sent"], 3);
        assert_eq!(world.status()["can_leave"], true);
    }
}

#[test]
fn a_pause_ends_after_a_day_or_with_another_token() {
    let (server, world, _) = after(Fault::not_found());
    later(&world, DAY - seconds(60));
    assert_eq!(world.flush([])["outcome"], "paused");
    later(&world, seconds(61));
    assert_eq!(world.flush([])["sent"], 3);
    drop(server);

    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_old");
    world.record_many(3);
    assert_eq!(world.flush([])["outcome"], "paused");
    assert_eq!(world.flush([])["outcome"], "paused");
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", server.token());
    assert_eq!(world.status()["can_leave"], true);
    assert_eq!(world.flush([])["sent"], 3);
}

#[test]
fn the_list_shows_how_often_an_event_was_tried_and_why_it_failed() {
    for (fault, state, words) in [
        (Fault::unauthorized(), "pending", "HTTP 401"),
        (Fault::server_error(502, true), "sending", "HTTP 502"),
        (Fault::CaptivePortal, "sending", "login page"),
        (Fault::CutAfterCommit, "sending", "network: "),
    ] {
        let (_server, world, report) = after(fault);
        assert!(
            report["error"].as_str().is_some_and(|e| e.contains(words)),
            "{report}"
        );
        for row in world.rows() {
            assert_eq!(
                (row["state"].as_str(), row["attempts"].as_u64()),
                (Some(state), Some(1)),
                "{row}"
            );
            assert!(
                row["last_error"]
                    .as_str()
                    .is_some_and(|e| e.contains(words)),
                "{row}"
            );
        }
        let status = world.status();
        assert!(
            status["last_flush"]["error"]
                .as_str()
                .is_some_and(|e| e.contains(words)),
            "{status}"
        );
        world.flush(["--now"]);
        for row in world.rows() {
            assert_eq!(
                (row["state"].as_str(), row["attempts"].as_u64()),
                (Some("sent"), Some(2)),
                "{row}"
            );
            assert_eq!(row["last_error"], Value::Null, "{row}");
        }
        let last = world.status()["last_flush"].clone();
        assert_eq!(
            (
                last["outcome"].as_str(),
                last["http_status"].as_u64(),
                last["sent"].as_u64()
            ),
            (Some("sent"), Some(200), Some(3)),
            "{last}"
        );
        assert_eq!(last["error"], Value::Null);
    }
}

#[test]
fn events_that_go_to_another_destination_keep_the_reason_why_they_were_not_sent_before() {
    let (server, world, _) = after(Fault::server_error(502, false));
    std::fs::write(world.out(), "no directory").expect("writes");
    world.flush(["--to", &world.out_target()]);
    drop(server);
    let rows = world.rows();
    let told = |row: &Value| {
        row["last_error"]
            .as_str()
            .is_some_and(|e| e.contains("failed to look into"))
    };
    assert!(rows.iter().all(told), "{rows:#?}");
}

#[test]
fn the_last_hundred_attempts_are_remembered() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(1);
    server.set_refusing(true);
    world.flush([]);
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
                INSERT INTO attempt (at, destination, outcome, events) SELECT i, 'dir:x', 'failed', 0 FROM n";
    database(&world).execute(many, []).expect("inserts");
    world.flush(["--now"]);
    let count: i64 = database(&world)
        .query_row("SELECT count(*) FROM attempt", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(count, 100);
    assert_eq!(world.rows()[0]["attempts"], 2);
    let status = world.status();
    assert_eq!(
        status["attempts"][0],
        status["last_flush"]
            .as_object()
            .map_or(Value::Null, |last| {
                let mut attempt = last.clone();
                attempt.insert(
                    "destination".to_owned(),
                    format!("gist:{}", server.gist_id()).into(),
                );
                attempt.into()
            })
    );
}
