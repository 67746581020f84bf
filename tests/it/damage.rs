//! A spool that is damaged, truncated, newer, or another program's: what can be read is kept, and
//! nothing is deleted.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

use crate::storage::is;
use crate::support::tracer::{Call, Tracer, Verdict};
use crate::support::world::{ONE, World};

/// Writes the WAL back into the database, so that damage to the file is damage to events.
fn settle(world: &World) {
    let database = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    database
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("checkpoints");
}

fn damage(world: &World, kind: usize) -> &'static str {
    let path = world.file("spool.db");
    let size = fs::metadata(&path).expect("metadata").len();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("opens");
    let mut overwrite = |at: u64, bytes: &[u8]| {
        file.seek(SeekFrom::Start(at)).expect("seeks");
        file.write_all(bytes).expect("writes");
    };
    // Deterministic noise, different in each round.
    let noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|n| ((n * 7919 + kind * 104_729) >> 3) as u8)
            .collect()
    };
    let page = |n: u64| (n % (size / 4096)) * 4096;
    match kind % 12 {
        0 => {
            overwrite(0, b"this is no database");
            "header text"
        }
        1 => {
            overwrite(0, &noise(100));
            "header noise"
        }
        2 => {
            overwrite(0, &noise(4096));
            "first page noise"
        }
        3 => {
            overwrite(page(5 + kind as u64), &noise(4096));
            "a page of noise"
        }
        4 => {
            overwrite(page(7 + kind as u64) + 1000, &noise(64));
            "some noise in a page"
        }
        5 => {
            for n in 3..9 {
                overwrite(page(n * 3), &noise(512));
            }
            "noise in several pages"
        }
        6 => {
            file.set_len(size / 2).expect("cuts");
            "cut in half"
        }
        7 => {
            file.set_len(size - 700).expect("cuts");
            "cut inside the last page"
        }
        8 => {
            file.set_len(0).expect("cuts");
            "cut to nothing"
        }
        9 => {
            overwrite(page(9 + kind as u64), &[0; 4096]);
            "a page of zeros"
        }
        10 => {
            file.set_len(0).expect("cuts");
            file.seek(SeekFrom::Start(0)).expect("seeks");
            file.write_all(&noise(50_000)).expect("writes");
            "all noise"
        }
        _ => {
            overwrite(page(2) + 8, &noise(200));
            "the page after the first"
        }
    }
}

#[test]
fn a_damaged_spool_is_set_aside_and_what_can_be_read_of_it_is_kept() {
    let mut survived = Vec::new();
    for kind in 0..60 {
        let world = World::new();
        world.record_many(300);
        settle(&world);
        let before: BTreeSet<_> = world.event_ids().into_iter().collect();
        let what = damage(&world, kind);
        for _ in 0..3 {
            world.run(ONE).ok();
        }
        let after: BTreeSet<_> = world.event_ids().into_iter().collect();
        let kept = before.intersection(&after).count();
        assert_eq!(
            after.difference(&before).count(),
            3,
            "{what} ({kind}): the new events are listed"
        );
        // The check finds and repairs a damaged page that no other command has read.
        if world.run(["spool", "check"]).code != Some(0) {
            assert!(
                !world.status()["quarantined"]
                    .as_array()
                    .expect("a list")
                    .is_empty(),
                "{what}"
            );
        }
        world.check();
        let aside = fs::read_dir(world.home())
            .expect("the home")
            .filter(|entry| {
                entry
                    .as_ref()
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .starts_with("spool.db.corrupt-")
            })
            .count();
        assert!(
            aside > 0 || kept == 300,
            "{what} ({kind}): {kept} kept, nothing set aside"
        );
        let report = world.flush(["--to", &world.out_target()]);
        assert_eq!(report["remaining"], 0, "{what} ({kind}): {report}");
        let lines = world.lines_out();
        assert_eq!(lines.len(), lines.iter().collect::<BTreeSet<_>>().len());
        survived.push((kept, what));
    }
    let mostly = survived.iter().filter(|(kept, _)| *kept >= 150).count();
    assert!(mostly >= 40, "{survived:?}");
}

/// The names of databases that were set aside.
fn quarantined(world: &World) -> Vec<String> {
    fs::read_dir(world.home())
        .expect("the home")
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.to_string_lossy().into_owned()
        })
        .filter(|name| name.starts_with("spool.db.corrupt-"))
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect()
}

/// Changes rows as a failing disk might.
fn change(world: &World, sql: &str) {
    let database = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    database.execute_batch(sql).expect("changes it");
}

