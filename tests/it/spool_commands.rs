//! The output of the `spool` commands for people, as reviewed snapshots, and their errors.

use crate::support::world::{ONE, World};

/// The output, without the parts that differ from run to run.
fn shown(world: &World, args: &[&str]) -> String {
    let ran = world.run(args).ok();
    let mut text = format!("{}{}", ran.stdout, ran.stderr);
    let mut unlike: Vec<String> = Vec::new();
    for row in world.rows() {
        unlike.extend(
            ["event_id", "segment"]
                .iter()
                .filter_map(|name| row[*name].as_str().map(str::to_owned)),
        );
    }
    unlike.sort();
    unlike.dedup();
    for (n, word) in unlike.iter().enumerate() {
        text = text.replace(word, &format!("[{n}]"));
    }
    let line = |line: &str| match line.split_once("KiB") {
        Some(_) => "bytes      [size]\n".to_owned(),
        None => {
            let cells: Vec<_> = line.split('\t').collect();
            match cells.as_slice() {
                [seq, age, rest @ ..] if age.ends_with("ago") || *age == "now" => {
                    format!("{seq}\t[age]\t{}\n", rest.join("\t"))
                }
                _ => format!("{line}\n"),
            }
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn the_list_and_the_numbers_are_short_and_in_order() {
    let world = World::new();
    insta::assert_snapshot!("list_of_nothing", shown(&world, &["spool", "list"]));
    insta::assert_snapshot!("stats_of_nothing", shown(&world, &["spool", "stats"]));
    world.record_many(2);
    world.flush(["--to", &world.out_target()]);
    world.run(ONE).ok();
    insta::assert_snapshot!("list", shown(&world, &["spool", "list"]));
    insta::assert_snapshot!("stats", shown(&world, &["spool", "stats"]));
}

#[test]
fn an_event_that_can_not_be_retried_is_an_error_but_not_a_usage_error() {
    let world = World::new();
    world.run(ONE).ok();
    let missing = world.run(["spool", "retry", "99"]).exits(65);
    assert!(
        missing
            .stderr
            .contains("error: no event 99 in the spool\nhint: "),
        "{missing}"
    );
    world.run(["spool", "show", "99"]).exits(65);
    let pending = world.run(["spool", "retry", "1"]).ok();
    assert_eq!(
        (pending.stdout.as_str(), pending.stderr.as_str()),
        (
            "queued again: 0 events\n",
            "event 1 is pending; only held events can be queued again\n"
        )
    );
    world.run(["spool", "retry", "ALL"]).ok();
    world.run(["spool", "retry", "some"]).exits(2);
}

#[test]
fn a_check_during_a_flush_finds_nothing_wrong() {
    let world = World::new();
    let out = world.out_target();
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| {
            for _ in 0..25 {
                world.record_many(3);
                world.flush(["--to", &out]);
            }
        });
        while !flushing.is_finished() {
            let check = world.run(["spool", "check"]).ok();
            assert_eq!(check.stdout, "ok\n", "{check}");
        }
    });
    world.check();
}
