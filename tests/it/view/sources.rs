//! Sources of `view`: directories, stdin, and selection by date.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{dir_of, numbers};
use crate::support::world::World;

fn at(time: &str) -> String {
    format!("{{\"event\":\"x\",\"timestamp\":\"{time}\"}}\n")
}

#[test]
fn anything_but_files_in_a_directory_is_skipped_and_reported() {
    let world = World::new();
    let dir = dir_of(&world, "{\"event\":\"x\"}\n");
    let out = world.out();
    symlink("nowhere", out.join("dangling.jsonl")).expect("a link");
    symlink("/dev/zero", out.join("device.jsonl")).expect("a link");
    symlink("events.jsonl", out.join("link.jsonl")).expect("a link");
    mkfifo(&out.join("fifo.jsonl"), Mode::from_bits_truncate(0o600)).expect("a FIFO");
    fs::create_dir(out.join("dir.jsonl")).expect("a directory");
    let _socket = UnixListener::bind(out.join("socket.jsonl")).expect("a socket");
    let ran = world.run(["view", "--json", "--from", &dir]).ok();
    assert_eq!(ran.json()["events"], 2, "a link to a file is a file: {ran}");
    assert_eq!(ran.json()["incomplete"], true, "{ran}");
    for said in [
        "incomplete: failed to read `dangling.jsonl`",
        "note: skipped `device.jsonl`",
        "note: skipped `dir.jsonl`",
        "note: skipped `fifo.jsonl`",
        "note: skipped `socket.jsonl`",
    ] {
        assert!(ran.stderr.contains(said), "{said}\n{ran}");
    }
}

#[test]
fn a_directory_of_nothing_but_broken_links_says_so_in_few_lines() {
    let world = World::new();
    fs::create_dir_all(world.out()).expect("a directory");
    for n in 0..500 {
        symlink("nowhere", world.out().join(format!("{n}.jsonl"))).expect("a link");
    }
    let ran = world
        .run(["view", "--json", "--from", &world.out_target()])
        .ok();
    assert_eq!(ran.json()["events"], 0);
    assert!(ran.stderr.lines().count() < 30, "{ran}");
    assert!(ran.stderr.contains("480 more notes"), "{ran}");
}

#[test]
fn stdin_is_a_source_and_stdout_takes_every_form() {
    let world = World::new();
    let lines = at("2026-11-01T10:00:00Z").repeat(3);
    let run = |args: &[&str]| {
        let args = ["view", "--from", "-"].iter().chain(args);
        world.run_with(args, &lines).ok()
    };
    assert_eq!(run(&["--json"]).json()["events"], 3);
    assert_eq!(run(&["--raw"]).stdout, lines);
    let csv = run(&["--export", "-"]);
    assert_eq!((csv.stdout.lines().count(), csv.stderr.as_str()), (4, ""));
    assert!(csv.stdout.starts_with("event,timestamp,"), "{csv}");
    let html = run(&["--html", "-"]);
    assert!(html.stdout.starts_with("<!doctype html>"), "{html}");
    assert!(html.stdout.ends_with("</html>\n") && html.stderr.is_empty());
    let left = fs::read_dir(world.cwd()).expect("a directory").count();
    assert_eq!(left, 0, "no file called -");
}

#[test]
fn since_and_until_take_days_and_times_and_lengths() {
    let world = World::new();
    let times = [
        "2026-10-31T23:59:59Z",
        "2026-11-01T00:00:00Z",
        "2026-11-02T12:00:00Z",
        "2026-11-03T23:59:59Z",
        "2026-11-04T00:00:00Z",
    ];
    let dir = dir_of(&world, &times.map(at).concat());
    let events = |args: &[&str]| {
        let args = ["--from", &dir].into_iter().chain(args.iter().copied());
        numbers(&world, args)["events"].as_u64().expect("a number")
    };
    assert_eq!(
        events(&["--since", "2026-11-01", "--until", "2026-11-03"]),
        3
    );
    assert_eq!(
        events(&["--since", "2026-11-02", "--until", "2026-11-02"]),
        1
    );
    assert_eq!(events(&["--until", "2026-10-31"]), 1);
    assert_eq!(events(&["--since", "2026-11-02T13:00:00+01:00"]), 3);
    assert_eq!(events(&["--until", "0s"]), 5);
    for wrong in [
        &["--since", "2026-11-04", "--until", "2026-11-01"][..],
        &["--since", "1d", "--until", "30d"],
        &["--since", "2026-02-30"],
        &["--until", "soon"],
    ] {
        world
            .run(["view", "--from", &dir].iter().chain(wrong))
            .exits(2);
    }
}

#[test]
fn a_value_of_an_unexpected_shape_is_not_lost_in_the_csv() {
    let world = World::new();
    let line = r#"{"event":"x","platform":["a"],"metadata":{"profile":{"b":1},"mode":"cli"}}"#;
    let csv = world
        .run_with(["view", "--from", "-", "--export", "-"], line)
        .ok()
        .stdout;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let head = csv.headers().expect("a head").clone();
    assert_eq!(head.iter().next_back(), Some("other"));
    let row = csv.records().next().expect("a row").expect("a row");
    let last = row.iter().next_back().expect("a cell");
    assert_eq!(last, r#"{"platform":["a"],"profile":{"b":1}}"#);
}

#[test]
fn a_link_that_was_planted_next_to_an_export_is_not_followed() {
    let world = World::new();
    let dir = dir_of(&world, "{\"event\":\"x\"}\n");
    let victim = world.cwd().join("victim");
    fs::write(&victim, "precious").expect("a file");
    for (form, file) in [("--export", "a.csv"), ("--html", "a.html")] {
        for planted in [
            format!(".{file}.partial"),
            format!("{file}.tmp"),
            format!("{file}~"),
        ] {
            symlink("victim", world.cwd().join(planted)).expect("a link");
        }
        world.run(["view", "--from", &dir, form, file]).ok();
        assert!(fs::read(world.cwd().join(file)).expect("a file").len() > 10);
        assert_eq!(fs::read_to_string(&victim).expect("text"), "precious");
    }
    // A link that the user names is followed: it stays, and its target is written.
    fs::write(world.cwd().join("target.csv"), "").expect("a file");
    symlink("target.csv", world.cwd().join("link.csv")).expect("a link");
    world
        .run(["view", "--from", &dir, "--export", "link.csv"])
        .ok();
    let link = fs::symlink_metadata(world.cwd().join("link.csv")).expect("there");
    assert!(link.is_symlink());
    let target = fs::read_to_string(world.cwd().join("target.csv")).expect("text");
    assert!(target.starts_with("event,"), "{target}");
}
