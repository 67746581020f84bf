//! Runs long work on another thread. Meanwhile this thread shows the progress, listens for Ctrl-C
//! and SIGTERM, and stops waiting when the time is over. The process then simply exits: whatever
//! the work was doing, the spool is as safe as after a kill.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::exit::{Code, Failure};
use super::out::Out;
use crate::clock::Deadline;

/// The progress of the work: how much is done, and how much there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) total: u64,
}

enum Message<T> {
    Progress(Progress),
    Done(T),
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "Windows ends the process on Ctrl-C")
    )]
    Signal(i32),
}

/// Runs `work` until it ends, a signal arrives, or `time` is over.
///
/// # Errors
/// When it was stopped before its end.
pub(super) fn watch<T: Send + 'static>(
    out: &mut Out,
    time: Duration,
    work: impl FnOnce(&mut dyn FnMut(Progress)) -> T + Send + 'static,
) -> Result<T, Failure> {
    let deadline = Deadline::after(time);
    let (sender, receiver) = mpsc::channel();
    listen(sender.clone())?;
    thread::spawn(move || {
        let tell = sender.clone();
        // If nobody is listening any more, the process is about to exit.
        let result = work(&mut |progress| drop(tell.send(Message::Progress(progress))));
        let _ = sender.send(Message::Done(result));
    });
    let mut bar = out.progress_bar();
    loop {
        match receiver.recv_timeout(deadline.left()) {
            Ok(Message::Progress(progress)) => bar.show(progress.done, progress.total),
            Ok(Message::Done(result)) => return Ok(result),
            Ok(Message::Signal(signal)) => {
                let code = if signal == signal_hook::consts::SIGINT {
                    Code::Interrupted
                } else {
                    Code::Terminated
                };
                return Err(Failure::new(
                    code,
                    "stopped; what was not confirmed stays for the next time",
                ));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(Failure::new(
                    Code::TryLater,
                    "stopped at the deadline; the rest stays for the next time",
                ));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(Code::Io, "the work ended without a result"));
            }
        }
    }
}

#[cfg(unix)]
fn listen<T: Send + 'static>(sender: Sender<Message<T>>) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(Code::Io, format!("failed to wait for signals: {error}")))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let _ = sender.send(Message::Signal(signal));
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn listen<T: Send + 'static>(_: Sender<Message<T>>) -> Result<(), Failure> {
    Ok(())
}
