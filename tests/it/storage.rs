//! The spool under trouble: damage, full disks, held locks, newer schemas, foreign files. Nothing
//! acknowledged is lost, and nobody is hurt.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::support::tracer::{Call, End, Outcome, Tracer, Verdict};
use crate::support::world::{ONE, Ran, World};

/// Brings the WAL's content into the database, so that damage to the file is damage to events.
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
    // Deterministic noise, another one for each round.
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
fn a_damaged_spool_is_set_aside_and_what_can_be_read_of_it_lives_on() {
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
        // A damaged page that nobody had to read is found by the check, and mended by it.
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

/// Names of databases that were set aside.
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

#[test]
fn a_database_that_was_cut_anywhere_is_repaired_and_keeps_what_can_be_read() {
    let world = World::new();
    world.record_many(200);
    settle(&world);
    let whole = fs::read(world.file("spool.db")).expect("reads");
    let size = whole.len();
    // One place where the way through the tree of rows led back and repair never ended, and others.
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
    assert!(check.stdout.contains("events were lost"), "{check}");
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
    // A page of the index: every event can still be read.
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

#[test]
fn a_lock_held_by_a_stopped_process_costs_record_seconds_and_no_event() {
    let world = World::new();
    world.run(ONE).ok();
    let lock = File::open(world.file("spool.lock")).expect("opens");
    lock.lock().expect("locks");
    let started = Instant::now();
    world.run(ONE).ok();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "it does not wait for ever"
    );
    assert!(
        fs::metadata(world.file("overflow.jsonl"))
            .expect("metadata")
            .len()
            > 0
    );
    lock.unlock().expect("unlocks");
    assert_eq!(world.rows().len(), 2);
    assert_eq!(
        fs::metadata(world.file("overflow.jsonl"))
            .expect("metadata")
            .len(),
        0
    );
    world.check();
}

#[test]
fn a_record_that_was_stopped_hides_nothing_and_is_named() {
    let world = World::new();
    world.record_many(3);
    let mut ran = Vec::new();
    let outcome = Tracer::new(world.command(ONE))
        .run(|call| {
            let log = call
                .path
                .as_ref()
                .is_some_and(|path| path.ends_with("spool.db-wal"));
            // It has the lock, and the database for itself, and goes no further for now.
            if log && is(call, &["fdatasync", "fsync"]) && ran.is_empty() {
                ran.push(world.run(["spool", "list", "--json"]));
                ran.push(world.run(["status", "--json"]));
                ran.push(world.run(["spool", "prune"]));
                ran.push(world.run(ONE));
            }
            Verdict::Run
        })
        .expect("traces");
    assert!(succeeded(&outcome));
    let mut ran = ran.into_iter();
    let mut next = || ran.next().expect("it was stopped");
    assert!(next().ok().json_lines().len() >= 3);
    let status = next().ok().json();
    assert!(status["spool"]["recorded"].as_u64() >= Some(3), "{status}");
    let prune = next().exits(75);
    let pid = outcome.calls[0].pid;
    assert!(
        prune
            .stderr
            .contains(&format!("process {pid} (jmo-telemetry, stopped) holds it"))
            && prune.stderr.contains("hint: continue that process"),
        "{prune}"
    );
    next().ok();
    assert_eq!(world.rows().len(), 5);
    world.check();
}

#[test]
fn a_home_that_can_not_be_written_is_read_all_the_same() {
    // Root may write everywhere, so this is for another user.
    let nobody = 65_534;
    let world = World::new();
    world.record_many(3);
    let as_nobody = |args: &[&str]| {
        let mut command = world.command(args);
        command.uid(nobody).gid(nobody);
        let output = command.output().expect("runs");
        Ran::from_output(&command, output)
    };
    if nix::unistd::geteuid().is_root() {
        let chown = |path: &Path, mode: u32| {
            std::os::unix::fs::chown(path, Some(nobody), Some(nobody)).expect("gives it away");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changes");
        };
        fs::set_permissions(world.cwd(), fs::Permissions::from_mode(0o755)).expect("changes");
        for entry in fs::read_dir(world.home()).expect("the home") {
            chown(&entry.expect("an entry").path(), 0o400);
        }
        chown(&world.home(), 0o500);
        assert_eq!(
            as_nobody(&["spool", "list", "--json"])
                .ok()
                .json_lines()
                .len(),
            3
        );
        let stats = as_nobody(&["spool", "stats", "--json"]).ok().json();
        assert_eq!(stats["recorded"], 3);
        let status = as_nobody(&["status", "--json"]).ok().json();
        assert_eq!(status["spool"]["recorded"], 3, "{status}");
    }
}

#[test]
fn a_database_locked_by_another_program_sends_events_to_the_overflow() {
    let world = World::new();
    world.run(ONE).ok();
    let shell = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locks");
    world.run(ONE).ok();
    shell.execute_batch("ROLLBACK").expect("unlocks");
    drop(shell);
    world.run(ONE).ok();
    assert_eq!(world.rows().len(), 3);
    world.check();
}

/// Three events as they stand in an overflow file.
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
fn the_overflow_is_imported_once_also_when_the_import_is_killed_anywhere() {
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
fn a_reader_that_pauses_keeps_nobody_waiting_and_no_log_growing() {
    let readers: [&[&str]; 2] = [
        &["spool", "list", "--limit", "0", "--json"],
        &["view", "--from", "spool", "--raw"],
    ];
    for reader in readers {
        let world = World::new();
        world.record_many(5_000);
        let mut paused = world
            .command(reader)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdout = paused.stdout.take().expect("piped");
        // It has begun, and nobody takes the rest from the pipe.
        stdout.read_exact(&mut [0; 1]).expect("reads");
        let log = || {
            fs::metadata(world.file("spool.db-wal"))
                .expect("metadata")
                .len()
        };
        for _ in 0..6 {
            world.record_many(5_000);
            world.run(ONE).ok();
            assert!(log() < 6 << 20, "{} bytes", log());
        }
        assert_eq!(world.flush(["--to", &world.out_target()])["remaining"], 0);
        world.run(["disable"]).ok();
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("reads");
        assert!(paused.wait().expect("ends").success());
        assert!(text.lines().count() > 100);
        world.check();
    }
}

#[test]
fn record_waits_for_nobody_who_reads() {
    let world = World::new();
    world.run(ONE).ok();
    let reader = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM event")
        .expect("reads");
    // The log is larger than it should be, and the reader needs it as it is.
    world.record_many(10_000);
    let outcome = Tracer::new(world.command(ONE)).trace().expect("traces");
    assert!(succeeded(&outcome));
    let waits = |call: &&Call| is(call, &["nanosleep", "clock_nanosleep"]);
    assert_eq!(outcome.calls.iter().filter(waits).count(), 0);
    drop(reader);
    assert_eq!(world.stats()["recorded"], 10_002);
    world.check();
}

#[test]
fn an_event_of_the_overflow_that_the_spool_has_already_is_taken_once() {
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
fn what_is_no_event_of_ours_in_the_overflow_is_counted_and_set_aside() {
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
        check.stdout.contains("4 lines") && check.stdout.contains("overflow.jsonl.corrupt"),
        "{check}"
    );
    let status = world.run(["status"]).ok();
    assert!(status.stdout.contains("overflow.jsonl.corrupt"), "{status}");
    assert_eq!(world.stats()["overflow"], 0);
    // The same lines again are kept once.
    fs::write(world.file("overflow.jsonl"), foreign.join("\n")).expect("writes");
    world.rows();
    let again = fs::read_to_string(world.file("overflow.jsonl.corrupt")).expect("is kept");
    assert_eq!(again, aside);
    // What the user does not want to be sent is nowhere.
    world.run(["spool", "purge", "--all", "--yes"]).ok();
    assert!(!world.file("overflow.jsonl.corrupt").exists());
    world.check();
}

fn succeeded(outcome: &Outcome) -> bool {
    matches!(outcome.end, End::Finished(status) if status.success())
}

fn is(call: &Call, names: &[&str]) -> bool {
    names.contains(&call.name())
}

/// Calls that change what is on disk.
fn changes_disk(call: &Call) -> bool {
    let ours = call
        .path
        .as_ref()
        .is_some_and(|path| !path.to_string_lossy().starts_with("/memfd"));
    ours && is(
        call,
        &[
            "write",
            "pwrite64",
            "pwritev",
            "fsync",
            "fdatasync",
            "ftruncate",
            "fallocate",
        ],
    )
}

#[test]
fn a_full_disk_or_a_failing_one_at_any_write_loses_nothing_acknowledged() {
    for errno in [Errno::ENOSPC, Errno::EIO] {
        for sticky in [false, true] {
            let world = World::new();
            world.run(ONE).ok();
            let mut acknowledged = 1;
            for n in 0.. {
                let outcome = Tracer::new(world.command(ONE))
                    .fail(changes_disk, n, errno, sticky)
                    .expect("traces");
                let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
                assert!(!text.contains("panicked"), "{text}");
                if outcome.injected().next().is_none() {
                    acknowledged += 1;
                    break;
                }
                if succeeded(&outcome) {
                    acknowledged += 1;
                } else {
                    assert!(text.contains("error: "), "a failure is told: {text}");
                }
            }
            // Space returns, and the spool works.
            world.run(ONE).ok();
            acknowledged += 1;
            let rows = world.rows().len();
            assert!(
                rows >= acknowledged,
                "{errno} {sticky}: {rows} rows, {acknowledged} acknowledged"
            );
            // A commit that failed may have reached the log all the same.
            let ids: BTreeSet<_> = world.event_ids().into_iter().collect();
            assert_eq!(ids.len(), rows, "{errno} {sticky}: an event is there twice");
            world.check();
        }
    }
}

#[test]
fn a_flush_on_a_full_or_failing_disk_sends_nothing_twice_and_loses_nothing() {
    for errno in [Errno::ENOSPC, Errno::EIO] {
        for n in 0.. {
            let world = World::new();
            world.record_many(5);
            let target = world.out_target();
            let outcome = Tracer::new(world.command(["flush", "--to", &target]))
                .fail(changes_disk, n, errno, true)
                .expect("traces");
            assert!(!String::from_utf8_lossy(&outcome.stderr).contains("panicked"));
            world.flush(["--to", &target, "--now"]);
            assert_eq!(world.lines_out(), world.payloads(), "{errno} at change {n}");
            world.check();
            if outcome.injected().next().is_none() {
                break;
            }
        }
    }
}

/// Runs SQL on the spool, for what no command does.
fn change(world: &World, sql: &str) {
    let database = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    database.execute_batch(sql).expect("changes");
}

#[test]
fn pending_events_expire_after_three_months_but_not_by_one_wrong_clock() {
    const DAY: u64 = 86_400_000;
    let expired = |world: &World| {
        world.run(["spool", "prune"]).ok();
        let stats = world.stats();
        world.check();
        stats["dropped"]["expired"].as_u64().unwrap_or(0)
    };
    let world = World::new();
    world.record_many(3);
    change(
        &world,
        &format!("UPDATE event SET recorded_at = recorded_at - 91 * {DAY} WHERE seq = 1"),
    );
    assert_eq!(expired(&world), 1, "by a clock that goes on steadily");
    // All of it was a hundred days ago, or so the clock says now.
    change(
        &world,
        &format!(
            "UPDATE event SET recorded_at = recorded_at - 100 * {DAY}; UPDATE clock SET believed = believed - 100 * {DAY}"
        ),
    );
    assert_eq!(expired(&world), 1, "by a clock that leapt");
    assert_eq!(expired(&world), 1, "by the same clock a moment later");
    change(
        &world,
        &format!("UPDATE clock SET doubted = doubted - {DAY}"),
    );
    assert_eq!(expired(&world), 3, "by the same clock a day later");
}

#[test]
fn a_spool_over_its_limit_drops_the_oldest_counts_them_and_gives_space_back() {
    let world = World::new().with("JMO_TELEMETRY_SPOOL_MAX", "1MiB");
    world.record_many(9000);
    world.run(["spool", "prune"]).ok();
    let stats = world.stats();
    assert_eq!(stats["recorded"], 9000);
    assert!(
        stats["dropped"]["spool_full"].as_u64().expect("a number") > 3000,
        "{stats}"
    );
    let size = fs::metadata(world.file("spool.db"))
        .expect("metadata")
        .len();
    assert!(size <= 1 << 20, "{size} bytes");
    let rows = world.rows();
    assert_eq!(rows.last().expect("a row")["seq"], 9000, "the newest stay");
    world.check();
}

#[test]
fn sent_rows_go_before_pending_ones_and_never_those_of_an_open_segment() {
    let world = World::new();
    world.record_many(4000);
    world.flush(["--to", &world.out_target()]);
    world.record_many(2000);
    let ran = world
        .command(["spool", "prune"])
        .env("JMO_TELEMETRY_SPOOL_MAX", "2MiB")
        .status()
        .expect("runs");
    assert!(ran.success());
    let stats = world.stats();
    assert_eq!(
        (stats["pending"].as_u64(), stats["sent"].as_u64()),
        (Some(2000), Some(4000)),
        "{stats}"
    );
    assert!(world.count("sent") > 0, "the open segment's rows stay");
    world.flush(["--to", &world.out_target()]);
    assert_eq!(
        world.lines_out().iter().collect::<BTreeSet<_>>().len(),
        6000
    );
    assert_eq!(world.lines_out().len(), 6000);
    world.check();
}

#[test]
fn a_prune_never_takes_rows_of_a_segment_that_is_written_again() {
    let world = World::new();
    world.record_many(100);
    world.flush(["--to", &world.out_target()]);
    let pruned = world
        .command(["spool", "prune"])
        .env("JMO_TELEMETRY_SPOOL_MAX", "16KiB")
        .status()
        .expect("runs");
    assert!(pruned.success());
    world.record_many(10);
    world.flush(["--to", &world.out_target()]);
    assert_eq!(
        world.lines_out().len(),
        110,
        "the file has what it had, and more"
    );
    world.check();
}
