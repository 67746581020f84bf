//! P7: the program as a process. It returns at once, leaves no process behind, stops on request,
//! and writes only data to stdout.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::gist_server::{Fault, GistServer, Recorded};
use crate::support::world::{ONE, World, lines};

const BOUND: Duration = Duration::from_secs(20);

/// Records one event and starts a flush.
fn record_and_flush() -> Vec<&'static str> {
    [&ONE[..], &["--flush"]].concat()
}

/// Waits until no flush holds `flush.lock`.
fn until_no_flush_runs(world: &World) {
    std::fs::File::open(world.file("flush.lock"))
        .expect("opens")
        .lock()
        .expect("locks");
}

#[test]
fn a_record_with_flush_returns_at_once_and_the_flush_continues_on_its_own() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    server.plan(Fault::SlowAnswer(Duration::from_secs(3)));
    // The pipes close when the last process that has them ends. If the flush inherited one, this
    // would block.
    let ran = world.run(record_and_flush()).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.is_write() || request.finished.is_none()),
        "it is still at work"
    );
    // A second flush ends at once.
    world.run(record_and_flush()).ok();
    until_no_flush_runs(&world);
    world.flush([]);
    assert_eq!(server.event_ids_across_files(), world.event_ids());
    assert_eq!(server.violations(), Vec::<String>::new());
    world.check();
}

#[test]
fn an_empty_input_with_flush_starts_the_flush_alone() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(2);
    let ran = world.run_with(["record", "--stdin", "--flush"], "").ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    until_no_flush_runs(&world);
    assert_eq!(server.event_ids_across_files(), world.event_ids());
}

#[test]
fn the_detached_flush_has_a_session_of_its_own_and_no_open_handles_of_ours() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    server.plan(Fault::StallBeforeCommit(BOUND));
    world.run(record_and_flush()).ok();
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    let pid = flusher(&world);
    let link = |fd: &str| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("a link");
    assert_eq!(
        [link("0"), link("1"), link("2")],
        ["/dev/null"; 3].map(std::path::PathBuf::from)
    );
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
    let session = stat
        .rsplit(") ")
        .next()
        .expect("fields")
        .split(' ')
        .nth(3)
        .expect("the session")
        .to_owned();
    assert_eq!(session, pid.to_string(), "it leads its own session");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kills");
}

#[test]
fn the_detached_flush_keeps_no_pipe_of_the_caller_open_and_none_of_its_locks() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    server.plan(Fault::StallBeforeCommit(BOUND));
    let record = world.command(record_and_flush());
    // Descriptor 8 is a pipe that is read below, and 9 is a lock of the caller.
    let script = "exec 8>&1 9>his.lock; flock -n 9 || exit 9; \"$@\" >/dev/null";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(record.get_program())
        .args(record.get_args())
        .current_dir(world.cwd())
        .env_clear()
        .envs(
            record
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    assert!(child.wait().expect("ends").success());
    let mut said = String::new();
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_to_string(&mut said).expect("comes to its end");
    let lock = std::fs::File::open(world.cwd().join("his.lock")).expect("opens");
    lock.try_lock().expect("nobody holds it");
    assert!(server.wait_for(|state| !state.requests.is_empty(), BOUND));
    // The flush ends only now, so it was running all the time.
    kill(Pid::from_raw(flusher(&world)), Signal::SIGKILL).expect("kills");
}

/// The process that holds this world's `flush.lock`.
fn flusher(world: &World) -> i32 {
    let home = world.home().display().to_string();
    let is_it = |pid: &i32| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        text(read("cmdline")).contains("--detached") && text(read("environ")).contains(&home)
    };
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(is_it)
        .expect("a flush is running")
}

#[test]
fn a_flush_stops_on_request_and_loses_nothing() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let server = GistServer::start();
        let world = World::with_gist(&server);
        world.record_many(4);
        server.plan(Fault::StallAfterCommit(BOUND));
        let mut child = world.command(["flush"]).spawn().expect("starts");
        assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("signals");
        assert_eq!(child.wait().expect("ends").code(), Some(code));
        world.check();
        server.set_spacing_check(false);
        assert_eq!(world.flush(["--now"])["sent"], 4);
        assert_eq!(server.event_ids_across_files().len(), 4);
    }
}

