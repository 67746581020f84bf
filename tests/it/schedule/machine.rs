//! A machine with fake schedulers: scripts that keep a crontab in a file and log how they were
//! called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::world::{Ran, World};

/// A fake `crontab`, which keeps the crontab in a file. Files next to it tell what fails and what is
/// slow.
const CRONTAB: &str = r#"#!/bin/sh
dir=$(dirname "$0")
case "$1" in
-l)
  [ -e "$dir/list-fails" ] && { echo "crontab: cannot open your crontab: Input/output error" >&2; exit 1; }
  [ -e "$dir/tab" ] || { echo "no crontab for you" >&2; exit 1; }
  cat "$dir/tab" ;;
-r) rm "$dir/tab" ;;
-)
  [ -e "$dir/write-fails" ] && { echo "crontab: disk full" >&2; exit 1; }
  [ -e "$dir/slow" ] && { echo > "$dir/started"; while [ -e "$dir/slow" ]; do sleep 0.01; done; }
  cat > "$dir/new" && mv "$dir/new" "$dir/tab"
  echo > "$dir/done" ;;
esac
"#;

/// A fake `systemctl`, which logs its arguments. It fails for the verb that the file `fails` names.
pub(super) const SYSTEMCTL: &str = r#"#!/bin/sh
dir=$(dirname "$0")
echo "$@" >> "$dir/asked"
[ "$2" = "$(cat "$dir/fails" 2>/dev/null)" ] && { echo "Failed to $2: nothing works today" >&2; exit 1; }
exit 0
"#;

/// A world with fake schedulers. The real ones of this machine can't be reached.
pub(super) struct Machine {
    pub(super) world: World,
    pub(super) bin: PathBuf,
    /// The folder of the program, and the program.
    pub(super) program: (TempDir, PathBuf),
}

impl Machine {
    pub(super) fn new() -> Self {
        let mut world = World::new();
        let bin = world.cwd().join("bin");
        fs::create_dir(&bin).expect("a directory");
        for program in ["sh", "cat", "mv", "rm", "dirname", "sleep"] {
            let real = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(program));
            let real = real.iter().find(|path| path.exists()).expect("a tool");
            std::os::unix::fs::symlink(real, bin.join(program)).expect("a link");
        }
        world.set("PATH", bin.to_str().expect("text"));
        Self {
            world,
            bin,
            program: installed_program("bin"),
        }
    }

    pub(super) fn with_cron() -> Self {
        Self::new().script("crontab", CRONTAB)
    }

    pub(super) fn with_systemd() -> Self {
        Self::new().script("systemctl", SYSTEMCTL)
    }

    pub(super) fn script(self, name: &str, text: &str) -> Self {
        let path = self.bin.join(name);
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        self
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.bin.join(name), content).expect("a file");
    }

    pub(super) fn tab(&self) -> Option<Vec<u8>> {
        fs::read(self.bin.join("tab")).ok()
    }

    /// Waits for a file that a script makes.
    #[track_caller]
    pub(super) fn wait_for(&self, name: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.bin.join(name).exists() {
            assert!(Instant::now() < end, "{name} was never made");
            std::thread::yield_now();
        }
    }

    pub(super) fn unit(&self, name: &str) -> PathBuf {
        self.world.cwd().join(".config/systemd/user").join(name)
    }

    pub(super) fn schedule(&self, args: &str) -> Ran {
        let mut command = self.command(args);
        let output = command.output().expect("it runs");
        Ran::from_output(&command, output)
    }

    /// A subcommand of `schedule` that is not started yet.
    pub(super) fn command(&self, args: &str) -> Command {
        let args = ["schedule"].into_iter().chain(args.split_whitespace());
        moved(&self.program.1, &self.world.command(args))
    }

    pub(super) fn shown(&self) -> Value {
        self.schedule("show --json").ok().json()
    }
}

/// Puts the program at another path.
pub(super) fn put(path: &Path) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    let program = env!("CARGO_BIN_EXE_jmo-telemetry");
    if fs::hard_link(program, path).is_err() {
        fs::copy(program, path).expect("a copy");
    }
}

/// The program in a folder of this name that is not in a temporary directory, wherever these tests
/// are built.
pub(super) fn installed_program(folder: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir_in("/opt")
        .or_else(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")))
        .expect("a directory");
    let path = dir.path().join(folder).join("jmo-telemetry");
    put(&path);
    (dir, path)
}

/// Runs a command of a world with the program at another path.
pub(super) fn run(program: &Path, like: &Command) -> Ran {
    let mut command = moved(program, like);
    let output = command.output().expect("it runs");
    Ran::from_output(&command, output)
}

/// A command of a world with the program at another path.
fn moved(program: &Path, like: &Command) -> Command {
    let environment = like
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut command = Command::new(program);
    command
        .args(like.get_args())
        .current_dir(like.get_current_dir().expect("a directory"))
        .env_clear()
        .envs(environment);
    command
}

/// Everything below a directory, with the contents of files.
pub(super) fn tree(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        all.push((path.clone(), fs::read(&path).ok()));
    }
    all.sort();
    all
}
