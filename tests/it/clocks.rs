//! Wrong clocks: events are still recorded and sent, and none is dropped because of the clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::support::gist_server::{Fault, GistServer};
use crate::support::world::World;

/// A library that shifts the wall clock for one program. It can be preloaded because the tests'
/// build is linked dynamically.
const SHIM: &str = r#"
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += atol(getenv("CLOCK_OFFSET"));
    return result;
}
"#;

const YEAR: i64 = 366 * 86_400;
/// Leads from today to a day in 1966.
const SIXTY_YEARS: i64 = 60 * YEAR;

/// Shifts this world's clock by this many seconds.
fn set_off(world: &mut World, seconds: i64) {
    let library = shim(world);
    world.set("LD_PRELOAD", library.to_str().expect("a path"));
    world.set("CLOCK_OFFSET", &seconds.to_string());
}

fn set_right(world: &mut World) {
    world.unset("LD_PRELOAD");
}

fn shim(world: &World) -> PathBuf {
    let [source, library] = ["clock.c", "clock.so"].map(|name| world.cwd().join(name));
    fs::write(&source, SHIM).expect("writes");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("there is a C compiler, which SQLite needs, too");
    assert!(compiled.success());
    library
}

fn years(world: &World) -> Vec<String> {
    let year = |row: Value| row["payload"]["timestamp"].as_str().expect("a time")[..4].to_owned();
    world.rows().into_iter().map(year).collect()
}

#[test]
fn before_1970_everything_works_and_what_was_recorded_then_is_sent() {
    let mut world = World::new();
    set_off(&mut world, -SIXTY_YEARS);
    world.record();
    assert_eq!(years(&world), ["1970"]);
    for args in [
        &["status"][..],
        &["spool", "list"],
        &["spool", "prune"],
        &["banner"],
        &["view"],
    ] {
        world.run(args).ok();
    }
    assert_eq!(world.flush(["--to", &world.out_target()])["sent"], 1);
    world.record();
    set_right(&mut world);
    world.record();
    assert_eq!(world.flush(["--to", &world.out_target()])["sent"], 2);
    let mut lines = world.lines_out();
    lines.sort();
    let mut payloads = world.payloads();
    payloads.sort();
    assert_eq!(lines, payloads);
    world.check();
}

#[test]
fn a_clock_a_year_ahead_drops_no_waiting_events_and_delays_nothing_afterwards() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    world.record_many(3);
    set_off(&mut world, YEAR);
    // The upload fails, and every command that applies retention is run.
    server.plan(Fault::server_error(503, false));
    assert_eq!(world.flush([])["outcome"], "failed");
    world.record();
    world.run(["spool", "prune"]).ok();
    world.run(["status"]).ok();
    assert_eq!(world.count("pending") + world.count("sending"), 4);
    set_right(&mut world);
    world.run(["spool", "prune"]).ok();
    world.check();
    // The wait that was stored then is counted from now.
    let next = world.flush([])["next_attempt_at"].clone();
    if let Some(next) = next.as_str() {
        let next: DateTime<Utc> = next.parse().expect("a time");
        assert!(next < Utc::now() + TimeDelta::days(1), "{next}");
    }
    server.set_spacing_check(false);
    world.flush(["--now"]);
    assert_eq!(world.count("sent"), 4);
    assert_eq!(server.event_ids_across_files(), world.event_ids());
}
