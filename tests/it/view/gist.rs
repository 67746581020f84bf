//! Gists as GitHub serves them, and its refusals.

use hyper::Method;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::numbers;
use crate::support::gist_server::{Fault, GistServer, RetryAfter};
use crate::support::world::World;

fn line(n: usize) -> String {
    format!(
        "{{\"event\":\"x\",\"event_id\":\"{n:032x}\",\"version\":\"{}\"}}\n",
        "1".repeat(200)
    )
}

#[test]
fn a_gist_is_read_without_a_token_and_the_second_time_is_free() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    server.put_file("events-20261122-a.jsonl", &line(1).repeat(2));
    for expected in [200, 304] {
        server.clear_requests();
        let shown = numbers(&world, []);
        assert_eq!(
            (shown["events"].as_u64(), shown["duplicates"].as_u64()),
            (Some(1), Some(1))
        );
        let requests = server.requests();
        assert_eq!(
            requests
                .iter()
                .map(|request| request.status)
                .collect::<Vec<_>>(),
            [Some(expected)]
        );
        assert!(!requests[0].headers.contains_key("authorization"));
    }
    server.put_file("events-20261122-b.jsonl", &line(2));
    assert_eq!(numbers(&world, [])["events"], 2, "what is new is seen");
    world.set("JMO_TELEMETRY_GITHUB_TOKEN", server.token());
    server.clear_requests();
    numbers(&world, ["--from", "gist"]);
    assert!(
        server.requests()[0].headers.contains_key("authorization"),
        "5,000 instead of 60 an hour"
    );
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[test]
fn the_cache_is_private_and_forget_deletes_it() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    server.put_file("events-20261122-a.jsonl", &line(1));
    numbers(&world, []);
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("is there")
            .permissions()
            .mode()
            & 0o777
    };
    let dir = world.file("view-cache");
    assert_eq!(mode(&dir), 0o700);
    let kept: Vec<_> = std::fs::read_dir(&dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(mode(&kept[0]), 0o600);
    let text = std::fs::read_to_string(&kept[0]).expect("text");
    assert!(!text.contains(server.token()));
    for damaged in ["", "garbage", &text[..text.len() / 3]] {
        std::fs::write(&kept[0], damaged).expect("writes");
        assert_eq!(numbers(&world, [])["events"], 1, "{damaged}");
    }
    world.run(["forget", "--yes"]).ok();
    assert!(!dir.exists());
}

#[test]
fn files_that_github_cuts_or_blanks_are_read_from_their_raw_url_without_the_token() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    let large: String = (0..6000).map(line).collect();
    assert!(large.len() > 1_000_000);
    server.put_file("events-20261122-a.jsonl", &large);
    server.put_file("events-20261122-b.jsonl", &line(7000));
    for _ in 0..2 {
        let shown = numbers(&world, []);
        assert_eq!(
            (shown["events"].as_u64(), shown["malformed"].as_u64()),
            (Some(6001), Some(0))
        );
        assert_eq!(shown["incomplete"], false);
    }
    let raw = server
        .requests()
        .into_iter()
        .filter(|request| request.raw)
        .count();
    assert_eq!(raw, 1, "once, then it is kept");
    assert_eq!(
        server.violations(),
        Vec::<String>::new(),
        "no token to the raw host"
    );
}

#[test]
fn missing_parts_are_reported() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    for n in 0..310 {
        server.put_file(&format!("events-20261122-{n:03}.jsonl"), &line(n));
    }
    for _ in 0..2 {
        let ran = world.run(["view", "--json"]).ok();
        assert_eq!(ran.json()["incomplete"], true);
        assert!(
            ran.json()["events"].as_u64().expect("a number") >= 299,
            "{ran}"
        );
        assert!(ran.stderr.contains("more files than GitHub lists"), "{ran}");
    }
    assert!(world.run(["view"]).ok().stdout.contains("incomplete: "));

    let server = GistServer::start();
    let world = World::with_gist(&server);
    // The raw host returns 10 MB of a file, so its last line is cut off.
    let large: String = (0..50_000).map(line).collect();
    server.put_file("events-20261122-a.jsonl", &large);
    let ran = world.run(["view", "--json"]).ok();
    assert_eq!(ran.json()["incomplete"], true, "{ran}");
    assert!(
        ran.stderr
            .contains("failed to read all of events-20261122-a.jsonl"),
        "{ran}"
    );
}