#[test]
fn a_deadline_ends_a_flush_that_hangs() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(2);
    server.plan(Fault::StallBeforeCommit(Duration::from_secs(120)));
    let report = world.flush(["--deadline", "1s"]);
    assert_eq!(report["remaining"], 2, "{report}");
    world
        .run(["flush", "--strict", "--deadline", "1s"])
        .exits(75);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let world = World::new();
    world.record_many(3000);
    for args in [
        "spool list --limit 0 --json",
        "view --from spool --raw",
        "view --from spool --export -",
        "view --from spool --html -",
    ] {
        let mut command = world
            .command(args.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut some = [0; 100];
        command
            .stdout
            .take()
            .expect("piped")
            .read_exact(&mut some)
            .expect("reads");
        let output = command.wait_with_output().expect("ends");
        assert_eq!(
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr).into_owned()
            ),
            (Some(0), String::new()),
            "{args}"
        );
    }
}

#[test]
fn data_that_can_not_be_written_is_an_io_error() {
    let world = World::new();
    world.record_many(1);
    let commands = [
        "status",
        "spool stats --json",
        "spool show 1",
        "info",
        "id",
        "man",
        "--help",
        "spool list",
    ];
    for command in commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let ran = world
            .command(command.split(' '))
            .stdout(full.expect("opens"))
            .stderr(Stdio::piped())
            .output()
            .expect("runs");
        assert_eq!(ran.status.code(), Some(74), "{command}");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(
            command == "--help" || said.contains("error: failed to write to stdout: "),
            "{command}: {said}"
        );
    }
}

