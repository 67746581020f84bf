//! A table of network failures. After each of them, a healthy server has every event exactly once,
//! nothing was printed, no server was contacted too early, and no secret was revealed.

mod collector;

use std::time::Duration;

use crate::support::cases::all_of;
use crate::support::gist_server::{Fault, GistServer, Identical, RetryAfter};
use crate::support::world::World;
use crate::support::world::later;

const HOUR: Duration = Duration::from_secs(3600);
const LONG: Duration = Duration::from_secs(300);

/// In a redirect, stands for the Gist's own URL.
pub(crate) const SELF: &str = "self";

/// What goes wrong during one flush.
pub(crate) enum Trouble {
    /// These faults, one request after the other.
    Requests(Vec<Fault>),
    /// This fault for every request.
    Always(Fault),
    /// Connections are closed at once.
    Refusing,
    /// The environment of the flush is changed.
    Environment(Vec<(&'static str, String)>),
}

/// How the flush ends, with `--strict`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    /// Everything was sent anyway.
    Overcome,
    /// It will be tried again later.
    Later,
    /// The same, but not before a time that the server gave.
    Asked,
    /// The user must do something.
    Paused,
}

impl End {
    /// The exit code of `flush --strict`.
    fn code(self) -> i32 {
        match self {
            Self::Overcome => 0,
            Self::Later | Self::Asked => 75,
            Self::Paused => 78,
        }
    }
}

pub(crate) struct Case {
    name: &'static str,
    trouble: Trouble,
    end: End,
    /// The client gives up before the answer arrives.
    hurried: bool,
    /// There was a successful flush before.
    warm: bool,
}

pub(crate) fn case(name: &'static str, trouble: Trouble, end: End) -> Case {
    Case {
        name,
        trouble,
        end,
        hurried: false,
        warm: false,
    }
}

pub(crate) fn one(name: &'static str, fault: Fault, end: End) -> Case {
    case(name, Trouble::Requests(vec![fault]), end)
}

impl Case {
    pub(crate) fn hurried(self) -> Self {
        Self {
            hurried: true,
            ..self
        }
    }

