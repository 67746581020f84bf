//! The program together with the real collector: everything that is sent is there exactly once, and
//! is reported so.

mod many;
mod page;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::collector::{Collector, Fault, Proxy, TOKEN, header};
use crate::support::world::World;

/// A world that is connected to this address.
pub(crate) fn connected(url: &str) -> World {
    let world = World::new();
    world.run(["connect", "collector", url]).ok();
    world
}

/// Checks that the service has exactly these lines and that its counters agree.
pub(crate) fn holds(collector: &Collector, recorded: &[String]) {
    let there = collector.lines();
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&there), sorted(recorded));
    let stats = collector.stats();
    assert_eq!(stats["events"], json!(recorded.len()));
    let counted = |name: &str| -> u64 {
        let counts = stats[name].as_object().expect("counts");
        counts.values().filter_map(Value::as_u64).sum()
    };
    assert_eq!(counted("by_event"), recorded.len() as u64);
    assert_eq!(counted("per_day"), recorded.len() as u64);
    let ids: BTreeSet<_> = there
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["anonymous_id"].to_string())
        .collect();
    assert_eq!(stats["unique_ids"], json!(ids.len()));
}

#[test]
fn what_is_recorded_is_at_the_collector_byte_for_byte() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let world = connected(&collector.url());
    world.record_many(12);
    let report = world.flush([]);
    assert_eq!(report["outcome"], "sent");
    assert_eq!(
        (&report["sent"], &report["requests"]),
        (&json!(12), &json!(1))
    );
    holds(&collector, &world.payloads());
    assert_eq!(world.count("sent"), 12);
    assert_eq!(world.status()["can_leave"], true);
    assert_eq!(world.status()["destination"], json!(collector.url()));
    world.check();
}

#[test]
fn ten_thousand_events_take_at_most_25_requests() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let world = connected(&collector.url());
    world.record_many(10_000);
    let report = world.flush(["--deadline", "120s"]);
    assert_eq!(report["sent"], json!(10_000));
    assert!(
        report["requests"].as_u64().is_some_and(|n| n <= 25),
        "{report}"
    );
    assert_eq!(collector.stats()["events"], json!(10_000));
    world.check();
}

#[test]
fn a_request_has_only_the_headers_that_are_documented() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let proxy = Proxy::before(&collector);
    let world = connected(&proxy.url()).with("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_secret");
    world.record_many(3);
    let name = world.flush([])["segments"][0]["name"].to_string();
    let seen = proxy.seen();
    let sent = seen.last().expect("a request");
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("POST", "/v1/events")
    );
    let names: BTreeSet<_> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
    let documented = [
        "accept",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "user-agent",
    ];
    assert_eq!(names, BTreeSet::from(documented));
    assert_eq!(header(sent, "content-type"), "application/x-ndjson");
    assert_eq!(header(sent, "content-encoding"), "gzip");
    assert_eq!(
        header(sent, "user-agent"),
        concat!("jmo-telemetry/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        format!("\"{}.jsonl\"", header(sent, "idempotency-key")),
        name
    );
    assert!(!format!("{seen:?}").contains("ghp_secret"));
}

/// Whatever goes wrong with a request, a repeat sends the same bytes, and every event is there once.
#[test]
fn no_network_failure_loses_or_duplicates_an_event() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let mut all = Vec::new();
    for fault in [
        Fault::CutBeforeCommit,
        Fault::CutAfterCommit,
        Fault::ResetAfterCommit,
        Fault::HalfAnswer,
        Fault::Portal,
        Fault::Status(500, None),
        Fault::Status(408, None),
        Fault::StatusAfterCommit(502),
        Fault::StatusAfterCommit(204),
        Fault::WrongHash,
        Fault::AnotherBatch,
        Fault::WrongCount,
        Fault::NoSuchLine,
    ] {
        let proxy = Proxy::before(&collector);
        let world = connected(&proxy.url());
        world.record_many(5);
        proxy.plan([fault]);
        world.run(["flush", "--strict"]).exits(75);
        assert_eq!(world.count("sending"), 5, "{fault:?}");
        world.check();
        // New events go into another segment: a segment that was sent does not grow.
        world.record_many(2);
        assert_eq!(world.flush(["--now"])["outcome"], "sent", "{fault:?}");
        assert_eq!(world.count("sent"), 7, "{fault:?}");
        let posts: Vec<_> = proxy
            .seen()
            .into_iter()
            .filter(|seen| seen.method == "POST")
            .collect();
        assert_eq!(posts.len(), 3, "{fault:?}");
        assert_eq!(posts[0].body, posts[1].body, "{fault:?}");
        assert_eq!(
            header(&posts[0], "idempotency-key"),
            header(&posts[1], "idempotency-key")
        );
        world.check();
        all.extend(world.payloads());
    }
    holds(&collector, &all);
}

