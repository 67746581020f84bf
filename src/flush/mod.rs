//! Flushing: assign → send → proof → mark sent, until nothing is due, the deadline comes, or the
//! destination says no. One flusher at a time; `spool.lock` is held for each step in the spool and
//! never while the network is in use. Before each request consent is asked again.

mod batch_size;
mod exchange;
mod report;

use std::time::Duration;

use chrono::{DateTime, Utc};

use self::batch_size::BatchSize;
use self::exchange::Stop;
pub use self::report::{Outcome, Report, SegmentReport};
use crate::clock::{self, Deadline};
use crate::consent::Consent;
use crate::destination::Target;
use crate::destination::retry::{Due, RetryState};
use crate::destination::segment::{Batch, Receipt, SegmentFile};
use crate::destination::verdict::{self, Answer, Verdict};
use crate::destination::{Destination, Reply};
use crate::home::Home;
use crate::limits::FLUSH_DEADLINE;
use crate::spool::{Attempt, Caller, Halved, Spool, SpoolError, Writer};

/// How to flush.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Ignore our own backoff and a pause; never a wait that the server asked for.
    pub now: bool,
    /// At most so many events.
    pub limit: Option<usize>,
    /// The time for all of it.
    pub deadline: Duration,
    /// The spool's size limit in bytes.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            now: false,
            limit: None,
            deadline: FLUSH_DEADLINE,
            max_bytes: crate::limits::SPOOL_MAX_BYTES,
        }
    }
}

