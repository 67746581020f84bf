//! `schedule`: with fake schedulers for what can go wrong, and with real ones for what must work.

mod machine;
mod real;

use self::machine::{Machine, SYSTEMCTL, installed_program, put, run, tree};

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::world::Ran;

#[test]
fn a_crontab_is_byte_for_byte_what_it_was_after_remove() {
    let theirs: [&[u8]; 4] = [
        b"# JMo Security Schedule: nightly\n0 2 * * * jmo scan # JMo Security Schedule: nightly\n",
        b"",
        b"MAILTO=me\n\n\n* * * * * echo without an end",
        b"# caf\xe9\r\n",
    ];
    for theirs in theirs {
        let machine = Machine::with_cron();
        machine.write("tab", theirs);
        machine.schedule("install --every 15m --with cron").ok();
        machine.schedule("install --every 1h --with cron").ok();
        let tab = machine.tab().expect("a crontab");
        assert!(tab.ends_with(theirs), "{}", String::from_utf8_lossy(&tab));
        machine.schedule("remove").ok();
        assert_eq!(machine.tab().expect("a crontab"), theirs);
    }
}

#[test]
fn if_there_was_no_crontab_there_is_none_after_remove() {
    let machine = Machine::with_cron();
    machine.schedule("install").ok();
    assert!(machine.tab().is_some());
    machine.schedule("remove").ok();
    assert_eq!(machine.tab(), None);
    assert!(
        machine
            .schedule("remove")
            .ok()
            .stdout
            .contains("nothing was scheduled")
    );
}

#[test]
fn a_second_install_changes_nothing_and_another_interval_replaces() {
    let machine = Machine::with_cron();
    machine.schedule("install").ok();
    let first = machine.tab();
    machine.schedule("install").ok();
    assert_eq!(machine.tab(), first);
    machine.schedule("install --every 2h").ok();
    let tab = String::from_utf8(machine.tab().expect("a crontab")).expect("text");
    assert_eq!(tab.lines().count(), 1, "{tab}");
    assert_eq!(machine.shown()["every"], "2h");
}

#[test]
fn what_a_dry_run_prints_is_what_is_written() {
    for before in [None, Some("0 1 * * * true\n")] {
        let machine = Machine::with_cron();
        if let Some(before) = before {
            machine.write("tab", before);
        }
        let planned = machine
            .schedule("install --with cron --dry-run")
            .ok()
            .stdout;
        assert_eq!(machine.tab().as_deref(), before.map(str::as_bytes));
        machine.schedule("install --with cron").ok();
        let tab = String::from_utf8(machine.tab().expect("a crontab")).expect("text");
        assert_eq!(tab, planned + before.unwrap_or_default());
    }

    let machine = Machine::with_systemd();
    let planned = machine.schedule("install --dry-run --json").ok().json();
    assert!(!machine.unit("").exists());
    machine.schedule("install").ok();
    for file in planned["files"].as_array().expect("files") {
        let path = file["path"].as_str().expect("a path");
        assert_eq!(
            fs::read_to_string(path).expect("a unit"),
            file["content"].as_str().expect("text")
        );
    }
}

#[test]
fn a_crontab_that_cannot_be_read_is_not_overwritten() {
    let machine = Machine::with_cron();
    machine.write("tab", "0 1 * * * precious\n");
    machine.write("list-fails", "");
    let ran = machine.schedule("install --with cron").exits(74);
    assert_eq!(
        ran.stderr,
        "error: `crontab -l` failed: crontab: cannot open your crontab: Input/output error\n"
    );
    machine.schedule("remove").exits(74);
    assert_eq!(machine.tab().expect("a crontab"), b"0 1 * * * precious\n");
    assert!(
        machine.shown()["unknown"][0]
            .as_str()
            .expect("text")
            .contains("cannot open")
    );
}

#[test]
fn a_crontab_that_cannot_be_written_is_reported_and_stays() {
    let machine = Machine::with_cron();
    machine.write("tab", "0 1 * * * precious\n");
    machine.write("write-fails", "");
    let ran = machine.schedule("install --with cron").exits(74);
    assert_eq!(
        ran.stderr,
        "error: `crontab -` failed: crontab: disk full\n"
    );
    assert_eq!(machine.tab().expect("a crontab"), b"0 1 * * * precious\n");
    assert_eq!(machine.shown()["installed"], false);
}

