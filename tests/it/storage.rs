//! The spool in difficult conditions: full disks, held locks, paused readers, wrong clocks, limits.
//! No acknowledged event is lost, and nothing is blocked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::support::tracer::{Call, Outcome, Tracer, Verdict};
use crate::support::world::{ONE, Ran, World, lines};

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
            // It has the lock and exclusive use of the database, and stops here for now.
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
fn a_home_that_can_not_be_written_can_still_be_read() {
    // Root can write everywhere, so another user is needed.
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

/// The duration of a call that sleeps.
fn sleeps(call: &Call) -> Duration {
    let request = match call.name() {
        "nanosleep" => call.args[0],
        "clock_nanosleep" => call.args[2],
        _ => return Duration::ZERO,
    };
    let memory = File::open(format!("/proc/{}/mem", call.tid)).expect("opens");
    let mut timespec = [0; 16];
    memory
        .read_exact_at(&mut timespec, request)
        .expect("a time to sleep");
    let [seconds, nanoseconds] = [0, 8].map(|at| {
        let number = timespec[at..at + 8].try_into().expect("eight bytes");
        u64::from_ne_bytes(number)
    });
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

#[test]
fn all_waits_of_a_record_together_are_shorter_than_its_time_limit_whatever_is_locked() {
    const SCAN: [&str; 8] = [
        "record",
        "scan.started",
        "--mode",
        "cli",
        "--profile",
        "fast",
        "--tool",
        "trivy",
    ];
    let world = World::new();
    world.run(SCAN).ok();
    fs::write(world.file("overflow.jsonl"), "").expect("writes");
    let [count, overflow, spool] = ["scan-count", "overflow.jsonl", "spool.lock"].map(|name| {
        let file = File::open(world.file(name)).expect("opens");
        file.lock().expect("locks");
        file
    });
    let shell = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let (mut slept, mut waited_for_spool) = (Duration::ZERO, Duration::ZERO);
    let outcome = Tracer::new(world.command(SCAN))
        .run(|call| {
            let sleep = sleeps(call);
            slept += sleep;
            // The holder of spool.lock releases it when most of the wait is over.
            if slept > Duration::from_secs(1) {
                waited_for_spool += sleep;
            }
            if waited_for_spool > Duration::from_millis(1300) {
                spool.unlock().expect("unlocks");
            }
            Verdict::Run
        })
        .expect("traces");
    // Nothing could take the event.
    outcome.exits(74);
    assert!(slept < Duration::from_millis(3100), "{slept:?}");
    drop((count, overflow));
    shell.execute_batch("ROLLBACK").expect("unlocks");
    world.run(SCAN).ok();
    assert_eq!(world.rows().len(), 2);
    world.check();
}

#[test]
fn a_large_input_waits_for_a_held_lock_once_and_not_for_each_batch() {
    let world = World::new();
    world.run(ONE).ok();
    let lock = File::open(world.file("spool.lock")).expect("opens");
    lock.lock().expect("locks");
    let input = world.cwd().join("input");
    fs::write(&input, lines(10_000)).expect("writes");
    let mut record = world.command(["record", "--stdin"]);
    record.stdin(File::open(&input).expect("opens"));
    let mut slept = Duration::ZERO;
    let outcome = Tracer::new(record)
        .run(|call| {
            slept += sleeps(call);
            Verdict::Run
        })
        .expect("traces");
    assert!(succeeded(&outcome));
    assert!(slept < Duration::from_millis(3100), "{slept:?}");
    lock.unlock().expect("unlocks");
    assert_eq!(world.rows().len(), 10_001);
}

#[test]
fn a_paused_reader_blocks_nobody_and_does_not_make_the_log_grow() {
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
        // It has begun to write, and nobody reads the rest from the pipe.
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
fn record_does_not_wait_for_readers() {
    let world = World::new();
    world.run(ONE).ok();
    let reader = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM event")
        .expect("reads");
    // The log is larger than its limit, and the reader needs it unchanged.
    world.record_many(10_000);
    let outcome = Tracer::new(world.command(ONE)).trace().expect("traces");
    assert!(succeeded(&outcome));
    let waits = |call: &&Call| is(call, &["nanosleep", "clock_nanosleep"]);
    assert_eq!(outcome.calls.iter().filter(waits).count(), 0);
    drop(reader);
    assert_eq!(world.stats()["recorded"], 10_002);
    world.check();
}

fn succeeded(outcome: &Outcome) -> bool {
    outcome.code() == Some(0)
}

pub(crate) fn is(call: &Call, names: &[&str]) -> bool {
    names.contains(&call.name())
}

/// Whether a call changes what is on disk.
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
            // When there is space again, the spool works.
            world.run(ONE).ok();
            acknowledged += 1;
            let rows = world.rows().len();
            assert!(
                rows >= acknowledged,
                "{errno} {sticky}: {rows} rows, {acknowledged} acknowledged"
            );
            // A commit that failed may still have reached the log.
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

/// Runs SQL on the spool, for changes that no command makes.
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
    // According to the clock, everything was recorded a hundred days ago.
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
