//! P1, P5, P6: a recorded event is stored, once and completely.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use jmo_telemetry::home::Home;
use nix::errno::Errno;
use serde_json::Value;

use crate::support::tracer::{Tracer, Verdict};
use crate::support::wait_for;
use crate::support::world::{ONE, Ran, World, lines};

#[test]
fn each_event_is_recorded_from_its_flags_in_silence() {
    let world = World::new();
    for args in [
        "record scan.started --mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1",
        "record scan.completed --mode cli --profile fast --duration 412s --succeeded 8 --failed 0 --findings 37",
        "record tool.failed --tool trivy --failure-type non_zero_exit --exit-code 2 --profile fast",
        "record wizard.completed --profile balanced --execution-mode docker --artifact makefile --duration 120s",
        "record report.generated --format json --format sarif --findings 120 --suppressions --compliance",
        "record policy.evaluated --policy pci-dss --violations 3 --evaluation-ms 75 --passed 1 --failed 2 \
         --scanner-version 1.0.2 --python-version 3.11.4",
    ] {
        let ran = world.run(args.split_whitespace()).ok();
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("", ""),
            "{ran}"
        );
    }
    let metadata: Vec<String> = world
        .rows()
        .iter()
        .map(|row| row["payload"]["metadata"].to_string())
        .collect();
    let parsed = |text: &str| {
        serde_json::from_str::<Value>(text)
            .expect("JSON")
            .to_string()
    };
    assert_eq!(
        metadata,
        [
            r#"{"mode":"cli","profile":"balanced","tools":["trivy","semgrep"],"target_types":{"repos":3,"images":1,"urls":0,"iac":0,"gitlab":0,"k8s":0},"ci_detected":false,"multi_target_scan":true,"compliance_usage":false,"total_targets_bucket":"2-5","scan_frequency_hint":"first_time"}"#,
            r#"{"mode":"cli","profile":"fast","duration_bucket":"5-15min","tools_succeeded":8,"tools_failed":0,"total_findings_bucket":"10-100"}"#,
            r#"{"tool":"trivy","failure_type":"non_zero_exit","exit_code":2,"profile":"fast"}"#,
            r#"{"profile_selected":"balanced","execution_mode":"docker","artifact_generated":"makefile","duration_bucket":"<5min"}"#,
            r#"{"output_formats":["json","sarif"],"findings_bucket":"100-1000","suppressions_used":true,"compliance_enabled":true}"#,
            r#"{"policy_count":1,"violations_bucket":"1-5","evaluation_time_bucket":"50-100ms","policies":["pci-dss"],"passed_count":1,"failed_count":2}"#,
        ]
        .map(parsed)
    );
    let last = world.rows().pop().expect("a row");
    assert_eq!(last["payload"]["version"], "1.0.2");
    assert_eq!(last["payload"]["python_version"], "3.11");
    world.check();
}

#[test]
fn payloads_and_list_lines_have_the_documented_fields_in_order() {
    let world = World::new();
    world.run(ONE).ok();
    let shown = world.run(["spool", "show", "1"]).ok();
    let payload = shown.stdout.trim_end();
    let positions: Vec<_> = [
        "event",
        "version",
        "platform",
        "python_version",
        "anonymous_id",
        "timestamp",
        "metadata",
        "event_id",
    ]
    .iter()
    .map(|name| payload.find(&format!("\"{name}\":")).expect("the field"))
    .collect();
    assert!(positions.is_sorted(), "{payload}");
    assert!(
        !payload.contains(": ") && !payload.contains(", "),
        "{payload}"
    );
    let list = world.run(["spool", "list", "--json"]).ok();
    let keys = [
        "seq",
        "event_id",
        "event",
        "state",
        "recorded_at",
        "sent_at",
        "attempts",
        "segment",
        "destination",
        "last_error",
        "payload",
    ];
    let positions: Vec<_> = keys
        .iter()
        .map(|name| list.stdout.find(&format!("\"{name}\":")).expect(name))
        .collect();
    assert!(positions.is_sorted(), "{}", list.stdout);
    assert!(
        list.stdout.contains(payload),
        "the list carries the payload as it is"
    );
}

