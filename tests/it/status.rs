//! The output of `status` for people, as reviewed snapshots.

use std::os::unix::process::CommandExt;

use nix::errno::Errno;

use crate::support::tracer::Tracer;
use crate::support::world::{Ran, World};

/// The output, without the parts that differ from run to run.
fn shown(world: &World) -> String {
    let text = world.run(["status"]).ok().stdout;
    let text = text.replace(&world.cwd().display().to_string(), "/tmp/world");
    // The schedulers of this machine don't belong to the world.
    let lines = text.lines().filter(|line| !line.starts_with("schedule"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_status_is_short_where_nothing_has_happened_yet() {
    insta::assert_snapshot!("empty", shown(&World::new()));
}

#[test]
fn a_status_names_the_rule_once_that_disables_telemetry() {
    for (name, value) in [("DO_NOT_TRACK", "1"), ("GITLAB_CI", "true")] {
        insta::assert_snapshot!(name, shown(&World::new().with(name, value)));
    }
    let world = World::new();
    std::fs::write(
        world.cwd().join("jmo.yml"),
        "telemetry:\n  enabled: maybe\n",
    )
    .expect("writes");
    insta::assert_snapshot!("jmo_yml", shown(&world));
}

#[test]
fn a_status_shows_no_count_that_is_zero() {
    let world = World::new();
    world.record_many(3);
    let text = shown(&world);
    assert!(
        text.contains("recorded      3") && text.contains("pending       3"),
        "{text}"
    );
    for name in ["sending", "sent", "held", "dropped", "purged", "overflow"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
}

#[test]
fn a_spool_that_cannot_be_read_is_not_shown_as_an_empty_one() {
    let world = World::new();
    world.record();
    std::fs::remove_file(world.file("spool.db")).expect("removes it");
    std::fs::create_dir(world.file("spool.db")).expect("makes a directory");
    let status = world.status();
    assert!(status["spool"].is_null(), "{status}");
    assert!(
        status["spool_error"]
            .as_str()
            .is_some_and(|error| error.contains("spool.db"))
    );
    let text = shown(&world);
    assert!(
        !text.contains("recorded") && text.contains("spool.db"),
        "{text}"
    );
}

#[test]
fn a_home_that_can_only_be_read_shows_what_is_in_it_or_says_why_not() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let world = World::new();
    world.record_many(2);
    let chmod = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changes");
    };
    chmod(&world.cwd(), 0o755);
    for entry in std::fs::read_dir(world.home())
        .expect("a directory")
        .flatten()
    {
        chown(entry.path(), Some(41_001), Some(41_001)).expect("gives it away");
        chmod(&entry.path(), 0o400);
    }
    chown(world.home(), Some(41_001), Some(41_001)).expect("gives it away");
    chmod(&world.home(), 0o500);
    let mut command = world.command(["status", "--json"]);
    command.uid(41_001).gid(41_001);
    let output = command.output().expect("runs");
    let status = Ran::from_output(&command, output).ok().json();
    assert_eq!(status["spool"]["recorded"], 2, "{status}");
}

#[test]
fn a_disable_that_cannot_be_stored_says_how_to_disable_without_a_file() {
    let world = World::new();
    world.record();
    let full = Tracer::new(world.command(["disable"]))
        .fail(|call| call.name() == "fsync", 0, Errno::ENOSPC, true)
        .expect("runs");
    let talk = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(talk.contains("JMO_TELEMETRY_DISABLE=1"), "{talk}");
}