/// `crontab -` treats the end of its input as the end of the crontab.
#[test]
fn a_killed_install_or_remove_does_not_cut_the_crontab_short() {
    // More than fits into a pipe.
    let theirs = "0 1 * * * precious\n".repeat(20_000);
    for action in ["install --with cron", "remove"] {
        let machine = Machine::with_cron();
        machine.write("tab", &theirs);
        if action == "remove" {
            machine.schedule("install --with cron").ok();
            fs::remove_file(machine.bin.join("done")).expect("a file");
        }
        machine.write("slow", "");
        let mut child = machine.command(action).spawn().expect("starts");
        machine.wait_for("started");
        child.kill().expect("killed");
        child.wait().expect("ends");
        fs::remove_file(machine.bin.join("slow")).expect("a file");
        machine.wait_for("done");
        let tab = machine.tab().expect("a crontab");
        assert!(tab.ends_with(theirs.as_bytes()), "{} bytes", tab.len());
    }
}

#[test]
fn a_scheduler_that_hangs_is_given_up() {
    let machine = Machine::new().script("crontab", "#!/bin/sh\nsleep 600\n");
    let shown = machine.shown();
    assert!(
        shown["unknown"][0]
            .as_str()
            .expect("text")
            .contains("did not end"),
        "{shown}"
    );
}

#[test]
fn a_machine_without_a_scheduler_is_told_what_to_do() {
    let machine = Machine::new();
    let ran = machine.schedule("install").exits(78);
    assert_eq!(ran.stderr.lines().count(), 2, "{ran}");
    assert!(
        ran.stderr
            .contains("systemd is not installed; cron is not installed"),
        "{ran}"
    );
    assert!(ran.stderr.contains("hint: install cron"), "{ran}");
    machine.schedule("remove").ok();
    machine.schedule("install --with launchd").exits(78);
}

#[test]
fn the_whole_message_of_a_failing_scheduler_is_shown_on_one_line() {
    let not_allowed = "#!/bin/sh\necho 'You (me) are not allowed to use crontab' >&2\n\
                       echo 'See crontab(1) for more information' >&2\nexit 1\n";
    let machine = Machine::new().script("crontab", not_allowed);
    let ran = machine.schedule("remove").exits(74);
    assert_eq!(
        ran.stderr,
        "error: `crontab -l` failed: You (me) are not allowed to use crontab; \
         See crontab(1) for more information\n"
    );
}

#[test]
fn a_scheduler_that_cannot_be_started_is_reported_with_the_reason() {
    let machine = Machine::new();
    // It exists but is not executable.
    machine.write("crontab", "");
    let ran = machine.schedule("install").exits(78);
    assert!(
        ran.stderr.starts_with(
            "error: found no scheduler: systemd is not installed; failed to run `crontab -l`: Permission denied"
        ),
        "{ran}"
    );
}

#[test]
fn a_unit_folder_that_cannot_be_written_leaves_nothing_behind() {
    let machine = Machine::with_systemd();
    // Root can write anywhere, but can't create a folder inside a file.
    fs::create_dir(machine.world.cwd().join(".config")).expect("a directory");
    fs::write(machine.world.cwd().join(".config/systemd"), "").expect("a file");
    let before = tree(&machine.world.cwd().join(".config"));
    let ran = machine.schedule("install").exits(73);
    assert!(
        ran.stderr.starts_with("error: failed to create directory"),
        "{ran}"
    );
    assert_eq!(tree(&machine.world.cwd().join(".config")), before);
}

