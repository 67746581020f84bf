//! Real schedulers start the flush: cron, and a systemd user manager.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::machine::installed_program;
use crate::support::world::{Ran, World};

/// Whether real schedulers are available; CI requires them.
fn can_run(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !Path::new(program).exists())
        .collect();
    let root = nix::unistd::geteuid().is_root();
    if root && missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("JMO_TELEMETRY_REQUIRE_SCHEDULERS").is_none(),
        "root: {root}, missing: {missing:?}"
    );
    eprintln!("skipped: real schedulers need root and {missing:?}");
    false
}

/// Runs a script in mount and process namespaces of its own, with a program whose path has unusual
/// characters. Everything that the script starts ends with it.
fn in_namespaces(script: &str) -> (World, Ran) {
    let (_dir, program) = installed_program("odd 100%h $HOME ${X} 'q' \"d\" \\n \\\\ \\% \\' ;&é#");
    let world = World::new();
    let path = world.cwd().join("script");
    fs::write(&path, script).expect("a script");
    let like = world.command(["x"]);
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
        ])
        .args([&path, &program, &world.cwd()])
        .current_dir(world.cwd())
        .env_clear()
        .envs(
            like.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.output().expect("unshare");
    let ran = Ran::from_output(&command, output);
    (world, ran)
}

fn left(world: &World, name: &str) -> String {
    fs::read_to_string(world.cwd().join(name)).expect("a file that the script left")
}

#[test]
fn a_real_cron_flushes_what_waits() {
    if !can_run(&["/usr/sbin/cron", "/usr/bin/crontab", "/usr/bin/unshare"]) {
        return;
    }
    let (world, ran) = in_namespaces(include_str!("real-cron.sh"));
    ran.ok();
    let shown: Value = serde_json::from_str(&left(&world, "shown")).expect("JSON");
    assert!(shown["last_run_at"].is_string(), "{shown}");
    assert_eq!(world.lines_out().len(), 1);
    assert_eq!(world.count("sent"), 1);
}

#[test]
fn a_real_systemd_flushes_what_waits() {
    if !can_run(&[
        "/lib/systemd/systemd",
        "/usr/bin/systemctl",
        "/usr/bin/unshare",
    ]) {
        return;
    }
    let (world, ran) = in_namespaces(include_str!("real-systemd.sh"));
    ran.ok();
    assert_eq!(left(&world, "verified"), "");
    let json = |name: &str| -> Value { serde_json::from_str(&left(&world, name)).expect("JSON") };
    assert_eq!(json("before-the-first-run")["last_run_at"], Value::Null);
    assert_eq!(json("shown")["scheduler"], "systemd");
    assert!(json("shown")["last_run_at"].is_string());
    assert!(
        left(&world, "calendar").contains("/15:00"),
        "{}",
        left(&world, "calendar")
    );
    assert!(!left(&world, "timers").contains("jmo-telemetry"));
    assert_eq!(world.lines_out().len(), 1);
}