#[test]
fn an_event_that_the_disk_made_unreadable_is_found_and_is_not_sent() {
    let torn =
        r#"UPDATE event SET payload = replace(payload, '{"event"', '{"event') WHERE seq = 2"#;
    let world = World::new();
    world.record_many(3);
    change(&world, torn);
    let check = world.run(["spool", "check"]).exits(74);
    assert!(check.stdout.contains("can't be read: 1"), "{check}");
    world.check();
    assert_eq!(world.stats()["dropped"]["damaged"], 1);

    let world = World::new();
    world.record_many(3);
    change(&world, torn);
    let target = world.out_target();
    assert_eq!(world.flush(["--to", &target])["sent"], 2);
    assert_eq!(world.lines_out(), world.payloads());
    assert_eq!(world.stats()["dropped"]["damaged"], 1);
    world.check();
}

#[test]
fn a_list_ends_also_with_the_largest_number_that_there_is() {
    let world = World::new();
    world.record_many(3);
    change(
        &world,
        &format!("UPDATE event SET seq = {} WHERE seq = 3", i64::MAX),
    );
    assert_eq!(world.rows().len(), 3);
    let last = i64::MAX.to_string();
    world.run(["spool", "show", &last]).ok();
}

#[test]
fn a_schema_number_that_no_spool_has_is_damage() {
    for number in [-1, 0] {
        let world = World::new();
        world.record_many(3);
        change(&world, &format!("PRAGMA user_version = {number}"));
        world.run(ONE).ok();
        assert_eq!(world.stats()["recorded"], 4);
        assert_eq!(
            world.status()["quarantined"].as_array().map(Vec::len),
            Some(1)
        );
    }
}

#[test]
fn a_database_that_was_truncated_anywhere_is_repaired_and_keeps_what_can_be_read() {
    let world = World::new();
    world.record_many(200);
    settle(&world);
    let whole = fs::read(world.file("spool.db")).expect("reads");
    let size = whole.len();
    // One of these led backwards through the tree of rows, so that a repair never ended.
    for cut in [
        size * 86_226 / 143_360,
        size / 3,
        size - 5_000,
        9_000,
        4_096,
    ] {
        let world = World::new();
        world.run(ONE).ok();
        settle(&world);
        fs::write(world.file("spool.db"), &whole[..cut]).expect("cuts");
        world.run(ONE).ok();
        let rows = world.rows().len();
        assert!(
            rows > 200 * cut.saturating_sub(70_000) / size,
            "cut at {cut}: {rows}"
        );
        world.check();
    }
}

#[test]
fn record_leaves_the_repair_of_a_large_database_to_others_and_check_keeps_nearly_all() {
    let world = World::new();
    world.record_many(40_000);
    settle(&world);
    let path = world.file("spool.db");
    let size = fs::metadata(&path).expect("metadata").len();
    assert!(size > 8 << 20, "{size}");
    let mut file = OpenOptions::new().write(true).open(&path).expect("opens");
    for place in [size / 3, size - 4096] {
        file.seek(SeekFrom::Start(place / 4096 * 4096))
            .expect("seeks");
        file.write_all(&[0xa5; 4096]).expect("writes");
    }
    world.run(ONE).ok();
    assert_eq!(quarantined(&world), Vec::<String>::new());
    let waiting = fs::read_to_string(world.file("overflow.jsonl")).expect("reads");
    assert_eq!(waiting.lines().count(), 1);
    let check = world.run(["spool", "check"]).exits(74);
    assert!(check.stdout.contains(&quarantined(&world)[0]), "{check}");
    assert!(check.stdout.contains("events lost: "), "{check}");
    world.check();
    let stats = world.stats();
    let pending = stats["pending"].as_u64().expect("a number");
    assert!(pending > 39_000, "{stats}");
    assert_eq!(stats["recorded"], 40_001);
    assert_eq!(quarantined(&world).len(), 1);
}