#[test]
fn a_unit_that_is_no_file_is_told_and_not_waited_for() {
    for name in ["jmo-telemetry-flush.service", "jmo-telemetry-flush.timer"] {
        let machine = Machine::with_systemd();
        let unit = machine.unit(name);
        fs::create_dir_all(machine.unit("")).expect("a directory");
        nix::unistd::mkfifo(&unit, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let told = format!(
            "failed to read `{}`: it is a pipe, a socket or a device, where an ordinary file is expected",
            unit.display()
        );
        assert_eq!(machine.shown()["unknown"][0], format!("systemd: {told}"));
        for action in ["install", "remove"] {
            let ran = machine.schedule(action).exits(73);
            assert_eq!(ran.stderr, format!("error: {told}\n"));
        }
        let left = fs::read_dir(machine.unit("")).expect("a directory");
        assert_eq!(left.count(), 1);
    }
}

#[test]
fn a_failed_install_restores_the_previous_state() {
    let machine = Machine::with_systemd();
    machine.write("fails", "enable");
    let ran = machine.schedule("install").exits(74);
    assert!(ran.stderr.contains("nothing works today"), "{ran}");
    assert!(!machine.world.cwd().join(".config").exists());

    machine.write("fails", "");
    machine.schedule("install").ok();
    let installed = tree(&machine.world.cwd().join(".config"));
    machine.write("fails", "restart");
    machine.schedule("install --every 1d").exits(74);
    assert_eq!(tree(&machine.world.cwd().join(".config")), installed);
}

#[test]
fn another_scheduler_takes_over_and_one_schedule_is_left() {
    let machine = Machine::with_cron().script("systemctl", SYSTEMCTL);
    machine.schedule("install --with cron").ok();
    machine.schedule("install --with systemd").ok();
    assert_eq!(machine.tab(), None);
    assert_eq!(machine.shown()["scheduler"], "systemd");
    machine.schedule("install --with cron").ok();
    assert!(!machine.unit("jmo-telemetry-flush.timer").exists());
    assert_eq!(machine.shown()["scheduler"], "cron");
}

#[test]
fn two_installs_at_once_leave_one_schedule() {
    let machine = Machine::with_cron().script("systemctl", SYSTEMCTL);
    for _ in 0..10 {
        let at_once = ["cron", "systemd"].map(|scheduler| {
            let mut command = machine.command(&format!("install --with {scheduler}"));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("starts")
        });
        for mut child in at_once {
            assert!(child.wait().expect("ends").success());
        }
        let (line, timer) = (machine.tab(), machine.unit("jmo-telemetry-flush.timer"));
        assert_ne!(line.is_some(), timer.exists(), "none, or two of them");
        machine.schedule("remove").ok();
    }
}

#[test]
fn a_program_in_a_temporary_folder_is_refused() {
    let machine = Machine::with_cron();
    for name in ["_MEI12345", ".cache/uv/archive-v0/x/bin"] {
        let program = machine.world.cwd().join(name).join("jmo-telemetry");
        put(&program);
        let ran = run(&program, &machine.world.command(["schedule", "install"])).exits(78);
        assert!(
            ran.stderr.starts_with("error: refused to schedule"),
            "{ran}"
        );
    }
    assert_eq!(machine.tab(), None);
}

#[test]
fn the_scheduled_path_is_the_one_at_which_path_finds_the_program() {
    let (dir, program) = installed_program("Cellar");
    let mut machine = Machine::with_cron();
    let link = dir.path().join("bin");
    fs::create_dir(&link).expect("a directory");
    std::os::unix::fs::symlink(&program, link.join("jmo-telemetry")).expect("a link");
    machine.world.set(
        "PATH",
        &format!("{}:{}", machine.bin.display(), link.display()),
    );
    let run = |args: &[&str]| run(&program, &machine.world.command(args));
    run(&["schedule", "install"]).ok();
    let shown = run(&["schedule", "show", "--json"]).ok().json();
    assert_eq!(
        shown["program"],
        link.join("jmo-telemetry").to_str().expect("text")
    );
    assert_eq!(shown["problem"], Value::Null);

    fs::remove_file(link.join("jmo-telemetry")).expect("moved away");
    let shown = run(&["schedule", "show", "--json"]).ok().json();
    assert!(
        shown["problem"]
            .as_str()
            .expect("a problem")
            .contains("no longer"),
        "{shown}"
    );
    // Without the link, a versioned folder is refused.
    let refused = run(&["schedule", "install", "--every", "1h"]);
    // Homebrew's link is looked for, but is gone.
    refused.exits(78);
}

#[test]
fn homes_differ_in_their_minute() {
    let minutes: std::collections::BTreeSet<u64> = (0..12)
        .map(|n| {
            let mut machine = Machine::new();
            machine
                .world
                .set("JMO_TELEMETRY_HOME", &format!("/srv/{n}"));
            let planned = machine.schedule("install --with cron --dry-run --json");
            planned.ok().json()["offset"].as_u64().expect("a number")
        })
        .collect();
    assert!(minutes.len() > 3, "{minutes:?}");
}

#[test]
fn nothing_is_scheduled_while_telemetry_is_disabled() {
    let machine = Machine::with_cron();
    machine.world.run(["disable"]).ok();
    let ran = machine.schedule("install").exits(78);
    assert!(ran.stderr.contains("telemetry is disabled"), "{ran}");
    assert_eq!(machine.tab(), None);
}

#[test]
fn variables_that_the_schedule_will_not_see_are_named_with_what_to_do() {
    let warned = |name: &str| {
        let mut machine = Machine::with_cron();
        machine.world.set(name, "https://t.example");
        machine.schedule("install").ok().stderr
    };
    assert_eq!(
        warned("JMO_TELEMETRY_ENDPOINT"),
        "warning: a scheduled flush does not see JMO_TELEMETRY_ENDPOINT of this shell; \
         `jmo-telemetry connect` remembers a destination\n"
    );
    assert_eq!(
        warned("HTTPS_PROXY"),
        "warning: a scheduled flush does not see HTTPS_PROXY of this shell\n"
    );
}

#[test]
fn disable_and_forget_say_that_the_schedule_stays_or_remove_it() {
    for command in [["disable", "--json"], ["forget", "--yes"]] {
        let machine = Machine::with_cron();
        machine.schedule("install").ok();
        let ran = machine.world.run(command).ok();
        assert!(ran.stderr.contains("the schedule stays with cron"), "{ran}");
        assert!(machine.tab().is_some());
        let ran = machine
            .world
            .run(command.into_iter().chain(["--schedule"]))
            .ok();
        assert!(
            ran.stderr.contains("removed the schedule from cron"),
            "{ran}"
        );
        assert_eq!(machine.tab(), None);
    }
}

#[test]
fn status_tells_what_is_scheduled_and_when_it_last_ran() {
    let machine = Machine::with_cron();
    assert_eq!(machine.world.status()["schedule"]["installed"], false);
    machine.schedule("install --every 30m").ok();
    machine.world.record();
    let schedule = machine.world.status()["schedule"].clone();
    assert_eq!(schedule["scheduler"], "cron");
    assert_eq!(schedule["every"], "30m");
    assert_eq!(
        schedule["home"],
        machine.world.home().to_str().expect("text")
    );
    assert_eq!(schedule["last_run_at"], Value::Null);
    // As cron does: with another environment and the command of the line.
    let home = machine.world.home();
    let mut command = machine.world.command(["flush", "--scheduled", "--home"]);
    command.arg(&home).env_remove("JMO_TELEMETRY_HOME");
    assert!(command.status().expect("it runs").success());
    assert!(machine.world.status()["schedule"]["last_run_at"].is_string());
}

#[test]
fn the_property_list_and_the_task_are_valid() {
    let machine = Machine::new();
    let python = |code: &str, input: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", code, input]);
        let output = command.output().expect("Python");
        Ran::from_output(&command, output).ok().stdout
    };
    let plist = machine
        .schedule("install --with launchd --every 4h --dry-run")
        .ok()
        .stdout;
    let read =
        "import plistlib, sys, json; print(json.dumps(plistlib.loads(sys.argv[1].encode())))";
    let plist: Value = serde_json::from_str(&python(read, &plist)).expect("JSON");
    assert_eq!(plist["ProgramArguments"][1], "flush");
    assert_eq!(
        plist["StartCalendarInterval"]
            .as_array()
            .expect("times")
            .len(),
        6
    );

    let task = machine
        .schedule("install --with schtasks --dry-run")
        .ok()
        .stdout;
    let read = "import xml.etree.ElementTree as e, sys; t=e.fromstring(sys.argv[1].encode()); \
                print(t.find('.//{*}Interval').text, t.find('.//{*}Arguments').text)";
    let task = python(read, &task);
    assert!(task.starts_with("PT15M --headless "), "{task}");
    assert!(task.contains("flush --scheduled --home"), "{task}");
}
