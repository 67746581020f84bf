//! Compares the time of whole processes: `cargo bench --bench processes [-- ROUNDS]`.
//!
//! The floor is a static C program that appends 400 bytes and syncs them (`floor.c`, built here
//! with `cc`). Programs are run alternately, A B C A B C …, so that other load on the machine
//! affects all of them. The output shows medians, and ratios within one run. Programs that are not
//! installed are left out.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_jmo-telemetry");

const RECORD: &str = "record tool.failed --tool trivy --failure-type crash --profile fast";

/// How often each process is run.
const ROUNDS: usize = 300;

/// How often each import of [`IMPORTED`] lines is run.
const IMPORTS: usize = 5;
const IMPORTED: usize = 200_000;

/// Events in the large spool.
const MANY: usize = 1_000_000;

/// The number of records in a long row.
const LONG_ROW: usize = 6_000;

/// How many neighbouring records of the row are measured for one result.
const AROUND: usize = 40;

fn main() {
    let rounds = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(ROUNDS);
    let bench = Bench::new();
    println!("{}, {} cores, {}\n", cpu(), cores(), kernel());
    bench.one_event(rounds);
    bench.long_row();
    bench.large_spool(rounds);
    bench.imports();
}

/// A scratch directory for everything.
struct Bench {
    scratch: TempDir,
    floor: PathBuf,
    /// A copy of the program, as an installation would create it. The kernel caches a copy in large
    /// pieces, but the file that the linker wrote in pages of 4 KiB, which cost more to map.
    installed: PathBuf,
}

/// A named program that is run once per round.
struct Contender {
    name: String,
    command: Command,
}

impl Bench {
    fn new() -> Self {
        // Not the system's temporary directory, which may be in memory, where syncing costs nothing.
        let scratch = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory");
        let floor = scratch.path().join("floor");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
        let built = Command::new("cc")
            .args(["-O2", "-static", "-o"])
            .arg(&floor)
            .arg(source)
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "cc builds the floor program"
        );
        let installed = scratch.path().join("jmo-telemetry");
        fs::copy(PROGRAM, &installed).expect("copies the program");
        Self {
            scratch,
            floor,
            installed,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A command in a clean environment, in which telemetry is enabled.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.scratch.path())
            .env("JMO_TELEMETRY_SPOOL_MAX", "8GiB")
            .current_dir(self.scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn program(&self, home: &str, arguments: &str) -> Command {
        self.program_at(&self.installed, home, arguments)
    }

    fn program_at(&self, program: &Path, home: &str, arguments: &str) -> Command {
        let mut command = self.command(program);
        command
            .args(arguments.split_whitespace())
            .env("JMO_TELEMETRY_HOME", self.path(home));
        command
    }

    fn record(&self, home: &str) -> Command {
        self.program(home, RECORD)
    }

    fn floor(&self) -> Contender {
        let mut command = self.command(&self.floor);
        command.arg(self.path("floor.log"));
        contender("floor: append 400 bytes, fdatasync", command)
    }

    /// One event into a small spool, compared with how other programs store one line.
    fn one_event(&self, rounds: usize) {
        let mut contenders = vec![
            self.floor(),
            contender("jmo-telemetry record", self.record("one")),
        ];
        if installed("sqlite3") {
            for mode in ["wal", "delete"] {
                contenders.push(self.sqlite3(mode));
            }
        }
        if installed("zoxide") {
            let mut command = self.command("zoxide");
            command
                .arg("add")
                .arg(self.scratch.path())
                .env("_ZO_DATA_DIR", self.path("zoxide"));
            contenders.push(contender("zoxide add", command));
        }
        if installed("atuin") {
            let mut command = self.command("atuin");
            command
                .args(["history", "start", "--", "ls"])
                .env("ATUIN_SESSION", "019300000000700080000000000000ab");
            contenders.push(contender("atuin history start", command));
        }
        contenders.push(contender(
            "jmo-telemetry record, never copied since the linker wrote it",
            self.program_at(Path::new(PROGRAM), "linked", RECORD),
        ));
        let medians = in_turn(rounds, &mut contenders);
        println!(
            "| one process, median of {rounds} | ms | / floor | record / it |\n| --- | ---: | ---: | ---: |"
        );
        for (contender, median) in contenders.iter().zip(&medians) {
            println!(
                "| {} | {:.2} | {:.2} | {:.2} |",
                contender.name,
                ms(*median),
                ratio(*median, medians[0]),
                ratio(medians[1], *median)
            );
        }
        println!();
    }

    /// A durable insert with the sqlite3 shell into a similar table.
    fn sqlite3(&self, mode: &str) -> Contender {
        let database = self.path(&format!("shell-{mode}.db"));
        let table = format!(
            "PRAGMA journal_mode={mode}; CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
             state INTEGER NOT NULL DEFAULT 0, recorded_at INTEGER NOT NULL, payload TEXT NOT NULL); \
             CREATE INDEX event_by_state ON event (state)"
        );
        run(self.command("sqlite3").arg(&database).arg(table));
        let payload = "x".repeat(400);
        let insert = format!("INSERT INTO event (recorded_at, payload) VALUES (1, '{payload}')");
        let mut command = self.command("sqlite3");
        command.arg(database).arg(insert);
        contender(&format!("sqlite3 INSERT, journal_mode={mode}"), command)
    }

