//! Runs the schedulers' own programs: `systemctl`, `crontab`, `launchctl`, `schtasks`. No other
//! part of `schedule` starts a program.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use std::{io, mem};

use super::ScheduleError;
use crate::clock::{self, Deadline};
use crate::limits::SCHEDULER_WAIT;

/// Runs a command to its end, without input. An exit code other than 0 is not an error here.
///
/// # Errors
/// When it can't be started, or does not end in time and is killed.
pub(super) fn output(command: &[&str]) -> Result<Output, ScheduleError> {
    output_reading(command, Stdio::null())
}

/// Runs a command that must succeed.
///
/// # Errors
/// When it fails.
pub(super) fn succeed(command: &[&str]) -> Result<Output, ScheduleError> {
    succeeded(command, output(command)?)
}

/// Runs a command that must succeed, with this file as stdin.
///
/// # Errors
/// When it fails.
pub(super) fn succeed_reading(command: &[&str], input: File) -> Result<Output, ScheduleError> {
    succeeded(command, output_reading(command, input.into())?)
}

fn output_reading(command: &[&str], input: Stdio) -> Result<Output, ScheduleError> {
    run(command, input).map_err(|source| ScheduleError::Run {
        command: command.join(" "),
        source,
    })
}

fn succeeded(command: &[&str], output: Output) -> Result<Output, ScheduleError> {
    if output.status.success() {
        Ok(output)
    } else {
        Err(failed(command, &output))
    }
}

/// The error of a command that ran and failed.
pub(super) fn failed(command: &[&str], output: &Output) -> ScheduleError {
    ScheduleError::Failed {
        command: command.join(" "),
        message: message(output),
    }
}

/// The message of a command as one line: its stderr, or its stdout if stderr is empty.
fn message(output: &Output) -> String {
    let said = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
    };
    [said(&output.stderr), said(&output.stdout)]
        .into_iter()
        .find(|line| !line.is_empty())
        .unwrap_or_else(|| output.status.to_string())
}

fn run(command: &[&str], input: Stdio) -> io::Result<Output> {
    let [program, arguments @ ..] = command else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut child = Command::new(program)
        .args(arguments)
        // English messages, because some of them are parsed.
        .env("LC_ALL", "C")
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let deadline = Deadline::after(SCHEDULER_WAIT);
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let status = wait(&mut child, deadline)?;
    // A process that it started may hold its pipes open. Incomplete output must not be used, such
    // as half a crontab.
    let rest = |pipe: Receiver<Vec<u8>>| pipe.recv_timeout(deadline.left()).map_err(|_| too_slow());
    Ok(Output {
        status,
        stdout: rest(stdout)?,
        stderr: rest(stderr)?,
    })
}

/// Reads a pipe to its end, on a thread of its own.
fn reader<R: Read + Send + 'static>(pipe: Option<R>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe
            && pipe.read_to_end(&mut bytes).is_ok()
        {
            // If it took too long, nobody is waiting any more.
            let _ = sender.send(bytes);
        }
    });
    receiver
}

fn too_slow() -> io::Error {
    let message = format!("it did not end within {} s", SCHEDULER_WAIT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Waits for the end of a child, and kills it when that takes too long.
fn wait(child: &mut Child, deadline: Deadline) -> io::Result<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if deadline.passed() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(too_slow());
        }
        let next = (pause * 2).min(Duration::from_millis(20));
        clock::sleep(mem::replace(&mut pause, next));
    }
}