/// Uploads what is due. `progress` hears of each confirmed batch: events sent, and events there
/// were.
///
/// # Errors
/// When the spool can't be read or written. Trouble with the destination is no error but an
/// outcome.
pub fn flush(
    home: &Home,
    consent: &Consent,
    destination: &mut dyn Destination,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, SpoolError> {
    let target = destination.target().clone();
    let decision = consent.now();
    if !decision.enabled {
        return Ok(Report {
            error: Some(decision.reason),
            ..Report::nothing(Outcome::Disabled, Some(&target))
        });
    }
    if !home.dir().exists() {
        return Ok(Report::nothing(Outcome::Idle, Some(&target)));
    }
    let Some(_only_one) = home.lock_flush()? else {
        return Ok(Report::nothing(Outcome::Busy, Some(&target)));
    };
    flush_alone(home, consent, destination, options, progress)
}

/// Uploads what is due, with `flush.lock` in hand.
fn flush_alone(
    home: &Home,
    consent: &Consent,
    destination: &mut dyn Destination,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, SpoolError> {
    let target = destination.target().clone();
    let standing = Spool::read(home, |spool| spool.standing(&target))?;
    let mut run = Run {
        home,
        consent,
        destination,
        deadline: Deadline::after(options.deadline),
        left: options.limit.unwrap_or(usize::MAX),
        pace: BatchSize::after(standing.failures),
        standing,
        progress,
        total: 0,
        report: Report::nothing(Outcome::Idle, Some(&target)),
    };
    run.until_done(&target, options.now)?;
    let mut report = run.report;
    // Retention comes last: what is old by a clock that is wrong today had its chance to be sent.
    Spool::write(home, Caller::Command, |writer| {
        match writer.prune(clock::now(), options.max_bytes) {
            Err(error) if error.is_damage() => Err(error),
            _ => Ok(()),
        }
    })?;
    report.remaining = Spool::read(home, Spool::stats)?.waiting();
    Ok(report)
}

/// The files that a flush of everything (or of `limit` events) would write. Contacts nobody and
/// changes nothing.
///
/// # Errors
/// When the spool can't be read.
pub fn dry_run(home: &Home, target: &Target, limit: Option<usize>) -> Result<Report, SpoolError> {
    let mut report = Report::nothing(Outcome::DryRun, Some(target));
    let limit = limit.unwrap_or(usize::MAX);
    let files = Spool::write(home, Caller::Command, |writer| {
        writer.preview(target, limit, clock::now())
    })?;
    report.remaining = Spool::read(home, Spool::stats)?.waiting();
    report.segments = files
        .into_iter()
        .map(|file| SegmentReport {
            url: None,
            bytes: file.content.len(),
            sha256: crate::destination::segment::sha256(file.content.as_bytes()),
            name: file.name,
            events: file.events,
            content: Some(file.content),
        })
        .collect();
    Ok(report)
}

struct Run<'a> {
    home: &'a Home,
    consent: &'a Consent,
    destination: &'a mut dyn Destination,
    deadline: Deadline,
    /// Events that may still be sent.
    left: usize,
    /// What the next request may carry.
    pace: BatchSize,
    standing: RetryState,
    progress: &'a mut dyn FnMut(u64, u64),
    /// Events that were due at the start.
    total: u64,
    report: Report,
}

impl Run<'_> {
    fn until_done(&mut self, target: &Target, forced: bool) -> Result<(), SpoolError> {
        // Nothing waits, nothing is asked: not even whether we may.
        self.total = Spool::read(self.home, Spool::stats)?.waiting();
        if self.total == 0 {
            return Ok(());
        }
        if !self.may_try(target, forced)? {
            return Ok(());
        }
        self.step(|writer| writer.claim(target))?;
        self.report.outcome = Outcome::Sent;
        loop {
            if self.left == 0 || self.deadline.passed() {
                return self.stop_early();
            }
            let room = self.pace.room(self.left);
            let batch = self.step(|writer| writer.assign(target, room, clock::now()))?;
            if batch.is_empty() {
                return Ok(());
            }
            for step in batch.steps() {
                if !self.deliver(target, &step)? {
                    return Ok(());
                }
            }
        }
    }

    /// Looks whether the destination may be tried, and says until when not.
    fn may_try(&mut self, target: &Target, forced: bool) -> Result<bool, SpoolError> {
        let now = clock::now();
        let rebased = self.standing.rebased(now);
        if rebased != self.standing {
            self.step(|writer| writer.store_standing(target, &rebased))?;
            self.standing = rebased;
        }
        let (outcome, until) =
            match self
                .standing
                .due(now, &self.destination.configuration(), forced)
            {
                Due::Now => return Ok(true),
                Due::Backoff(until) => (Outcome::Backoff, until),
                Due::Asked(until) => (Outcome::Waiting, until),
                Due::Paused(until) => (Outcome::Paused, until),
            };
        self.report.outcome = outcome;
        self.report.next_attempt_at = Some(until);
        self.report.error = Spool::read(self.home, |spool| spool.attempts(1))?
            .into_iter()
            .next()
            .and_then(|attempt| attempt.error);
        Ok(false)
    }

    /// The limit or the deadline came: done if nothing is left all the same.
    fn stop_early(&mut self) -> Result<(), SpoolError> {
        if Spool::read(self.home, Spool::stats)?.waiting() > 0 {
            self.report.outcome = Outcome::Unfinished;
        }
        Ok(())
    }

    /// Sends one batch and notes what came of it. `false` ends the flush.
    fn deliver(&mut self, target: &Target, batch: &Batch) -> Result<bool, SpoolError> {
        match self.exchange(batch) {
            Ok(Reply::Proved {
                receipts,
                http_status,
            }) => {
                self.confirmed(target, batch, &receipts, http_status)?;
                Ok(true)
            }
            Ok(Reply::Unproven { answer, error }) => {
                self.unproven(target, batch, answer.as_ref(), error)
            }
            Err(Stop::Disabled(decision)) => {
                self.report.outcome = Outcome::Disabled;
                self.report.error = Some(decision.reason);
                Ok(false)
            }
            Err(Stop::Deadline) => {
                self.report.outcome = Outcome::Unfinished;
                Ok(false)
            }
        }
    }

    fn confirmed(
        &mut self,
        target: &Target,
        batch: &Batch,
        receipts: &[Receipt],
        http_status: Option<u16>,
    ) -> Result<(), SpoolError> {
        let now = clock::now();
        let sent = self.step(|writer| writer.confirm(target, batch, receipts, now, http_status))?;
        self.standing = RetryState::after_success(now);
        self.report.sent += sent;
        (self.progress)(
            self.report.sent as u64,
            self.total.max(self.report.sent as u64),
        );
        self.left = self.left.saturating_sub(batch.unconfirmed());
        // What brings nothing new says nothing about how much fits.
        if batch.unconfirmed() > 0 {
            self.pace.confirmed(batch.unconfirmed());
        }
        for (file, receipt) in batch.files.iter().zip(receipts) {
            self.note(file, receipt);
        }
        Ok(())
    }

    /// A segment that was sent again with more in it is reported once, as it is now.
    fn note(&mut self, file: &SegmentFile, receipt: &Receipt) {
        self.report.segments.retain(|known| known.name != file.name);
        self.report.segments.push(SegmentReport {
            name: file.name.clone(),
            events: file.events,
            bytes: receipt.bytes,
            sha256: receipt.sha256.clone(),
            url: Some(receipt.url.clone()),
            content: None,
        });
    }

    fn unproven(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: Option<&Answer>,
        error: String,
    ) -> Result<bool, SpoolError> {
        let now = clock::now();
        let verdict = answer.map_or(Verdict::Later, |answer| verdict::judge(answer, now));
        if verdict == Verdict::Refused && !batch.files.is_empty() {
            return self.refused(target, batch, answer, error);
        }
        let configuration = self.destination.configuration();
        self.standing = self.standing.after(verdict, now, &configuration, jitter());
        self.report.outcome = match verdict {
            Verdict::NotBefore(_) => Outcome::Waiting,
            Verdict::Paused => Outcome::Paused,
            Verdict::Later | Verdict::Look | Verdict::Refused => Outcome::Failed,
        };
        self.report.next_attempt_at = self.standing.due(now, &configuration, false).until();
        let attempt = self.attempt(now, answer, &error);
        self.report.error = Some(error);
        // "Stay pending" for a refusal of us (contract, section 8): the destination kept nothing of
        // it.
        let give_back = verdict == Verdict::Paused;
        self.step(|writer| writer.failed(target, batch, &attempt, &self.standing, give_back))?;
        Ok(false)
    }

    /// The content was refused: first one segment alone, then half of it, and so on until one event
    /// stands alone.
    fn refused(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: Option<&Answer>,
        error: String,
    ) -> Result<bool, SpoolError> {
        let now = clock::now();
        let mut attempt = self.attempt(now, answer, &error);
        "refused".clone_into(&mut attempt.outcome);
        // Not a failure of the destination: it is well and says what it does not want.
        let standing = RetryState {
            last_write_at: Some(now),
            ..self.standing.clone()
        };
        self.step(|writer| writer.failed(target, batch, &attempt, &standing, false))?;
        let [only] = batch.files.as_slice() else {
            self.pace.refused_several();
            return Ok(true);
        };
        match self.step(|writer| writer.halve(only, &error))? {
            Halved::Smaller => self.pace.refused(only.unconfirmed),
            Halved::Held => {
                self.pace.found();
                self.report.error = Some(error);
            }
            Halved::Settled => {}
        }
        Ok(true)
    }

    fn attempt(&self, at: DateTime<Utc>, answer: Option<&Answer>, error: &str) -> Attempt {
        let outcome = match self.report.outcome {
            Outcome::Waiting => "waiting",
            Outcome::Paused => "paused",
            _ => "failed",
        };
        Attempt {
            at,
            destination: self.destination.target().to_string(),
            outcome: outcome.to_owned(),
            http_status: answer.map(|answer| answer.status),
            sent: 0,
            error: Some(error.to_owned()),
        }
    }

    /// One short step in the spool.
    fn step<T: Default>(
        &self,
        step: impl FnMut(&mut Writer<'_>) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        Spool::write(self.home, Caller::Command, step)
    }
}

/// A random number in 0..1.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u64_pair().0 >> 12;
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit a double exactly")]
    let jitter = random as f64 / (1u64 << 52) as f64;
    jitter
}
