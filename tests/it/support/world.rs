//! A world: a temporary home, a clean environment, and the real binary. A failing test prints what
//! a user would have seen.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::gist_server::GistServer;

/// Records one event.
pub(crate) const ONE: [&str; 8] = [
    "record",
    "tool.failed",
    "--tool",
    "trivy",
    "--failure-type",
    "crash",
    "--profile",
    "fast",
];

pub(crate) struct World {
    dir: TempDir,
    environment: BTreeMap<String, String>,
}

impl World {
    /// A world without a home yet, in which telemetry is enabled and no destination is configured.
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            environment: BTreeMap::new(),
        }
    }

    /// A world whose environment names this server's Gist and its owner's token.
    pub(crate) fn with_gist(server: &GistServer) -> Self {
        Self::new()
            .with("JMO_TELEMETRY_GIST_ID", server.gist_id())
            .with("JMO_TELEMETRY_GITHUB_TOKEN", server.token())
            .with("JMO_TELEMETRY_GITHUB_API", server.api())
    }

    /// The same world with one more variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    #[allow(dead_code, reason = "for new tests")]
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// The home of the program; it does not exist at first.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A file of the home.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// The working directory of every command.
    pub(crate) fn cwd(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// A directory to flush to. It does not exist at first.
    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The same as a destination: `dir:…`.
    pub(crate) fn out_target(&self) -> String {
        format!("dir:{}", self.out().display())
    }

    /// The program with these arguments, a clean environment and no stdin.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jmo-telemetry"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", "/usr/bin:/bin")
            .env("JMO_TELEMETRY_HOME", self.home())
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(self.command(args), None)
    }

    /// Runs the program to its end with this on stdin.
    pub(crate) fn run_with<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &str,
    ) -> Ran {
        Ran::of(self.command(args), Some(input))
    }

    /// Records one event.
    pub(crate) fn record(&self) {
        self.run(ONE).ok();
    }

    /// Records `count` events through one stdin.
    pub(crate) fn record_many(&self, count: usize) {
        self.run_with(["record", "--stdin"], &lines(count)).ok();
    }

    /// Runs `flush` with more arguments, which must exit with 0. Returns its report.
    pub(crate) fn flush<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Value {
        self.run(["flush", "--json"].into_iter().chain(args))
            .ok()
            .json()
    }

    /// Every row of the spool.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.run(["spool", "list", "--limit", "0", "--json"])
            .ok()
            .json_lines()
    }

    /// The number of rows in a state.
    pub(crate) fn count(&self, state: &str) -> usize {
        self.rows()
            .iter()
            .filter(|row| row["state"] == state)
            .count()
    }

    /// The payloads of all rows, as `spool show` prints them, byte for byte.
    pub(crate) fn payloads(&self) -> Vec<String> {
        let shown = |row: &Value| {
            self.run(["spool", "show", &row["seq"].to_string()])
                .ok()
                .stdout
                .trim_end()
                .to_owned()
        };
        self.rows().iter().map(shown).collect()
    }

    /// The `event_id`s of all rows.
    pub(crate) fn event_ids(&self) -> Vec<String> {
        self.rows()
            .iter()
            .map(|row| row["event_id"].as_str().expect("a string").to_owned())
            .collect()
    }

    /// `spool stats`.
    pub(crate) fn stats(&self) -> Value {
        self.run(["spool", "stats", "--json"]).ok().json()
    }

    /// `status`.
    pub(crate) fn status(&self) -> Value {
        self.run(["status", "--json"]).ok().json()
    }

    /// Checks the conservation law, with `spool check` and with the numbers.
    pub(crate) fn check(&self) {
        let check = self.run(["spool", "check", "--json"]);
        assert_eq!(check.json(), json!({"ok": true, "problems": []}), "{check}");
        let stats = self.stats();
        let number = |name: &str| stats[name].as_u64().expect("a number");
        let dropped: u64 = stats["dropped"]
            .as_object()
            .expect("an object")
            .values()
            .map(|n| n.as_u64().expect("a number"))
            .sum();
        let accounted = ["pending", "sending", "sent", "held", "purged"]
            .map(number)
            .iter()
            .sum::<u64>()
            + dropped;
        assert_eq!(number("recorded"), accounted, "{stats}");
    }

    /// All lines of all segment files in the directory [`World::out`], in the order of the file names.
    pub(crate) fn lines_out(&self) -> Vec<String> {
        let mut paths: Vec<_> = std::fs::read_dir(self.out())
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("a directory entry").path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "jsonl")
            })
            .collect();
        paths.sort();
        let read = |path: &PathBuf| std::fs::read_to_string(path).expect("a segment file");
        paths
            .iter()
            .flat_map(|path| read(path).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

/// `count` valid lines for `record --stdin`, of all kinds in turn.
pub(crate) fn lines(count: usize) -> String {
    const KINDS: [&str; 6] = [
        r#"{"event":"scan.started","version":"1.0.2","python_version":"3.11","metadata":{"mode":"cli","profile":"balanced","tools":["trivy","semgrep"],"target_types":{"repos":3,"images":1,"urls":0,"iac":0,"gitlab":0,"k8s":0},"ci_detected":false,"multi_target_scan":true,"compliance_usage":true,"total_targets_bucket":"2-5","scan_frequency_hint":"weekly"}}"#,
        r#"{"event":"scan.completed","version":"1.0.2","python_version":"3.11","metadata":{"mode":"cli","profile":"fast","duration_bucket":"5-15min","tools_succeeded":8,"tools_failed":0,"total_findings_bucket":"10-100"}}"#,
        r#"{"event":"tool.failed","version":"1.0.2","python_version":"3.11","metadata":{"tool":"trivy","failure_type":"timeout","exit_code":null,"profile":"fast"}}"#,
        r#"{"event":"wizard.completed","version":"1.0.2","python_version":null,"metadata":{"profile_selected":"balanced","execution_mode":"docker","artifact_generated":"makefile","duration_seconds":120}}"#,
        r#"{"event":"report.generated","version":"1.0.2","python_version":"3.12","metadata":{"output_formats":["json","md","sarif"],"findings_bucket":"100-1000","suppressions_used":true,"compliance_enabled":false}}"#,
        r#"{"event":"policy.evaluated","version":"1.0.2","python_version":"3.11","metadata":{"policy_count":2,"violations_bucket":"1-5","evaluation_time_bucket":"<50ms","policies":["owasp-top-10","zero-secrets"],"passed_count":1,"failed_count":1}}"#,
    ];
    (0..count)
        .map(|n| format!("{}\n", KINDS[n % KINDS.len()]))
        .collect()
}

/// The result of a finished command.
pub(crate) struct Ran {
    command: String,
    cwd: PathBuf,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(mut command: Command, input: Option<&str>) -> Self {
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            let input = input.to_owned();
            // Errors are ignored: the program may stop reading on purpose.
            std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        Self::from_output(
            &command,
            child.wait_with_output().expect("the program ends"),
        )
    }

    pub(crate) fn from_output(command: &Command, output: Output) -> Self {
        Self {
            command: format!("{command:?}"),
            cwd: command
                .get_current_dir()
                .map(PathBuf::from)
                .unwrap_or_default(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It exited 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// It exited with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Its stdout as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON on stdout: {error}\n{self}"))
    }

    /// Its stdout as one JSON value per line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
        };
        self.stdout.lines().map(parse).collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "command: {}\ncwd: {}\nstatus: {:?}",
            self.command,
            self.cwd.display(),
            self.code
        )?;
        writeln!(
            f,
            "stdout:\n{}\nstderr:\n{}\nfiles:",
            self.stdout, self.stderr
        )?;
        for dir in ["home", "out"] {
            for entry in std::fs::read_dir(self.cwd.join(dir))
                .into_iter()
                .flatten()
                .flatten()
            {
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                writeln!(
                    f,
                    "  {dir}/{} {size} bytes",
                    entry.file_name().to_string_lossy()
                )?;
            }
        }
        Ok(())
    }
}

/// Makes the spool look as if this much time had passed, by moving all stored waits and pauses back.
pub(crate) fn later(world: &World, by: Duration) {
    let changed = database(world).execute(
        "UPDATE destination SET retry_at = retry_at - ?1, wait_until = wait_until - ?1, paused_at = paused_at - ?1,
         noted_at = noted_at - ?1, last_write_at = last_write_at - ?1",
        [i64::try_from(by.as_millis()).expect("not that late")],
    );
    changed.expect("the spool can be written");
}

/// The spool's database, for data that no command shows.
pub(crate) fn database(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(world.file("spool.db")).expect("the spool opens")
}