#[test]
fn every_valid_line_is_recorded_and_each_invalid_one_is_reported_by_its_number() {
    let world = World::new();
    let good = lines(1);
    let good = good.trim_end();
    let input = [
        good,
        "",
        r#"{"event":"scan.exploded","metadata":{}}"#,
        r#"{"event":"tool.failed","metadata":{"tool":"trivy","failure_type":"crash"}}"#,
        r#"{"event":"tool.failed","metadata":{"tool":7,"failure_type":"crash","profile":"fast"}}"#,
        r#"{"event":"tool.failed","metadata":{"tool":"tri"#,
        "[]",
        good,
        &format!("{{\"event\":\"{}\"}}", "x".repeat(3 << 20)),
        good,
    ]
    .join("\n");
    let ran = world
        .run_with(["record", "--stdin", "--json"], &input)
        .exits(65);
    let report = ran.json();
    assert_eq!(report["recorded"], 3, "{ran}");
    let rejected: Vec<_> = report["rejected"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| r["line"].clone())
        .collect();
    assert_eq!(rejected, [3, 4, 5, 6, 7, 9]);
    assert_eq!(ran.stderr.lines().count(), 6, "one clear error each: {ran}");
    assert!(
        ran.stderr
            .contains("line 4: tool.failed: missing field `profile`"),
        "{ran}"
    );
    assert_eq!(world.rows().len(), 3);
    world.check();
}

#[test]
fn events_are_stored_when_the_input_pauses() {
    let world = World::new();
    let mut child = world
        .command(["record", "--stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("piped");
    for (count, stored) in [(1, 1), (3, 5)] {
        // The last line is not complete.
        let incomplete = lines(1);
        let (beginning, end) = incomplete.split_at(40);
        let text = format!("{}{beginning}", lines(count));
        input.write_all(text.as_bytes()).expect("writes");
        wait_for(|| world.rows().len() >= stored);
        input.write_all(end.as_bytes()).expect("writes");
    }
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert!(world.rows().len() >= 5, "{:?}", world.rows());
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_no_part_of_it() {
    let world = World::new();
    let input = lines(2);
    world
        .run_with(["record", "--stdin"], &format!("\u{feff}{input}"))
        .ok();
    assert_eq!(world.rows().len(), 2);
    // Anywhere else it is an error.
    let late = format!("{input}\u{feff}{input}");
    let ran = world.run_with(["record", "--stdin"], &late).exits(65);
    assert!(ran.stderr.contains("line 3"), "{ran}");
    assert_eq!(world.rows().len(), 5);
}

#[test]
fn an_invalid_event_exits_with_65_and_an_invalid_option_with_2_and_a_hint() {
    let world = World::new();
    world.run(["record", "scan.exploded"]).exits(65);
    world
        .run(["record", "scan.started", "--mode", "cli"])
        .exits(65);
    world
        .run([
            "record",
            "scan.started",
            "--mode",
            "sideways",
            "--profile",
            "fast",
        ])
        .exits(65);
    let ran = world
        .run(["record", "scan.started", "--modes", "cli"])
        .exits(2);
    assert!(ran.stderr.contains("--mode"), "{ran}");
    let ran = world
        .run(["record", "tool.failed", "--findings", "3"])
        .exits(2);
    assert!(
        ran.stderr
            .contains("hint: the flags of tool.failed are --tool, --failure-type"),
        "{ran}"
    );
    world.run(["record"]).exits(2);
    world.run(["flush", "--to", "ftp:somewhere"]).exits(2);
    assert!(world.rows().is_empty());
}

#[test]
fn an_unwritable_home_exits_with_73_and_says_which_path_and_what_to_do() {
    let world = World::new();
    std::fs::write(world.home(), "a file where the home should be").expect("writes");
    let ran = world.run(ONE).exits(73);
    assert!(
        ran.stderr.contains(&world.home().display().to_string()),
        "{ran}"
    );
    assert!(
        ran.stderr
            .contains("hint: set JMO_TELEMETRY_HOME to a directory"),
        "{ran}"
    );
    assert!(!ran.stderr.contains("panicked"), "{ran}");
}

#[test]
fn if_nothing_can_be_stored_the_report_says_so() {
    let world = World::new();
    world.record();
    for name in ["spool.lock", "overflow.jsonl"] {
        let _ = std::fs::remove_file(world.file(name));
        std::fs::create_dir(world.file(name)).expect("makes a directory in its place");
    }
    let good = lines(3);
    for ran in [
        world.run(ONE.into_iter().chain(["--json"])),
        world.run_with(["record", "--stdin", "--json"], &good),
    ] {
        assert!([Some(73), Some(74)].contains(&ran.code), "{ran}");
        assert!(ran.stderr.contains("spool.lock") && ran.stderr.contains("overflow.jsonl"));
        let report = ran.json();
        assert_eq!(
            (&report["recorded"], &report["event_ids"]),
            (&0.into(), &Value::Array(Vec::new()))
        );
    }
}

#[test]
fn the_home_is_private_to_its_owner() {
    let world = World::new();
    world.record_many(3);
    world.flush(["--to", &world.out_target()]);
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("metadata")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&world.home()), 0o700);
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(world.home()).expect("the home") {
        let entry = entry.expect("an entry");
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.insert(entry.file_name().to_string_lossy().into_owned());
    }
    let expected = [
        "flush.lock",
        "scan-count",
        "spool.db",
        "spool.db-shm",
        "spool.db-wal",
        "spool.lock",
        "telemetry-id",
    ];
    let unexpected: Vec<_> = names
        .iter()
        .filter(|name| !expected.contains(&name.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn sixty_four_processes_in_an_empty_home_and_sixteen_loops_of_fifty_lose_nothing() {
    let world = World::new();
    let children: Vec<_> = (0..64)
        .map(|_| {
            let mut command = world.command([
                "record",
                "scan.started",
                "--mode",
                "cli",
                "--profile",
                "fast",
            ]);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("starts")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        assert!(
            output.status.success(),
            "{}",
            Ran::from_output(&world.command(ONE), output)
        );
    }
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..50).for_each(|_| drop(world.run(ONE).ok())));
        }
    });
    let ids: BTreeSet<_> = world.event_ids().into_iter().collect();
    assert_eq!((world.rows().len(), ids.len()), (864, 864));
    let anonymous: BTreeSet<_> = world
        .rows()
        .iter()
        .map(|row| row["payload"]["anonymous_id"].to_string())
        .collect();
    assert_eq!(anonymous.len(), 1, "one home, one id");
    let hints = |hint: &str| {
        world
            .rows()
            .iter()
            .filter(|row| row["payload"]["metadata"]["scan_frequency_hint"] == hint)
            .count()
    };
    assert_eq!(
        (hints("first_time"), hints("weekly"), hints("daily")),
        (1, 9, 54)
    );
    assert_eq!(
        std::fs::read_to_string(world.file("scan-count")).expect("reads"),
        "64"
    );
    world.check();
}