#[test]
fn a_repair_that_is_killed_anywhere_is_done_again_and_loses_nothing() {
    let damaged = World::new();
    damaged.record_many(60);
    settle(&damaged);
    // Damages a page of the index, so that every event can still be read.
    let database = rusqlite::Connection::open(damaged.file("spool.db")).expect("opens");
    let page: u64 = database
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'event_by_state'",
            [],
            |row| row.get(0),
        )
        .expect("an index");
    drop(database);
    let mut file = OpenOptions::new()
        .write(true)
        .open(damaged.file("spool.db"))
        .expect("opens");
    file.seek(SeekFrom::Start((page - 1) * 4096))
        .expect("seeks");
    file.write_all(&[0xa5; 4096]).expect("writes");
    let files = ["spool.db", "telemetry-id"];
    let repairs = |call: &Call| {
        is(
            call,
            &[
                "rename",
                "renameat",
                "renameat2",
                "unlink",
                "unlinkat",
                "fsync",
                "fdatasync",
            ],
        ) || call.name().starts_with("pwrite") && call.args[3].is_multiple_of(16 * 4096)
    };
    for n in 0.. {
        let world = World::new();
        fs::create_dir(world.home()).expect("makes the home");
        for name in files {
            fs::copy(damaged.file(name), world.file(name)).expect("copies");
        }
        let mut seen = 0;
        let outcome = Tracer::new(world.command(ONE))
            .run(|call| {
                seen += usize::from(repairs(call));
                if seen > n {
                    Verdict::Kill
                } else {
                    Verdict::Run
                }
            })
            .expect("traces");
        world.run(ONE).ok();
        let stats = world.stats();
        assert!(
            stats["pending"].as_u64() >= Some(61),
            "killed at {n}: {stats}"
        );
        assert_eq!(stats["dropped"], serde_json::json!({}), "killed at {n}");
        world.check();
        let left = |name: &str| world.file(name).exists();
        assert!(
            !left("spool.db.repaired") && !left("spool.db.new"),
            "killed at {n}"
        );
        if !outcome.killed() {
            assert!(n > 10, "{n}");
            break;
        }
    }
}

#[test]
fn the_events_in_the_wal_of_a_database_that_is_gone_are_found() {
    let commands: [&[&str]; 6] = [
        &["spool", "check"],
        &["spool", "list"],
        &["spool", "prune"],
        &["flush"],
        &["status"],
        &ONE,
    ];
    for emptied in [false, true] {
        for command in commands {
            let world = World::new();
            for _ in 0..5 {
                world.run(ONE).ok();
            }
            let ids = world.event_ids();
            let database = world.file("spool.db");
            if emptied {
                fs::write(&database, "").expect("empties");
            } else {
                fs::remove_file(&database).expect("deletes");
            }
            let what = format!("{command:?}, emptied: {emptied}");
            world.run(command);
            assert_eq!(world.event_ids()[..5], ids, "{what}");
            let aside = world.file(&quarantined(&world)[0]);
            let mode = fs::metadata(aside).expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{what}");
            world.check();
        }
    }
}

#[test]
fn status_names_the_database_that_it_sets_aside() {
    let world = World::new();
    world.run(ONE).ok();
    settle(&world);
    fs::write(world.file("spool.db"), "").expect("writes");
    let status = world.status();
    assert_eq!(
        status["quarantined"],
        serde_json::json!(quarantined(&world))
    );
    assert_eq!(quarantined(&world).len(), 1);
}

#[test]
fn check_does_not_say_how_many_events_are_lost_when_it_could_read_nothing() {
    let world = World::new();
    world.record_many(3);
    settle(&world);
    fs::write(world.file("spool.db"), [0xa5; 9_000]).expect("writes");
    let check = world.run(["spool", "check"]).exits(74);
    assert!(check.stdout.contains(&quarantined(&world)[0]), "{check}");
    assert!(
        check.stdout.contains("not known how many events are lost"),
        "{check}"
    );
}

#[test]
fn a_foreign_database_under_our_name_is_set_aside() {
    let world = World::new();
    fs::create_dir(world.home()).expect("makes the home");
    let foreign = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    foreign
        .execute_batch("CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')")
        .expect("writes");
    drop(foreign);
    world.run(ONE).ok();
    assert_eq!(world.rows().len(), 1);
    let aside = world.status()["quarantined"][0]
        .as_str()
        .expect("a name")
        .to_owned();
    let kept = rusqlite::Connection::open(world.file(&aside)).expect("opens");
    let soup: String = kept
        .query_row("SELECT name FROM recipes", [], |row| row.get(0))
        .expect("reads");
    assert_eq!(soup, "soup");
}

#[test]
fn a_newer_spool_is_left_untouched_and_its_events_wait_in_the_overflow() {
    let world = World::new();
    world.record_many(3);
    settle(&world);
    let database = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    let schema: i64 = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("reads");
    database
        .execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("writes");
    drop(database);
    let bytes = fs::read(world.file("spool.db")).expect("reads");
    world.run(ONE).ok();
    assert_eq!(fs::read(world.file("spool.db")).expect("reads"), bytes);
    let ran = world.run(["spool", "list"]).exits(74);
    assert!(
        ran.stderr.contains("newer") && ran.stderr.contains("update jmo-telemetry"),
        "{ran}"
    );
    assert!(
        world.status()["spool_error"]
            .as_str()
            .expect("told")
            .contains("newer")
    );
    let database = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    database
        .execute_batch(&format!("PRAGMA user_version = {schema}"))
        .expect("writes");
    drop(database);
    assert_eq!(world.rows().len(), 4);
    world.check();
}