    pub(crate) fn warm(self) -> Self {
        Self { warm: true, ..self }
    }
}

/// Runs into one failure and recovers from it.
fn survive(case: Case) {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    // The server notices late that a client has hung up, and a redirect is followed without a pause.
    server.set_spacing_check(!case.hurried && !case.name.contains("the same host"));
    if case.name.contains("identical content gets 409") {
        server.set_identical_patch(Identical::Conflict409);
    }
    if case.warm {
        world.record_many(2);
        world.flush([]);
    }
    world.record_many(4);

    let mut environment = Vec::new();
    match case.trouble {
        Trouble::Requests(faults) => {
            server.plan_many(faults.into_iter().map(|fault| resolved(fault, &server)));
        }
        Trouble::Always(fault) => server.set_always(Some(resolved(fault, &server))),
        Trouble::Refusing => server.set_refusing(true),
        Trouble::Environment(changed) => environment = changed,
    }
    for (name, value) in &environment {
        world.set(name, value);
    }
    let deadline = if case.hurried { "1s" } else { "20s" };
    let ran = world.run(["flush", "--strict", "--deadline", deadline]);
    let ran = ran.exits(case.end.code());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    only_what_is_there_is_sent(&server, &world);
    let waits = 4 - world
        .count("sent")
        .saturating_sub(if case.warm { 2 } else { 0 });
    assert_eq!(waits > 0, case.end != End::Overcome);
    assert_eq!(world.count("held"), 0);
    world.check();

    if case.end == End::Asked {
        no_request_before_the_server_allows_it(&server, &world);
        server.recover();
        // The client believes that a day has passed since its last write.
        server.set_spacing_check(false);
        later(&world, 25 * HOUR);
    }
    for (name, _) in &environment {
        world.unset(name);
    }
    world.set("JMO_TELEMETRY_GITHUB_API", server.api());
    server.recover();
    world.record_many(2);
    let ran = world.run(["flush", "--now"]).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let rows = world.rows();
    assert!(rows.iter().all(|row| row["state"] == "sent"), "{rows:#?}");
    let (mut there, mut recorded) = (server.lines(), world.payloads());
    there.sort();
    recorded.sort();
    assert_eq!(there, recorded);
    assert_eq!(server.violations(), Vec::<String>::new());
    assert!(
        server.requests().iter().all(|request| !request.raw),
        "no other host was asked"
    );
    world.check();
}

fn resolved(fault: Fault, server: &GistServer) -> Fault {
    match fault {
        Fault::Redirect { code, location } if location == SELF => {
            Fault::redirect(code, format!("{}/gists/{}", server.api(), server.gist_id()))
        }
        other => other,
    }
}

fn only_what_is_there_is_sent(server: &GistServer, world: &World) {
    let there = server.event_ids_across_files();
    for row in world.rows().iter().filter(|row| row["state"] == "sent") {
        let id = row["event_id"].as_str().expect("a string");
        assert_eq!(
            there.iter().filter(|there| *there == id).count(),
            1,
            "{row}"
        );
    }
}

fn no_request_before_the_server_allows_it(server: &GistServer, world: &World) {
    let before = server.connections();
    for args in [&["--now"][..], &[]] {
        let report = world.flush(args.iter().copied());
        assert_eq!(report["outcome"], "waiting", "{report}");
        assert!(report["next_attempt_at"].is_string(), "{report}");
    }
    world.run(["flush", "--now", "--strict"]).exits(75);
    assert_eq!(server.connections(), before);
}

pub(crate) fn run(cases: Vec<Case>) {
    all_of(cases, |case| case.name.to_owned(), survive);
}

#[test]
fn lost_and_broken_answers_lose_nothing_and_duplicate_nothing() {
    use End::{Later, Overcome};
    use Fault as F;
    let empty = |status, commit| F::EmptyBody(status, commit);
    run(vec![
        one("cut before the commit", F::CutBeforeCommit, Later),
        one("cut after the commit", F::CutAfterCommit, Later),
        one("cut after the commit, again", F::CutAfterCommit, Later).warm(),
        one("reset before the commit", F::ResetBeforeCommit, Later),
        one("reset after the commit", F::ResetAfterCommit, Later),
        one(
            "silence before the commit",
            F::StallBeforeCommit(LONG),
            Later,
        )
        .hurried(),
        one("silence after the commit", F::StallAfterCommit(LONG), Later).hurried(),
        one("half a body", F::HalfBodyAfterCommit, Later),
        one("half a body, again", F::HalfBodyAfterCommit, Later).warm(),
        one("broken JSON", F::BrokenJsonAfterCommit, Later),
        one("200 and nothing, not written", empty(200, false), Later),
        one("200 and nothing, written", empty(200, true), Later),
        one("201 and nothing", empty(201, false), Later),
        one("204, written", empty(204, true), Later),
        one("202, not written", F::refusal(202, "Accepted"), Later),
        one("304", empty(304, false), Later).warm(),
        one("a hotel's login page", F::CaptivePortal, Later),
        one("a proxy's JSON", F::CaptiveJson, Later),
        case(
            "a login page for everything",
            Trouble::Always(F::CaptivePortal),
            Later,
        )
        .warm(),
        one("another Gist's answer", F::OtherGist, Later),
        one("another size", F::WrongSize, Later),
        one("without our file", F::MissingFile, Later),
        one("without our file, again", F::MissingFile, Later).warm(),
        one("slow", F::SlowAnswer(Duration::from_millis(300)), Overcome),
        one("slower than our time", F::SlowAnswer(LONG), Later).hurried(),
        one("huge headers", F::HugeHeaders, Later),
    ]);
}

#[test]
fn each_status_is_survived_and_every_wait_is_respected() {
    use End::{Asked, Later, Overcome, Paused};
    use Fault as F;
    use RetryAfter::{Absent, Date, Seconds};
    let later = |code| one("not known", F::refusal(code, "No"), Later);
    let named = |name, case: Case| Case { name, ..case };
    run(vec![
        one("401", F::unauthorized(), Paused),
        one("403", F::forbidden(), Paused),
        one("404", F::not_found(), Paused),
        one("404, again", F::not_found(), Paused).warm(),
        one("410", F::gone(), Paused),
        one("403 over the limit", F::rate_limited(HOUR), Asked),
        one(
            "403 secondary, seconds",
            F::secondary_limit(Seconds(90)),
            Asked,
        ),
        one("403 secondary, date", F::secondary_limit(Date(HOUR)), Asked),
        one("403 secondary, nothing", F::secondary_limit(Absent), Asked),
        one(
            "403 with Retry-After alone",
            F::forbidden().with_pause(Seconds(900)),
            Asked,
        ),
        one("429, seconds", F::too_many_requests(Seconds(90)), Asked),
        one(
            "429, seconds, again",
            F::too_many_requests(Seconds(90)),
            Asked,
        )
        .warm(),
        one("429, date", F::too_many_requests(Date(HOUR)), Asked),
        one("429, nothing", F::too_many_requests(Absent), Asked),
        one(
            "503 with Retry-After",
            F::server_error(503, false).with_pause(Seconds(120)),
            Asked,
        ),
        one(
            "503 with Retry-After, written",
            F::server_error(503, true).with_pause(Seconds(120)),
            Asked,
        ),
        one(
            "401 with Retry-After",
            F::unauthorized().with_pause(Seconds(120)),
            Asked,
        ),
        named(
            "400",
            Case {
                end: Overcome,
                ..later(400)
            },
        ),
        named("402", later(402)),
        named("406", later(406)),
        named("418", later(418)),
        named("451", later(451)),
        named("505", later(505)),
        one("599", F::server_error(599, false), Later),
        one(
            "405, not written",
            F::refusal(405, "Method Not Allowed"),
            Later,
        ),
        one("405, written", F::method_not_allowed_but_committed(), Later),
        one("408", F::request_timeout(), Later),
        one("413 once", F::too_large(), Overcome),
        one("413 with nothing, once", F::EmptyBody(413, false), Overcome).warm(),
        one("422 once", F::unprocessable(), Overcome),
        one("422 once, again", F::unprocessable(), Overcome).warm(),
        one("500", F::server_error(500, false), Later),
        one("500, written", F::server_error(500, true), Later),
        one("500 and nothing, written", F::EmptyBody(500, true), Later),
        one("502", F::server_error(502, false), Later),
        one("502, written", F::server_error(502, true), Later).warm(),
        one("503", F::server_error(503, false), Later),
        one("504, written", F::server_error(504, true), Later),
    ]);
}

#[test]
fn conflicts_are_resolved() {
    use End::{Later, Overcome, Paused};
    use Fault as F;
    let many = |name, faults: Vec<F>, end| case(name, Trouble::Requests(faults), end);
    run(vec![
        one("409, not written", F::conflict(false), Overcome),
        one("409, written", F::conflict(true), Overcome),
        one(
            "409, written; identical content gets 409",
            F::conflict(true),
            Overcome,
        ),
        many(
            "409, then an old read",
            vec![F::conflict(true), F::StaleRead],
            Overcome,
        ),
        many(
            "409, an old read; identical content gets 409",
            vec![F::conflict(true), F::StaleRead, F::StaleRead, F::StaleRead],
            Later,
        )
        .warm(),
        many(
            "409, then 404 for the look",
            vec![F::conflict(true), F::not_found()],
            Paused,
        ),
        many(
            "409, then 422 for the look",
            vec![F::conflict(true), F::unprocessable()],
            Overcome,
        ),
        many(
            "409, then a login page for the look",
            vec![F::conflict(false), F::CaptivePortal],
            Overcome,
        ),
        many(
            "409, then a cut look",
            vec![F::conflict(true), F::CutBeforeCommit],
            Overcome,
        ),
        case("409 for ever", Trouble::Always(F::conflict(false)), Later),
        case(
            "409 for ever, written",
            Trouble::Always(F::conflict(true)),
            Later,
        )
        .warm(),
        one("another writer", F::ConcurrentWriter, Overcome).warm(),
        many("another writer, often", vec![F::ConcurrentWriter; 9], Later),
    ]);
}