#[test]
fn a_record_killed_at_any_of_its_system_calls_leaves_a_spool_that_works_and_loses_nothing_acknowledged()
 {
    let world = World::new();
    let mut acknowledged = 0;
    let mut killed = 0;
    // Each round starts in the state in which the previous one was killed: with a half-created
    // home, or a half-written transaction.
    for n in 0.. {
        let outcome = Tracer::new(world.command(ONE)).kill_at(n).expect("traces");
        if !outcome.killed() {
            acknowledged += 1;
            break;
        }
        killed += 1;
        if n % 10 == 0 {
            world.run(ONE).ok();
            acknowledged += 1;
            world.check();
        }
    }
    assert!(killed > 60, "the tracer killed {killed} times");
    world.check();
    let rows = world.rows().len();
    assert!(
        (acknowledged..=acknowledged + killed).contains(&rows),
        "{rows} rows, {acknowledged} acknowledged"
    );
    let ids: BTreeSet<_> = world.event_ids().into_iter().collect();
    assert_eq!(ids.len(), rows);
}

#[test]
fn a_first_record_killed_at_any_of_its_system_calls_leaves_a_home_that_the_next_can_use() {
    let mut n = 0;
    loop {
        let world = World::new();
        let killed = Tracer::new(world.command(ONE))
            .kill_at(n)
            .expect("traces")
            .killed();
        world.run(ONE).ok();
        let rows = world.rows().len();
        assert!((1..=2).contains(&rows), "killed at call {n}: {rows} rows");
        world.check();
        if !killed {
            break;
        }
        n += 1;
    }
}

