//! Full disks, read-only homes, growing files: everything is bounded, reported, and recovers.

use std::fs;
use std::process::Command;

use nix::errno::Errno;
use serde_json::json;

use crate::support::tracer::{Call, Tracer};
use crate::support::world::{ONE, World};

/// Whether a call opens a file of the home for writing, or creates a directory.
fn writes_to_the_home(call: &Call) -> bool {
    let in_home = call
        .path
        .as_ref()
        .is_some_and(|path| path.to_string_lossy().contains("/home"));
    let for_writing = (call.args[2] as i32) & (libc::O_WRONLY | libc::O_RDWR) != 0;
    in_home && ((call.name() == "openat" && for_writing) || call.name() == "mkdir")
}

#[test]
fn a_read_only_home_is_73_and_its_spool_is_as_it_was_when_it_can_be_written_again() {
    let world = World::new();
    world.run(ONE).ok();
    for errno in [Errno::EROFS, Errno::EACCES] {
        let outcome = Tracer::new(world.command(ONE))
            .fail(writes_to_the_home, 0, errno, true)
            .expect("traces");
        let told = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(outcome.injected().next().is_some());
        assert!(told.contains(&world.home().display().to_string()), "{told}");
        assert!(
            told.contains("hint: make it writable, or set JMO_TELEMETRY_HOME"),
            "{told}"
        );
        assert!(!told.contains("panicked"), "{told}");
    }
    world.run(ONE).ok();
    assert_eq!(world.rows().len(), 2);
    world.check();
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_the_spool_works_when_space_returns() {
    let world = World::new();
    fs::create_dir(world.home()).expect("makes the home");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
        .arg(world.home())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // Only root can mount. Without root, `storage` tests the same with an injected ENOSPC.
        eprintln!("skipped: not allowed to mount a tmpfs");
        return;
    }
    let _unmount = Unmount(world.home());
    fs::write(world.file("ballast"), vec![0; 500 * 1024]).expect("writes");
    let mut acknowledged = 0;
    let mut refused = 0;
    while refused < 5 && acknowledged < 5000 {
        let ran = world.run_with(["record", "--stdin"], &crate::support::world::lines(20));
        assert!(!ran.stderr.contains("panicked"), "{ran}");
        match ran.code {
            Some(0) => acknowledged += 20,
            Some(73 | 74) => refused += 1,
            _ => panic!("{ran}"),
        }
    }
    assert!(
        refused == 5 && acknowledged > 100,
        "{acknowledged} acknowledged, {refused} refused"
    );
    fs::remove_file(world.file("ballast")).expect("makes room");
    world.run(ONE).ok();
    let rows = world.rows().len();
    assert!(
        rows > acknowledged,
        "{rows} rows, {acknowledged} acknowledged"
    );
    world.check();
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn the_home_stays_bounded_when_nothing_is_ever_sent() {
    let world = World::new().with("JMO_TELEMETRY_SPOOL_MAX", "2MiB");
    for _ in 0..6 {
        world.record_many(3000);
        let size: u64 = fs::read_dir(world.home())
            .expect("the home")
            .map(|entry| entry.expect("an entry").metadata().expect("metadata").len())
            .sum();
        assert!(size < 5 << 20, "{size} bytes");
    }
    assert!(
        world.stats()["dropped"]["spool_full"]
            .as_u64()
            .expect("a number")
            > 5000
    );
    world.check();
}

#[test]
fn events_that_a_full_spool_drops_are_reported_and_not_counted_as_recorded() {
    let world = World::new().with("JMO_TELEMETRY_SPOOL_MAX", "1KiB");
    let ran = world.run(ONE.into_iter().chain(["--json"])).ok();
    assert!(
        ran.stderr.starts_with(
            "warning: the spool has reached its limit of 1.0 KiB: 1 event dropped, the oldest first\n"
        ),
        "{ran}"
    );
    let report = ran.json();
    assert_eq!(
        (
            &report["recorded"],
            &report["event_ids"],
            &report["dropped"]
        ),
        (&json!(0), &json!([]), &json!(1))
    );
    world.check();

    let world = World::new().with("JMO_TELEMETRY_SPOOL_MAX", "1MiB");
    let lines = crate::support::world::lines(4000);
    let report = world.run_with(["record", "--stdin", "--json"], &lines).ok();
    let report = report.json();
    let ids = report["event_ids"].as_array().expect("a list");
    let number = |name: &str| report[name].as_u64().expect("a number");
    assert!(
        number("recorded") < 4000 && number("dropped") > 0,
        "{report}"
    );
    assert_eq!(number("recorded"), ids.len() as u64);
    let stats = world.stats();
    assert_eq!(stats["dropped"]["spool_full"], report["dropped"]);
    assert_eq!(json!(world.event_ids()), report["event_ids"]);
    world.check();
}

#[test]
fn an_invalid_size_exits_with_78_and_names_the_variable() {
    let world = World::new().with("JMO_TELEMETRY_SPOOL_MAX", "plenty");
    let ran = world.run(ONE).exits(78);
    assert!(
        ran.stderr
            .contains("JMO_TELEMETRY_SPOOL_MAX must be a size such as 64MiB"),
        "{ran}"
    );
}