    /// Thousands of single records in one home, alternating with the floor.
    fn long_row(&self) {
        let mut contenders = [self.floor(), contender("record", self.record("row"))];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..LONG_ROW + AROUND / 2 {
            for (contender, times) in contenders.iter_mut().zip(&mut times) {
                times.push(timed(&mut contender.command));
            }
        }
        let around = |times: &[Duration], n: usize| median(&times[n - AROUND / 2..n + AROUND / 2]);
        let cost = |n| ratio(around(&times[1], n), around(&times[0], n));
        let (early, late) = (cost(100), cost(LONG_ROW));
        let wal = fs::metadata(self.path("row/spool.db-wal")).map_or(0, |file| file.len());
        println!("| a row of records | |\n| --- | ---: |");
        println!("| the 100th / floor | {early:.2} |\n| the {LONG_ROW}th / floor | {late:.2} |");
        println!(
            "| the {LONG_ROW}th / the 100th | {:.2} |\n| WAL, KiB | {} |\n",
            late / early,
            wal / 1024
        );
    }

    /// A spool of a million events: filling it, adding to it, listing it.
    fn large_spool(&self, rounds: usize) {
        let input = self.input("many.jsonl", MANY);
        let filled = timed(self.import("large").stdin(open(&input)));
        // No child before this one used more memory.
        let memory = getrusage(UsageWho::RUSAGE_CHILDREN)
            .expect("is told")
            .max_rss()
            / 1024;
        println!("| {MANY} events | |\n| --- | ---: |");
        println!(
            "| record --stdin, s | {:.2} |\n| record --stdin, most memory, MiB | {memory} |",
            filled.as_secs_f64()
        );
        let mut contenders = [
            contender("empty", self.record("empty")),
            contender("large", self.record("large")),
        ];
        let medians = in_turn(rounds, &mut contenders);
        println!(
            "| one record into it / into an empty spool | {:.2} |",
            ratio(medians[1], medians[0])
        );
        for what in [
            "spool list",
            "spool list --state pending --json",
            "spool stats",
            "status",
        ] {
            let mut contenders = [contender(what, self.program("large", what))];
            println!(
                "| {what}, ms | {:.1} |",
                ms(in_turn(20, &mut contenders)[0])
            );
        }
        println!();
    }

    /// Many lines at once, compared with a minimal Python program that does the same.
    fn imports(&self) {
        const PYTHON: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, segment INTEGER, recorded_at INTEGER NOT NULL, sent_at INTEGER, last_error TEXT, payload TEXT NOT NULL)")
db.execute("CREATE INDEX event_by_state ON event (state)")
db.executemany("INSERT INTO event (recorded_at, payload) VALUES (?, ?)", ((1, (json.loads(line), line)[1]) for line in sys.stdin))
db.commit()
"#;
        if !installed("python3") {
            return;
        }
        let input = self.input("lines.jsonl", IMPORTED);
        let (mut ours, mut python) = (Vec::new(), Vec::new());
        for n in 0..IMPORTS {
            ours.push(timed(
                self.import(&format!("import-{n}")).stdin(open(&input)),
            ));
            let mut command = self.command("python3");
            command
                .args(["-c", PYTHON])
                .arg(self.path(&format!("python-{n}.db")));
            python.push(timed(command.stdin(open(&input))));
        }
        let (ours, python) = (median(&ours), median(&python));
        println!("| {IMPORTED} lines, median of {IMPORTS} | s |\n| --- | ---: |");
        println!("| record --stdin | {:.2} |", ours.as_secs_f64());
        println!(
            "| Python: json.loads, executemany | {:.2} |",
            python.as_secs_f64()
        );
        println!("| Python / record | {:.2} |\n", ratio(python, ours));
    }

    fn import(&self, home: &str) -> Command {
        self.program(home, "record --stdin")
    }

    /// Lines of three kinds, alternating.
    fn input(&self, name: &str, count: usize) -> PathBuf {
        const KINDS: [&str; 3] = [
            r#"{"event": "scan.started", "version": "1.0.2", "python_version": "3.11", "metadata": {"mode": "cli", "profile": "balanced", "tools": ["trivy", "semgrep"], "target_types": {"repos": 3, "images": 1}}}"#,
            r#"{"event": "scan.completed", "version": "1.0.2", "python_version": "3.11", "metadata": {"mode": "cli", "profile": "fast", "duration_seconds": 412, "tools_succeeded": 8, "tools_failed": 0, "findings": 37}}"#,
            r#"{"event": "tool.failed", "version": "1.0.2", "python_version": "3.11", "metadata": {"tool": "trivy", "failure_type": "timeout", "profile": "fast"}}"#,
        ];
        let path = self.path(name);
        // Written to a file without holding it in memory, because a child's memory use before
        // `exec` counts as its own.
        let mut file = BufWriter::new(File::create(&path).expect("makes the input"));
        for n in 0..count {
            writeln!(file, "{}", KINDS[n % KINDS.len()]).expect("writes the input");
        }
        file.flush().expect("writes the input");
        path
    }
}

fn contender(name: &str, command: Command) -> Contender {
    Contender {
        name: name.to_owned(),
        command,
    }
}

/// Runs each contender once per round. Returns the median time of each.
fn in_turn(rounds: usize, contenders: &mut [Contender]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    // The first run of each creates its files.
    for contender in contenders.iter_mut() {
        run(&mut contender.command);
    }
    for _ in 0..rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            times.push(timed(&mut contender.command));
        }
    }
    times.iter().map(|times| median(times)).collect()
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    run(command);
    start.elapsed()
}

fn run(command: &mut Command) {
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{command:?}: {status}");
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn open(path: &Path) -> File {
    File::open(path).expect("the input is there")
}

fn installed(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(
        || "unknown CPU".to_owned(),
        |model| model.trim_start_matches(['\t', ' ', ':']).to_owned(),
    )
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}