#[test]
fn a_successful_fsync_comes_between_the_last_write_to_the_spool_and_exit_0() {
    let world = World::new();
    world.run(ONE).ok();
    for command in [world.command(ONE), stdin_command(&world, 13)] {
        let outcome = Tracer::new(command).trace().expect("traces");
        assert!(!outcome.killed());
        let in_spool = |path: &Option<std::path::PathBuf>| {
            path.as_ref()
                .is_some_and(|path| path.to_string_lossy().contains("spool.db"))
        };
        let is_write = |name: &str| ["write", "pwrite64", "pwritev", "ftruncate"].contains(&name);
        let is_sync = |name: &str| ["fsync", "fdatasync"].contains(&name);
        let named = |call: &crate::support::tracer::Call| call.name().to_owned();
        let last_write = outcome
            .calls
            .iter()
            .rposition(|call| is_write(&named(call)) && in_spool(&call.path));
        let syncs: Vec<_> = outcome
            .calls
            .iter()
            .enumerate()
            .filter(|(_, call)| is_sync(&named(call)) && call.ret == Some(0))
            .map(|(at, _)| at)
            .collect();
        assert!(
            syncs.last() > last_write.as_ref(),
            "writes end at {last_write:?}, syncs are at {syncs:?}"
        );
        assert_eq!(
            syncs.len(),
            1,
            "one fsync for a record, and one for a batch"
        );
    }
    assert_eq!(world.rows().len(), 15);
}

#[test]
fn the_names_of_the_first_files_are_durable_before_the_first_record_returns() {
    let world = World::new();
    let outcome = Tracer::new(world.command(ONE)).trace().expect("traces");
    let at = |name: &str, path: &std::path::Path| {
        outcome
            .calls
            .iter()
            .rposition(|call| call.name() == name && call.path.as_deref() == Some(path))
    };
    let made =
        at("openat", &world.file("spool.db-wal")).max(at("rename", &world.file("spool.db.new")));
    let synced = at("fsync", &world.home());
    let first_event = outcome
        .calls
        .iter()
        .rposition(|call| call.name() == "fdatasync");
    assert!(
        made.is_some() && synced > at("rename", &world.file("spool.db.new")),
        "{made:?} {synced:?}"
    );
    let wal_made = outcome.calls.iter().position(|call| {
        call.name() == "openat" && call.path.as_deref() == Some(&world.file("spool.db-wal"))
    });
    assert!(
        synced > wal_made && first_event > synced,
        "{wal_made:?} {synced:?} {first_event:?}"
    );
    // So is the name of the home itself.
    assert!(at("fsync", &world.cwd()).is_some());
}

fn stdin_command(world: &World, count: usize) -> std::process::Command {
    let path = world.cwd().join("input.jsonl");
    std::fs::write(&path, lines(count)).expect("writes");
    let mut command = world.command(["record", "--stdin"]);
    command.stdin(std::fs::File::open(path).expect("opens"));
    command
}

#[test]
fn the_wal_stays_small_however_many_processes_write_and_however_much_is_recorded_and_sent() {
    let world = World::new();
    let wal = || std::fs::metadata(world.file("spool.db-wal")).map_or(0, |metadata| metadata.len());
    let mut largest = 0;
    for _ in 0..200 {
        world.run(ONE).ok();
        largest = largest.max(wal());
    }
    assert!(largest < 200 << 10, "single records: {largest} bytes");
    let small = |command: std::process::Command, what: &str| {
        let outcome = Tracer::new(command).trace().expect("traces");
        assert_eq!(outcome.code(), Some(0), "{what}");
        let end = outcome
            .calls
            .iter()
            .filter(|call| {
                call.name() == "pwrite64"
                    && call.path.as_deref() == Some(&world.file("spool.db-wal"))
            })
            .map(|call| call.args[3] + call.args[2])
            .max();
        assert!(end.is_some_and(|end| end < 2 << 20), "{what}: {end:?}");
    };
    small(stdin_command(&world, 20_000), "a large import");
    assert_eq!(world.stats()["recorded"], 20_200);
    world.check();
    // This removes half of the rows from the spool.
    let target = world.out_target();
    small(world.command(["flush", "--to", &target]), "a large flush");
    assert_eq!(world.rows().len(), 10_000);
    assert_eq!(world.stats()["sent"], 20_200);
    assert_eq!(world.lines_out().len(), 20_200);
    world.check();
}