#[test]
fn a_gist_that_can_not_be_read_is_reported_in_one_line_with_what_to_do() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    server.put_file("events-20261122-a.jsonl", &line(1));
    let hour = Duration::from_secs(3600);
    for (fault, code, words) in [
        (Fault::unauthorized(), 78, "the token is not valid"),
        (Fault::forbidden(), 78, "the token may not read this Gist"),
        (Fault::not_found(), 78, "there is no such Gist"),
        (Fault::gone(), 78, "there is no such Gist"),
        (Fault::server_error(502, false), 75, "HTTP 502"),
        (Fault::CutBeforeCommit, 75, "try again"),
        (Fault::HalfBodyAfterCommit, 75, "broke off"),
        (Fault::BrokenJsonAfterCommit, 75, "broke off"),
        (Fault::CaptivePortal, 75, "login page"),
        (Fault::CaptiveJson, 75, "login page"),
        (Fault::OtherGist, 75, "another Gist"),
        (Fault::redirect(302, "http://localhost:1/"), 75, "HTTP 302"),
        (
            Fault::secondary_limit(RetryAfter::Seconds(60)),
            75,
            "try again in ",
        ),
        (Fault::rate_limited(hour), 75, "try again in "),
    ] {
        let what = format!("{fault:?}");
        server.plan_on(Method::GET, fault);
        let ran = world.run(["view", "--json"]).exits(code);
        assert!(ran.stderr.contains(words), "{what}\n{ran}");
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.lines().count()),
            ("", 2),
            "{what}\n{ran}"
        );
        assert!(!ran.stderr.contains(server.token()));
    }
    let nobody = world
        .run(["view", "--from", "gist:0123456789abcdef"])
        .exits(78);
    assert!(
        nobody
            .stderr
            .contains("failed to read gist:0123456789abcdef: HTTP 404"),
        "{nobody}"
    );
    let away = World::with_gist(&server).with("JMO_TELEMETRY_GITHUB_API", "http://127.0.0.1:1");
    away.run(["view"]).exits(75);
    let plain =
        World::with_gist(&server).with("JMO_TELEMETRY_GITHUB_API", "http://example.invalid");
    plain.run(["view"]).exits(78);
}

#[test]
fn no_request_is_made_while_github_asks_to_wait() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(1);
    server.plan_on(Method::GET, Fault::rate_limited(Duration::from_secs(3600)));
    world.flush([]);
    let before = server.connections();
    let ran = world.run(["view"]).exits(75);
    assert!(ran.stderr.contains("try again in"), "{ran}");
    assert_eq!(server.connections(), before);
    assert_eq!(numbers(&world, ["--from", "spool"])["events"], 1);
}

#[test]
fn a_rate_limited_view_makes_flushes_wait_too_if_they_use_the_same_token() {
    for (token, waits) in [(true, true), (false, false)] {
        let server = GistServer::start();
        let mut world = World::with_gist(&server);
        world.record_many(1);
        if !token {
            world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
        }
        server.plan_on(Method::GET, Fault::rate_limited(Duration::from_secs(3600)));
        let ran = world.run(["view"]).exits(75);
        assert_eq!(ran.stderr.contains("instead of 60"), !token, "{ran}");
        world.set("JMO_TELEMETRY_GITHUB_TOKEN", server.token());
        let report = world.flush(["--now"]);
        assert_eq!(report["outcome"] == "waiting", waits, "{report}");
    }
}