#[test]
fn a_wait_that_the_collector_asks_for_is_respected_even_with_now() {
    let Some(collector) = Collector::start() else {
        return;
    };
    for status in [429, 503] {
        let proxy = Proxy::before(&collector);
        let world = connected(&proxy.url());
        world.record_many(3);
        proxy.plan([Fault::Status(status, Some(120))]);
        assert_eq!(world.flush([])["outcome"], "waiting");
        let asked = proxy.seen().len();
        assert_eq!(world.flush(["--now"])["outcome"], "waiting");
        assert_eq!(proxy.seen().len(), asked);
        assert_eq!(world.count("held"), 0);
        world.check();
    }
}

#[test]
fn a_rejected_line_is_held_with_its_reason_and_the_others_are_sent() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let proxy = Proxy::before(&collector);
    let world = connected(&proxy.url());
    world.record_many(5);
    proxy.plan([Fault::RejectsTheSecondLine]);
    let report = world.flush([]);
    assert_eq!(
        (&report["outcome"], &report["sent"], &report["held"]),
        (&json!("sent"), &json!(4), &json!(1))
    );
    let states: Vec<_> = world
        .rows()
        .iter()
        .map(|row| row["state"].clone())
        .collect();
    assert_eq!(states, ["sent", "held", "sent", "sent", "sent"]);
    assert_eq!(world.rows()[1]["last_error"], "rejected: schema");
    world.check();
    assert_eq!(world.flush([])["requests"], json!(0));
    // The user can retry it, and then it gets an answer of its own.
    world.run(["spool", "retry", "ALL"]).ok();
    world.flush([]);
    assert_eq!(world.count("sent"), 5);
    holds(&collector, &world.payloads());
    world.check();
}

#[test]
fn lines_that_a_collector_rejects_all_at_once_are_held_and_nothing_else_happens() {
    // For this collector, everything that was recorded before now is too old.
    let Some(collector) = Collector::start_with(&["RETENTION_DAYS=0"]) else {
        return;
    };
    let world = connected(&collector.url());
    world.record_many(3);
    let report = world.flush([]);
    assert_eq!(
        (&report["sent"], &report["requests"]),
        (&json!(0), &json!(1))
    );
    for row in world.rows() {
        assert_eq!(
            (&row["state"], &row["last_error"]),
            (&json!("held"), &json!("rejected: too_old"))
        );
    }
    assert_eq!(collector.stats()["events"], json!(0));
    world.check();
}

#[test]
fn a_closed_collector_is_not_tried_for_a_week_and_status_says_so() {
    let Some(collector) = Collector::start_with(&["CLOSED=1"]) else {
        return;
    };
    let world = connected(&collector.url());
    world.record_many(3);
    world.run(["flush", "--strict"]).exits(78);
    let status = world.status();
    assert_eq!(status["can_leave"], false);
    assert!(
        status["obstacle"]
            .as_str()
            .is_some_and(|why| why.contains("closed")),
        "{status}"
    );
    assert_eq!(world.count("pending"), 3);
    assert_eq!(world.flush([])["requests"], json!(0));
    crate::support::world::later(&world, std::time::Duration::from_secs(6 * 86_400));
    assert_eq!(world.flush([])["requests"], json!(0));
    assert_eq!(world.flush(["--now"])["requests"], json!(1));
    crate::support::world::later(&world, std::time::Duration::from_secs(8 * 86_400));
    assert_eq!(world.flush([])["requests"], json!(1));
    world.check();
}