#[test]
fn a_lone_record_shares_no_index_and_one_next_to_a_reader_does_not_wait() {
    let world = World::new();
    world.record();
    world.record();
    assert!(!world.file("spool.db-shm").exists());
    let reader = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    let rows = || {
        reader
            .query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))
            .expect("reads")
    };
    reader.execute_batch("BEGIN").expect("begins");
    assert_eq!(rows(), 2);
    let outcome = Tracer::new(world.command(ONE)).trace().expect("traces");
    outcome.exits(0);
    let waits: Vec<_> = outcome
        .calls
        .iter()
        .filter(|call| call.name().contains("nanosleep"))
        .collect();
    assert!(waits.is_empty(), "{waits:?}");
    assert!(!world.file("overflow.jsonl").exists());
    assert_eq!(rows(), 2, "what the reader began with");
    reader.execute_batch("COMMIT").expect("ends");
    assert_eq!(rows(), 3);
    drop(reader);
    assert_eq!(world.rows().len(), 3);
    world.check();
}

#[test]
fn a_large_input_is_recorded_even_if_no_thread_can_be_started() {
    let world = World::new();
    let outcome = Tracer::new(stdin_command(&world, 8_000))
        .fail(
            |call| ["clone", "clone3"].contains(&call.name()),
            0,
            Errno::EAGAIN,
            true,
        )
        .expect("traces");
    assert!(outcome.injected().next().is_some());
    outcome.exits(0);
    assert_eq!(world.stats()["recorded"], 8_000);
    world.check();
}

#[test]
fn a_large_input_ends_with_an_error_if_nothing_can_be_stored() {
    let world = World::new();
    world.record();
    let kept = [world.file("spool.db-wal"), world.file("overflow.jsonl")];
    let outcome = Tracer::new(stdin_command(&world, 20_000))
        .fail(
            |call| {
                ["write", "pwrite64"].contains(&call.name())
                    && call.path.as_ref().is_some_and(|path| kept.contains(path))
            },
            0,
            Errno::ENOSPC,
            true,
        )
        .expect("traces");
    outcome.exits(74);
    assert_eq!(world.stats()["recorded"], 1);
    world.check();
}

#[test]
fn a_reader_finds_a_gap_between_writers_that_leave_none() {
    let world = World::new();
    world.record();
    // A writer that has exclusive use of the database whenever SQLite looks, and then releases the
    // lock.
    let lock = Home::at(world.home())
        .lock_spool(Duration::ZERO)
        .expect("locks");
    let writer = rusqlite::Connection::open(world.file("spool.db")).expect("opens");
    writer
        .execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; COMMIT")
        .expect("has it alone");
    let mut holder = Some((lock, writer));
    let outcome = Tracer::new(world.command(["spool", "list", "--json"]))
        .run(move |call| {
            if call.name() == "flock" {
                drop(holder.take());
            }
            Verdict::Run
        })
        .expect("traces");
    outcome.exits(0);
    assert_eq!(
        outcome.stdout.iter().filter(|byte| **byte == b'\n').count(),
        1
    );
}

#[test]
fn a_second_record_uses_the_id_and_the_count_of_the_first() {
    let world = World::new();
    let start = [
        "record",
        "scan.started",
        "--mode",
        "cli",
        "--profile",
        "fast",
    ];
    for _ in 0..12 {
        world.run(start).ok();
    }
    let hints: Vec<_> = world
        .rows()
        .iter()
        .map(|row| row["payload"]["metadata"]["scan_frequency_hint"].clone())
        .collect();
    assert_eq!(
        (&hints[0], &hints[1], &hints[9], &hints[10]),
        (
            &"first_time".into(),
            &"weekly".into(),
            &"weekly".into(),
            &"daily".into()
        )
    );
    // If the scanner has counted by itself, its hint is kept, and the file is not changed.
    world
        .run(start.into_iter().chain(["--frequency", "first_time"]))
        .ok();
    assert_eq!(
        world.rows()[12]["payload"]["metadata"]["scan_frequency_hint"],
        "first_time"
    );
    assert_eq!(
        std::fs::read_to_string(world.file("scan-count")).expect("reads"),
        "12"
    );
}
