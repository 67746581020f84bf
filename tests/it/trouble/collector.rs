//! The same table of failures for a collector. After each of them the ledger adds up, and every
//! `sent` event is there. Once the collector is healthy again, every event is there once.

use std::time::Duration;

use crate::support::cases::all_of;
use crate::support::collector::{Fault, Proxy};
use crate::support::collector_stand_in::StandIn;
use crate::support::world::World;
use crate::support::world::later;

use super::{End, HOUR};

struct Case {
    fault: Fault,
    end: End,
    /// The fault affects every request, not only the first one.
    always: bool,
    /// The client gives up before the answer arrives.
    hurried: bool,
    /// There was a successful flush before.
    warm: bool,
}

fn one(fault: Fault, end: End) -> Case {
    Case {
        fault,
        end,
        always: false,
        hurried: false,
        warm: false,
    }
}

impl Case {
    fn always(self) -> Self {
        Self {
            always: true,
            ..self
        }
    }

    fn hurried(self) -> Self {
        Self {
            hurried: true,
            ..self
        }
    }

    fn warm(self) -> Self {
        Self { warm: true, ..self }
    }
}

fn name(case: &Case) -> String {
    let Case {
        fault,
        always,
        warm,
        ..
    } = case;
    format!("{fault:?}, always: {always}, warm: {warm}")
}

/// Runs into one failure and recovers from it.
fn survive(case: Case) {
    let collector = StandIn::start();
    let proxy = Proxy::before_port(collector.port());
    let world = World::new();
    world.run(["connect", "collector", &proxy.url()]).ok();
    if case.warm {
        world.record_many(2);
        world.flush([]);
    }
    world.record_many(4);
    if case.always {
        proxy.set_always(Some(case.fault));
    } else {
        proxy.plan([case.fault]);
    }
    let deadline = if case.hurried { "1s" } else { "20s" };
    let ran = world
        .run(["flush", "--strict", "--deadline", deadline])
        .exits(case.end.code());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    only_what_is_there_is_sent(&collector, &world);
    assert_eq!(world.count("held"), 0);
    world.check();

    if case.end == End::Asked {
        let before = proxy.seen().len();
        assert_eq!(world.flush(["--now"])["outcome"], "waiting");
        assert_eq!(proxy.seen().len(), before);
        later(&world, 25 * HOUR);
    }
    proxy.set_always(None);
    world.record_many(2);
    world.flush(["--now"]);
    let rows = world.rows();
    assert!(rows.iter().all(|row| row["state"] == "sent"), "{rows:#?}");
    assert_eq!(collector.lines(), sorted(world.payloads()));
    world.check();
}

/// Sorts lines by event id, as a collector returns them.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["event_id"].as_str().expect("a string").to_owned()
    });
    lines
}

fn only_what_is_there_is_sent(collector: &StandIn, world: &World) {
    let there = collector.event_ids();
    for row in world.rows().iter().filter(|row| row["state"] == "sent") {
        let id = row["event_id"].as_str().expect("a string");
        assert!(there.iter().any(|there| there == id), "{row}");
    }
}

#[test]
fn lost_and_broken_answers_of_a_collector_lose_nothing_and_duplicate_nothing() {
    use End::Later;
    use Fault as F;
    let cases = vec![
        one(F::CutBeforeCommit, Later),
        one(F::CutAfterCommit, Later),
        one(F::CutAfterCommit, Later).warm(),
        one(F::CutAfterCommit, Later).always(),
        one(F::ResetBeforeCommit, Later),
        one(F::ResetAfterCommit, Later),
        one(F::Silence { done: false }, Later).hurried(),
        one(F::Silence { done: true }, Later).hurried(),
        one(F::HalfAnswer, Later),
        one(F::HalfAnswer, Later).warm(),
        one(F::BrokenJson, Later),
        one(F::Portal, Later),
        one(F::Portal, Later).always().warm(),
        one(F::WrongHash, Later),
        one(F::AnotherBatch, Later),
        one(F::WrongCount, Later),
        one(F::NoSuchLine, Later),
        one(F::StatusAfterCommit(200), Later),
        one(F::StatusAfterCommit(204), Later),
        one(F::StatusAfterCommit(304), Later).warm(),
        one(F::StatusAfterCommit(405), Later),
        one(F::StatusAfterCommit(500), Later),
        one(F::StatusAfterCommit(502), Later).warm(),
        one(F::StatusAfterCommit(504), Later).always(),
    ];
    all_of(cases, name, survive);
}

#[test]
fn each_status_of_a_collector_is_survived_and_every_wait_is_respected() {
    use End::{Asked, Later, Overcome, Paused};
    let status = |code, end| one(Fault::Status(code, None), end);
    let asked = |code| one(Fault::Status(code, Some(120)), Asked);
    let mut cases = vec![
        asked(401),
        asked(403),
        asked(429),
        asked(429).warm(),
        asked(503),
        asked(503).always(),
        status(429, Asked),
        status(409, Overcome),
        status(409, Later).always(),
        status(404, Paused).warm(),
        status(410, Paused).always(),
    ];
    cases.extend([401, 403, 404, 410].map(|code| status(code, Paused)));
    cases.extend(
        [
            202, 204, 402, 405, 406, 408, 418, 451, 500, 502, 503, 504, 505, 599,
        ]
        .map(|code| status(code, Later)),
    );
    // Content that is rejected for its size or form is tried in smaller parts.
    cases.extend([400, 413, 415, 422].map(|code| status(code, Overcome)));
    // If everything is rejected, no single event is to blame, and nothing is held.
    cases.extend([400, 413, 415, 422].map(|code| status(code, Later).always()));
    cases.extend([413, 422].map(|code| status(code, Later).always().warm()));
    all_of(cases, name, survive);
}

#[test]
fn a_collector_that_rejects_everything_rejects_no_single_event() {
    let collector = StandIn::start();
    let proxy = Proxy::before_port(collector.port());
    let world = World::new();
    world.run(["connect", "collector", &proxy.url()]).ok();
    world.record();
    proxy.set_always(Some(Fault::Status(413, None)));
    world.run(["flush", "--strict"]).exits(75);
    assert_eq!((world.count("held"), world.count("sent")), (0, 0));
    world.check();
    proxy.set_always(None);
    later(&world, Duration::from_secs(2));
    assert_eq!(world.flush(["--now"])["sent"], 1);
    assert_eq!(collector.lines(), world.payloads());
    world.check();
}

#[test]
fn an_event_that_a_collector_rejects_by_its_batch_is_held_and_the_flush_goes_on() {
    let collector = StandIn::start();
    let world = World::new();
    world.run(["connect", "collector", &collector.url()]).ok();
    collector.refuse_content_containing("scan.started");
    world.record_many(1);
    world.record();
    let report = world.flush(["--strict"]);
    assert_eq!(
        (&report["outcome"], &report["sent"]),
        (&"sent".into(), &1.into()),
        "{report}"
    );
    assert_eq!((world.count("held"), world.count("sent")), (1, 1));
    world.check();
    // A collector has no files, so there is nothing to delete.
    world.record();
    assert_eq!(world.flush(["--strict"])["requests"], 1);
    assert_eq!(collector.event_ids().len(), 2);
    world.check();
}
