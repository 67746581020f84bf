//! Runs the program on a terminal, which `script` of util-linux provides.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::wait_for;
use super::world::World;

/// Ends the input, as a person types it.
pub(crate) const CTRL_D: &str = "\u{4}";

/// A program that runs on a terminal, and what the terminal has shown so far.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Terminal {
    /// Starts the program. `setup` is a shell command that runs before it on the same terminal.
    pub(crate) fn start(world: &World, setup: &str, args: &[&str]) -> Self {
        let program = world.command(args);
        let words = std::iter::once(program.get_program()).chain(program.get_args());
        let quoted = words.map(|word| format!("'{}'", word.to_str().expect("UTF-8")));
        let line = format!("{setup}; {}", quoted.collect::<Vec<_>>().join(" "));
        let environment = program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &line,
                "/dev/null",
            ])
            .current_dir(world.cwd())
            .env_clear()
            .envs(environment)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` starts");
        Self {
            keyboard: child.stdin.take().expect("piped"),
            screen: child.stdout.take().expect("piped"),
            child,
            shown: String::new(),
        }
    }

    /// Waits until the terminal shows this text.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut part = [0; 4096];
        while !self.shown.contains(text) {
            let length = self.screen.read(&mut part).expect("the terminal");
            assert!(length > 0, "`{text}` is not shown: {}", self.shown);
            self.shown += &String::from_utf8_lossy(&part[..length]);
        }
    }

    /// Waits until the terminal does not show what is typed.
    ///
    /// The program shows its prompt just before. `setup` must have been `tty`.
    pub(crate) fn wait_until_hidden(&mut self) {
        self.wait_for("(not shown)");
        let tty = self.shown.lines().next().expect("the name of the terminal");
        let hidden = || {
            let settings = Command::new("stty").args(["-a", "-F", tty]).output();
            String::from_utf8_lossy(&settings.expect("`stty` starts").stdout).contains(" -echo ")
        };
        wait_for(hidden);
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("types");
    }

    /// Waits for the program's end. Returns its exit code and all that was shown.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).expect("the terminal");
        self.shown += &String::from_utf8_lossy(&rest);
        (
            self.child.wait().expect("the program ends").code(),
            self.shown,
        )
    }
}
