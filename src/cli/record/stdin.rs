//! `record --stdin`: one event per line, up to the end of the input. While one batch is made
//! durable, another thread reads the next one.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::report::{Rejected, Report};
use crate::cli::exit::{Code, Failure};
use crate::cli::out::Out;
use crate::clock::Deadline;
use crate::event::{Draft, EventError, Payload};
use crate::limits::{
    INPUT_BUFFER_BYTES, INPUT_LINE_BYTES, INPUT_PAUSE, RECORD_BATCH_BYTES, RECORD_BATCH_EVENTS,
    RECORD_WAIT,
};
use crate::record::{RecordError, preview, stamp, store};
use crate::settings::Settings;

/// Records every valid line of the input, or with `dry_run` only prints what would be recorded.
/// Invalid lines are reported immediately.
pub(super) fn record(
    settings: &Settings,
    dry_run: bool,
    report: &mut Report,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut batches = Input::new(settings, dry_run);
    let mut code = Code::Done;
    let mut patience = RECORD_WAIT;
    let mut finish = |batch: Result<Batch, RecordError>| -> Result<(), Failure> {
        let batch = batch?;
        for rejected in batch.rejected {
            code = Code::BadEvent;
            report.reject(rejected, out);
        }
        for (field, times) in batch.dropped {
            report.leave_out(field, times);
        }
        if dry_run {
            report.show(&batch.payloads, out)?;
        } else {
            let (home, consent) = (&settings.home, &settings.consent);
            let deadline = Deadline::after(patience);
            let stored = store(home, consent, &batch.payloads, settings.spool_max, deadline)?;
            // If one batch waited in vain for another process, the next batches don't wait again.
            if stored.overflowed() {
                patience = Duration::ZERO;
            }
            report.recorded(stored);
        }
        batch
            .failed
            .map_or(Ok(()), |error| Err(Failure::stdin(error)))
    };
    let piped = thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let read = || {
            for batch in &mut batches {
                if sender.send(batch).is_err() {
                    // The other thread has failed and reports why.
                    break;
                }
            }
            // The other thread waits for batches until the sender is dropped.
            drop(sender);
        };
        thread::Builder::new().spawn_scoped(scope, read).ok()?;
        Some(receiver.into_iter().try_for_each(&mut finish))
    });
    match piped {
        Some(done) => done?,
        // Without a second thread, reading and storing alternate.
        None => batches.try_for_each(&mut finish)?,
    }
    Ok(code)
}

/// Programs on Windows put it before text. It belongs to no line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The events that are read and stored together.
#[derive(Default)]
struct Batch {
    payloads: Vec<Payload>,
    /// Names of fields that were left out, and how often.
    dropped: BTreeMap<String, usize>,
    rejected: Vec<Rejected>,
    /// Why the input could not be read to the end.
    failed: Option<io::Error>,
}

/// stdin in bounded batches. While telemetry is disabled, its lines are read and discarded, so that
/// the program that writes them gets no broken pipe.
struct Input<'s> {
    /// Its buffer is so large that stdin's own is never used.
    lines: BufReader<Stdin>,
    number: usize,
    settings: &'s Settings,
    dry_run: bool,
    /// What is left of the time that stamping may take for all batches together.
    patience: Duration,
    ended: bool,
}

impl<'s> Input<'s> {
    fn new(settings: &'s Settings, dry_run: bool) -> Self {
        Self {
            lines: BufReader::with_capacity(INPUT_BUFFER_BYTES, io::stdin()),
            number: 0,
            settings,
            dry_run,
            patience: RECORD_WAIT,
            ended: false,
        }
    }

    fn is_wanted(&self) -> bool {
        self.dry_run || self.settings.consent.now().enabled
    }

    /// Reads the next batch, or less at the end of the input and when it pauses.
    fn read(&mut self, drafts: &mut Vec<Draft>, batch: &mut Batch) -> io::Result<()> {
        let wanted = self.is_wanted();
        let mut line = Vec::new();
        let mut bytes = 0;
        while bytes < RECORD_BATCH_BYTES && drafts.len() < RECORD_BATCH_EVENTS {
            let waiting = !drafts.is_empty() || !batch.rejected.is_empty();
            if waiting && !self.lines.buffer().contains(&b'\n') && !arrives_within(INPUT_PAUSE) {
                break;
            }
            line.clear();
            if read_line(&mut self.lines, &mut line)? == 0 {
                self.ended = true;
                break;
            }
            self.number += 1;
            bytes += line.len();
            if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            if !wanted || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read_draft(&line) {
                Ok(read) => {
                    for name in read.dropped {
                        *batch.dropped.entry(name).or_default() += 1;
                    }
                    drafts.push(read.draft);
                }
                Err(error) => batch.rejected.push(Rejected {
                    line: Some(self.number),
                    error: error.to_string(),
                }),
            }
        }
        Ok(())
    }
}

impl Iterator for Input<'_> {
    type Item = Result<Batch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut drafts = Vec::new();
        let mut batch = Batch::default();
        if let Err(error) = self.read(&mut drafts, &mut batch) {
            self.ended = true;
            batch.failed = Some(error);
        }
        let home = &self.settings.home;
        let stamped = if self.dry_run {
            Ok(preview(home, drafts))
        } else if self.is_wanted() {
            let deadline = Deadline::after(self.patience);
            let stamped = stamp(home, drafts, deadline);
            self.patience = deadline.left();
            stamped
        } else {
            Ok(Vec::new())
        };
        Some(
            stamped
                .map(|payloads| Batch { payloads, ..batch })
                .map_err(RecordError::from),
        )
    }
}

/// Whether more input, or its end, arrives within this time.
#[cfg(unix)]
fn arrives_within(time: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    let stdin = io::stdin();
    let mut input = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    // After a signal, what has been read is stored, too.
    poll(&mut input, time).is_ok_and(|ready| ready > 0)
}

/// Windows does not tell it for all kinds of input, so batches are always full there.
#[cfg(not(unix))]
fn arrives_within(_: Duration) -> bool {
    true
}

/// Reads one line without its line break. Keeps only the beginning of a line that is too long.
/// Returns 0 at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let read = input
        .by_ref()
        .take(INPUT_LINE_BYTES as u64 + 1)
        .read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > INPUT_LINE_BYTES {
        input.skip_until(b'\n')?;
    }
    Ok(read)
}

fn read_draft(line: &[u8]) -> Result<crate::event::Read, EventError> {
    if line.len() > INPUT_LINE_BYTES {
        Err(EventError::TooLong)
    } else {
        Draft::from_json(line)
    }
}