#[test]
fn an_endpoint_that_the_user_did_not_choose_waits_for_the_notice() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let proxy = Proxy::before(&collector);
    let mut world = World::new().with("JMO_TELEMETRY_ENDPOINT", &proxy.url());
    world.record_many(3);
    for command in [
        &["flush"][..],
        &["status"],
        &["banner", "--json"],
        &["view"],
    ] {
        world.run(command).ok();
    }
    let status = world.status();
    assert_eq!(
        (&status["can_leave"], proxy.seen().len()),
        (&json!(false), 0)
    );
    assert!(
        status["obstacle"]
            .as_str()
            .is_some_and(|why| why.contains("notice")),
        "{status}"
    );

    // While telemetry is disabled, no notice is shown, so nothing changes.
    world.set("JMO_TELEMETRY_DISABLE", "1");
    world.run(["banner"]).ok();
    world.unset("JMO_TELEMETRY_DISABLE");
    assert_eq!(world.status()["can_leave"], false);

    let banner = world.run(["banner"]).ok();
    assert!(
        banner
            .stderr
            .contains(&format!("uploaded to {}", proxy.url())),
        "{banner}"
    );
    assert!(world.file("notice-shown").exists());
    assert_eq!(world.status()["can_leave"], true);
    assert_eq!(world.flush([])["sent"], json!(3));
    holds(&collector, &world.payloads());

    // A notice that the wizard showed counts, and so does the user's own choice of the destination.
    let world = World::new().with("JMO_TELEMETRY_ENDPOINT", &collector.url());
    let shown = world
        .command(["banner"])
        .env("JMO_TELEMETRY_SHOWN", "1")
        .status();
    assert!(shown.expect("it runs").success());
    assert_eq!(world.status()["can_leave"], true);
    assert_eq!(connected(&collector.url()).status()["can_leave"], true);
}

#[test]
fn forget_deletes_at_the_collector_what_this_machine_sent_and_nothing_else() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let (world, other) = (connected(&collector.url()), connected(&collector.url()));
    world.record_many(4);
    world.flush([]);
    // An earlier id belongs to this machine, too.
    world.run(["id", "--reset"]).ok();
    world.record_many(3);
    world.flush([]);
    other.record_many(2);
    other.flush([]);
    assert_eq!(collector.lines().len(), 9);
    world.run(["forget", "--yes"]).ok();
    assert_eq!(
        collector.lines().into_iter().collect::<BTreeSet<_>>(),
        other.payloads().into_iter().collect()
    );
    assert_eq!(collector.stats()["unique_ids"], json!(1));
    assert_eq!(world.rows(), Vec::<Value>::new());
}

#[test]
fn view_reads_a_collector_page_by_page_and_a_second_time_from_its_cache() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let sender = connected(&collector.url());
    sender.record_many(2_300);
    sender.flush(["--deadline", "60s"]);
    let proxy = Proxy::before(&collector);
    let url = proxy.url();
    let maintainer = World::new().with("JMO_TELEMETRY_COLLECTOR_TOKEN", TOKEN);
    let view = |args: &[&str]| {
        let args = ["view", "--from", &url]
            .into_iter()
            .chain(args.iter().copied());
        maintainer.run(args).ok()
    };
    let summary = view(&["--json"]).json();
    let mut stats = collector.stats();
    // The service only returns days.
    for name in ["first", "last"] {
        let day = |value: &Value| value.as_str().expect("a time")[..10].to_owned();
        assert_eq!(day(&summary[name]), day(&stats[name]));
        stats[name] = summary[name].clone();
    }
    assert_eq!(summary, stats);
    let statuses = || {
        proxy
            .seen()
            .iter()
            .map(|seen| seen.status)
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(), [Some(200); 3]);
    let raw = view(&["--raw"]).stdout;
    assert_eq!(raw.lines().collect::<Vec<_>>(), collector.lines());
    assert_eq!(statuses()[3..], [Some(304); 3]);

    // Without the token, or with a wrong one, the error says what to do.
    for world in [
        World::new(),
        World::new().with("JMO_TELEMETRY_COLLECTOR_TOKEN", "wrong"),
    ] {
        let ran = world.run(["view", "--from", &url]).exits(78);
        assert!(
            ran.stderr.contains("JMO_TELEMETRY_COLLECTOR_TOKEN"),
            "{ran}"
        );
        assert!(!ran.stderr.contains("wrong"), "{ran}");
    }
}

#[test]
fn the_maintainers_token_goes_to_no_address_that_a_file_names() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let proxy = Proxy::before(&collector);
    let world = connected(&proxy.url()).with("JMO_TELEMETRY_COLLECTOR_TOKEN", TOKEN);
    world.record_many(1);
    world.flush([]);
    // Instead, the local spool is shown.
    assert_eq!(
        world.run(["view", "--json"]).ok().json()["events"],
        json!(1)
    );
    assert!(!format!("{:?}", proxy.seen()).contains(TOKEN));
}
