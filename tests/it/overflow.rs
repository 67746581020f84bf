//! `overflow.jsonl`: each event in it is imported once, and no line is lost.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;

use crate::support::tracer::Tracer;
use crate::support::world::{ONE, World};

/// Three events as lines of an overflow file.
fn overflow_lines() -> String {
    let world = World::new();
    world.record_many(3);
    let payloads = world.payloads();
    payloads
        .iter()
        .map(|payload| format!("{payload}\n"))
        .collect()
}

/// A home with these lines in the overflow file and one event in the database.
fn with_overflow(lines: &str) -> World {
    let world = World::new();
    world.run(ONE).ok();
    fs::write(world.file("overflow.jsonl"), lines).expect("writes");
    world
}

#[test]
fn the_overflow_is_imported_once_wherever_the_import_is_killed() {
    let lines = overflow_lines();
    let mut n = 0;
    loop {
        let world = with_overflow(&lines);
        let killed = Tracer::new(world.command(["spool", "list"]))
            .kill_at(n)
            .expect("traces")
            .killed();
        world.run(ONE).ok();
        assert_eq!(world.rows().len(), 5, "killed at call {n}");
        assert_eq!(world.event_ids().iter().collect::<BTreeSet<_>>().len(), 5);
        world.check();
        if !killed {
            break;
        }
        n += 1;
    }
}

#[test]
fn a_torn_line_in_the_overflow_costs_no_other_event() {
    let world = with_overflow(&overflow_lines());
    let path = world.file("overflow.jsonl");
    let mut text = String::new();
    File::open(&path)
        .expect("opens")
        .read_to_string(&mut text)
        .expect("reads");
    let torn = format!("{}\n{{\"event\":\"tool.fai", text.trim_end());
    fs::write(&path, torn).expect("writes");
    world.run(ONE).ok();
    assert_eq!(world.rows().len(), 5);
    world.check();
}

#[test]
fn an_event_of_the_overflow_that_the_spool_already_has_is_not_imported_again() {
    let world = World::new();
    world.record_many(3);
    world.flush(["--to", &world.out_target()]);
    world.record_many(3);
    let known: String = world
        .payloads()
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    let new = overflow_lines();
    fs::write(world.file("overflow.jsonl"), format!("{known}{new}{new}")).expect("writes");
    assert_eq!(world.rows().len(), 9);
    world.check();
    world.flush(["--to", &world.out_target()]);
    let lines = world.lines_out();
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), 9);
    assert_eq!(lines.len(), 9);
}

#[test]
fn other_lines_in_the_overflow_are_counted_and_set_aside() {
    let ours = overflow_lines();
    let line = ours.lines().next().expect("a line");
    let foreign = [
        line.replacen("{\"event\":", "{ \"event\":", 1),
        line.replacen("\"event\"", "\"evnt\"", 1),
        "[1,2,3]".to_owned(),
        "no JSON".to_owned(),
    ];
    let world = with_overflow(&format!(
        "{}\n{ours}{{\"event\":\"tool.fai",
        foreign.join("\n")
    ));
    world.run(ONE).ok();
    assert_eq!(world.rows().len(), 5);
    let aside = fs::read_to_string(world.file("overflow.jsonl.corrupt")).expect("is kept");
    for line in &foreign {
        assert!(aside.lines().any(|kept| kept == line), "{line}");
    }
    let check = world.run(["spool", "check"]).exits(74);
    assert!(
        check.stdout.contains("program: 4;") && check.stdout.contains("overflow.jsonl.corrupt"),
        "{check}"
    );
    let status = world.run(["status"]).ok();
    assert!(status.stdout.contains("overflow.jsonl.corrupt"), "{status}");
    assert_eq!(world.stats()["overflow"], 0);
    // The same lines are set aside only once.
    fs::write(world.file("overflow.jsonl"), foreign.join("\n")).expect("writes");
    world.rows();
    let again = fs::read_to_string(world.file("overflow.jsonl.corrupt")).expect("is kept");
    assert_eq!(again, aside);
    // After a purge, unsent events are in no file.
    world.run(["spool", "purge", "--all", "--yes"]).ok();
    assert!(!world.file("overflow.jsonl.corrupt").exists());
    world.check();
}