#[test]
fn no_file_takes_the_place_of_a_standard_stream_that_is_closed() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    world.record_many(1);
    server.plan(Fault::StallBeforeCommit(BOUND));
    let flush = world.command(["flush"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"exec "$0" flush <&- >&- 2>&-"#])
        .arg(flush.get_program())
        .env_clear()
        .envs(
            flush
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(world.cwd());
    let mut child = shell.spawn().expect("starts");
    assert!(server.wait_for(|state| state.requests.iter().any(Recorded::is_write), BOUND));
    let link = |fd| std::fs::read_link(format!("/proc/{}/fd/{fd}", child.id())).expect("a link");
    let links = [0, 1, 2].map(link);
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert_eq!(links, ["/dev/null"; 3].map(std::path::PathBuf::from));
}

#[test]
fn every_showing_command_has_json_and_help_with_its_purpose() {
    let world = World::new();
    world.record_many(2);
    for command in [
        "status",
        "spool list",
        "spool show 1",
        "spool stats",
        "spool check",
        "spool prune",
        "info",
        "id",
        "banner",
        "connect --show",
        "disconnect",
        "enable",
    ] {
        let ran = world.run(command.split(' ').chain(["--json"])).ok();
        assert!(!ran.json_lines().is_empty(), "{ran}");
        let words: Vec<_> = command
            .split(' ')
            .filter(|word| !word.starts_with('-') && word.parse::<u8>().is_err())
            .collect();
        let help = world.run(words.into_iter().chain(["--help"])).ok();
        assert!(help.stdout.contains("Usage: "), "{help}");
    }
    let help = world.run(["--help"]).ok();
    for code in ["65", "73", "74", "75", "78", "Examples:"] {
        assert!(help.stdout.contains(code), "{help}");
    }
    assert!(
        world
            .run(["completions", "bash"])
            .ok()
            .stdout
            .contains("complete -F")
    );
    assert!(world.run(["man"]).ok().stdout.contains(".TH"));
}

#[test]
fn status_and_stats_have_the_documented_names() {
    let world = World::new();
    world.record_many(3);
    world.flush(["--to", &world.out_target()]);
    let status = world.run(["status", "--json"]).ok().stdout;
    for name in [
        "enabled",
        "rule",
        "reason",
        "can_leave",
        "destination",
        "spool",
        "last_flush",
        "next_attempt_at",
        "home",
        "recorded",
        "pending",
        "sending",
        "sent",
        "held",
        "dropped",
        "purged",
        "bytes",
        "overflow",
        "at",
        "outcome",
        "http_status",
        "error",
    ] {
        assert!(status.contains(&format!("\"{name}\":")), "{name}: {status}");
    }
    let flush = world.run(["flush", "--json"]).ok().stdout;
    for name in [
        "outcome",
        "sent",
        "remaining",
        "requests",
        "destination",
        "segments",
        "next_attempt_at",
        "error",
    ] {
        assert!(flush.contains(&format!("\"{name}\":")), "{name}: {flush}");
    }
}

#[test]
fn a_flush_that_stops_early_says_what_remains() {
    let world = World::new();
    world.record_many(3);
    let target = world.out_target();
    let ran = world
        .run(["flush", "--to", &target, "--limit", "1", "-v"])
        .ok();
    assert_eq!(
        ran.stderr,
        format!("sent 1 event to {target}; 2 events remain\n")
    );
}

#[test]
fn the_reference_lists_what_json_prints() {
    let reference = include_str!("../../docs/reference.md");
    let (_, table) = reference.split_once("<!-- json -->").expect("the table");
    let (table, _) = table.split_once("<!-- end -->").expect("its end");
    let world = World::new();
    world.record_many(2);
    world.flush(["--to", &world.out_target()]);
    let mut commands = 0;
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('`').collect();
        let (command, fields) = (cells[1], cells[3]);
        let more: &[&str] = match command {
            "record" => &ONE[1..],
            "spool show" => &["1"],
            "spool retry" => &["ALL"],
            "spool purge" => &["--pending", "--yes"],
            "forget" => &["--yes"],
            _ => &[],
        };
        let command = command.split(' ').chain(more.iter().copied());
        let ran = world.run(command.chain(["--json"])).ok();
        // Compared as text, because the order is documented, too.
        let mut rest = ran.stdout.as_str();
        for field in fields.split(", ") {
            let (_, after) = rest.split_once(&format!("\"{field}\":")).expect(field);
            rest = after;
        }
        let printed = ran.json_lines()[0].as_object().expect("an object").len();
        assert_eq!(printed, fields.split(", ").count(), "{ran}");
        commands += 1;
    }
    assert_eq!(commands, 17);
}

#[test]
fn purge_needs_confirmation_and_counts() {
    let world = World::new();
    world.record_many(5);
    world.flush(["--to", &world.out_target(), "--limit", "2"]);
    world.run(["spool", "purge", "--pending"]).exits(2);
    world.run(["spool", "purge"]).exits(2);
    let deleted = world
        .run(["spool", "purge", "--pending", "--yes", "--json"])
        .ok()
        .json();
    assert_eq!(
        (deleted["unsent"].as_u64(), deleted["sent"].as_u64()),
        (Some(3), Some(0))
    );
    world.check();
    world.record_many(1);
    world.run(["spool", "purge", "--all", "--yes"]).ok();
    assert!(world.rows().is_empty());
    let stats = world.stats();
    assert_eq!(
        (
            stats["recorded"].as_u64(),
            stats["sent"].as_u64(),
            stats["purged"].as_u64()
        ),
        (Some(6), Some(2), Some(4))
    );
    world.check();
    // A file with purged events is never overwritten: a new event starts a new file.
    world.record_many(1);
    world.flush(["--to", &world.out_target()]);
    assert_eq!(world.lines_out().len(), 3);
}

#[test]
fn deleting_what_is_being_sent_says_that_it_may_have_arrived_and_forget_deletes_it_there() {
    for args in [&["spool", "purge", "--pending", "--yes"][..], &["disable"]] {
        let server = GistServer::start();
        let world = World::with_gist(&server);
        world.record_many(2);
        server.plan(Fault::CutAfterCommit);
        world.flush([]);
        assert_eq!(server.lines().len(), 2);
        world.record_many(1);
        world.run(["enable"]).ok();
        let ran = world.run(args).ok();
        let said = "2 events were being sent and may have arrived; `jmo-telemetry forget` deletes them at the destination, too\n";
        assert!(ran.stderr.contains(said), "{ran}");
        let again = world.run(args).ok();
        assert!(!again.stderr.contains("being sent"), "{again}");
        world.run(["forget", "--yes"]).ok();
        assert!(server.lines().is_empty());
    }
}

#[test]
fn the_readmes_main_job_runs_and_leaves_nothing_behind() {
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).expect("the README");
    assert!(readme.contains("\nsh tests/main-job.sh\n") && readme.contains("\nsh tests/all.sh\n"));
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new("sh")
        .arg(format!("{root}/tests/main-job.sh"))
        .env("TMPDIR", scratch.path())
        .env("CI", "true")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("scan.completed\tsent"),
        "{output:?}"
    );
    assert_eq!(std::fs::read_dir(scratch.path()).expect("reads").count(), 0);
}

#[test]
fn bulk_input_is_streamed() {
    let world = World::new();
    let ran = world
        .run_with(["record", "--stdin", "--json"], &lines(10_000))
        .ok()
        .json();
    assert_eq!(ran["recorded"], 10_000);
    assert_eq!(world.stats()["pending"], 10_000);
}
