//! Flushing: assign → send → proof → mark as sent, until nothing is due, the deadline has passed,
//! or the destination fails. Only one flush runs at a time. `spool.lock` is held for each step in
//! the spool, but never while the network is in use. Consent is checked again before each request.

mod batch_size;
mod control;
mod dry_run;
mod exchange;
#[cfg(test)]
mod protocol;
mod rejected;
mod report;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::batch_size::BatchSize;
use self::control::Control;
pub(crate) use self::dry_run::dry_run;
use self::exchange::Stop;
pub use self::report::{Outcome, Report, SegmentReport};
use crate::clock::{self, Deadline};
use crate::consent::Consent;
use crate::destination::retry::{Due, RetryState};
use crate::destination::segment::{Batch, Receipt, SegmentFile};
use crate::destination::verdict::Verdict;
use crate::destination::{Chosen, Confirmed, Destination, Target, Unconfirmed};
use crate::home::Home;
use crate::limits::{FLUSH_DEADLINE, FLUSH_EVENTS};
use crate::request::{Closed, Gate, Purpose};
use crate::spool::{Attempt, Caller, Reconciled, Spool, SpoolError, Writer};

/// Options of a flush.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Ignore our own backoff and pause, but not a wait that the server asked for.
    pub now: bool,
    /// Send at most this many events.
    pub limit: Option<usize>,
    /// Whether the banner must have been shown, because the user did not choose the destination.
    pub notice_first: bool,
    /// The time for the whole flush.
    pub deadline: Duration,
    /// The spool's size limit in bytes.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            now: false,
            limit: None,
            notice_first: false,
            deadline: FLUSH_DEADLINE,
            max_bytes: crate::limits::SPOOL_MAX_BYTES,
        }
    }
}

/// Uploads what is due. `progress` is called after each confirmed batch, with the number of events
/// sent and the total.
///
/// # Errors
/// When the spool can't be read or written. A failure of the destination is not an error but an
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

/// Uploads what is due, while holding `flush.lock`.
fn flush_alone(
    home: &Home,
    consent: &Consent,
    destination: &mut dyn Destination,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, SpoolError> {
    let target = destination.target().clone();
    let retry = Spool::read(home, |spool| spool.retry_state(&target))?;
    let chosen = Chosen {
        target: target.clone(),
        notice_first: options.notice_first,
    };
    let mut run = Run {
        home,
        gate: Gate::new(home, consent, &chosen),
        deadline: Deadline::after(options.deadline),
        left: options.limit.unwrap_or(FLUSH_EVENTS).min(FLUSH_EVENTS),
        looked: !destination.capabilities().can_look,
        taken: HashSet::new(),
        control: Control::default(),
        batch_size: BatchSize::after(retry.failures, destination.capabilities()),
        destination,
        retry,
        progress,
        total: 0,
        report: Report::nothing(Outcome::Idle, Some(&target)),
    };
    run.until_done(&target, options.now)?;
    let mut report = run.report;
    // Retention comes last, so that events which only a wrong clock makes old are sent before they
    // can expire.
    Spool::write(home, Caller::Command, |writer| {
        match writer.prune(clock::now(), options.max_bytes) {
            Err(error) if error.is_damage() => Err(error),
            _ => Ok(()),
        }
    })?;
    report.remaining = Spool::read(home, Spool::stats)?.waiting();
    Ok(report)
}

struct Run<'a> {
    home: &'a Home,
    gate: Gate<'a>,
    destination: &'a mut dyn Destination,
    deadline: Deadline,
    /// Events that may still be sent.
    left: usize,
    /// The search for a rejected event.
    control: Control,
    /// Whether the destination was looked at, or can't be.
    looked: bool,
    /// Names that files at the destination already have, which new segments must not use.
    taken: HashSet<String>,
    /// How much the next request may contain.
    batch_size: BatchSize,
    retry: RetryState,
    progress: &'a mut dyn FnMut(u64, u64),
    /// Events that were due at the start.
    total: u64,
    report: Report,
}

impl Run<'_> {
    fn until_done(&mut self, target: &Target, forced: bool) -> Result<(), SpoolError> {
        // If nothing is waiting, no request is made, and consent need not be checked.
        self.total = Spool::read(self.home, Spool::stats)?.waiting();
        if self.total == 0 {
            return Ok(());
        }
        if !self.may_try(target, forced)? {
            return Ok(());
        }
        self.step(|writer| writer.reassign(target))?;
        self.report.outcome = Outcome::Sent;
        loop {
            if self.left == 0 || self.deadline.passed() {
                return self.stop_early();
            }
            // If no request may be made, nothing is assigned, because assigned events count as tried.
            if let Err(closed) = self.gate.pass(Purpose::Upload, &self.retry) {
                self.stopped(Stop::Closed(closed));
                return Ok(());
            }
            let mut limits = self.batch_size.limits(self.left);
            if self.control.is_needed() {
                (limits.segments, limits.events) = (1, 1);
            }
            let batch = self.step(|writer| {
                writer.assign(target, limits, &self.taken, self.control.suspects())
            })?;
            if batch.is_empty() {
                return self.end_of_search(target);
            }
            if !self.looked {
                match self.reconcile(target, &batch)? {
                    None => return Ok(()),
                    Some(Reconciled { changed: true, .. }) => continue,
                    Some(_) => {}
                }
            }
            for step in batch.steps() {
                if !self.deliver(target, &step)? {
                    return Ok(());
                }
            }
        }
    }

    /// Whether the destination may be tried now. If not, reports when it may.
    fn may_try(&mut self, target: &Target, forced: bool) -> Result<bool, SpoolError> {
        let now = clock::now();
        let rebased = self.retry.rebased(now);
        if rebased != self.retry {
            self.step(|writer| writer.store_retry_state(target, &rebased))?;
            self.retry = rebased;
        }
        let (outcome, until) = match self.retry.due(now, &self.destination.fingerprint(), forced) {
            Due::Now => return Ok(true),
            Due::Backoff(until) => (Outcome::Backoff, until),
            Due::RateLimited(until) => (Outcome::Waiting, until),
            Due::Paused(until) => (Outcome::Paused, until),
        };
        self.report.outcome = outcome;
        self.report.next_attempt_at = Some(until);
        self.report.error = self.retry.failure.as_ref().map(|last| last.reason.clone());
        Ok(false)
    }

    /// The limit or the deadline was reached. The flush is still complete if nothing is left.
    fn stop_early(&mut self) -> Result<(), SpoolError> {
        if Spool::read(self.home, Spool::stats)?.waiting() > 0 {
            self.report.outcome = Outcome::Unfinished;
        }
        Ok(())
    }

    /// Sends one batch and stores the result. Returns `false` when the flush must end.
    fn deliver(&mut self, target: &Target, batch: &Batch) -> Result<bool, SpoolError> {
        match self.exchange(batch) {
            Ok(Ok(confirmed)) => {
                self.confirmed(target, batch, &confirmed)?;
                Ok(true)
            }
            Ok(Err(unconfirmed)) => self.unconfirmed(target, batch, &unconfirmed),
            Err(stop) => {
                self.stopped(stop);
                Ok(false)
            }
        }
    }

    /// A request was not made.
    fn stopped(&mut self, stop: Stop) {
        let told = |closed: Closed| Some(closed.to_string());
        (self.report.outcome, self.report.error) = match stop {
            Stop::Deadline => (Outcome::Unfinished, None),
            Stop::Closed(Closed::Disabled(decision)) => (Outcome::Disabled, Some(decision.reason)),
            Stop::Closed(closed @ Closed::NoticeFirst) => (Outcome::NoticeFirst, told(closed)),
            Stop::Closed(closed @ Closed::RateLimited(until)) => {
                self.report.next_attempt_at = Some(until);
                (Outcome::Waiting, told(closed))
            }
        };
    }

    /// Looks at the destination before anything is written there, because another copy of this
    /// spool may have written. Returns `None` when the flush must end.
    fn reconcile(
        &mut self,
        target: &Target,
        batch: &Batch,
    ) -> Result<Option<Reconciled>, SpoolError> {
        let unsettled = Spool::read(self.home, |spool| spool.unsettled(target))?;
        let seen = match self.look(&unsettled.files, &unsettled.events) {
            Ok(Ok(seen)) => seen,
            Ok(Err(unconfirmed)) => {
                self.failed(target, batch, &unconfirmed)?;
                return Ok(None);
            }
            Err(stop) => {
                self.stopped(stop);
                return Ok(None);
            }
        };
        let now = clock::now();
        let reconciled = self.step(|writer| {
            writer.reconcile(target, &unsettled, &seen.proof, now, seen.http_status)
        })?;
        self.report.sent += reconciled.arrived;
        // If not all files were listed, the files of a changed request have not been looked for yet.
        self.looked = !(reconciled.changed && seen.proof.incomplete);
        self.taken = seen.proof.names;
        Ok(Some(reconciled))
    }

    fn confirmed(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: &Confirmed<Vec<Receipt>>,
    ) -> Result<(), SpoolError> {
        let now = clock::now();
        let receipts = &answer.proof;
        let sent =
            self.step(|writer| writer.confirm(target, batch, receipts, now, answer.http_status))?;
        self.retry = RetryState::after_success(now);
        // Only new events count as a control: a destination that accepts nothing new may still
        // confirm what it already has.
        if batch.unconfirmed() > 0 {
            for segment in self.control.taken() {
                self.report.held += self.step(|writer| writer.hold(segment))?;
            }
        }
        self.report.sent += sent;
        self.report.held += receipts
            .iter()
            .map(|receipt| receipt.rejected.len())
            .sum::<usize>();
        (self.progress)(
            self.report.sent as u64,
            self.total.max(self.report.sent as u64),
        );
        self.left = self.left.saturating_sub(batch.unconfirmed());
        // A request without new events does not show how much fits into one.
        if batch.unconfirmed() > 0 {
            self.batch_size.confirmed(batch.unconfirmed());
        }
        for (file, receipt) in batch.files.iter().zip(receipts) {
            self.note(file, receipt);
        }
        Ok(())
    }

    /// Adds a segment to the report. One that was sent again with more events is reported once, in
    /// its latest form.
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

    fn unconfirmed(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: &Unconfirmed,
    ) -> Result<bool, SpoolError> {
        if answer.verdict == Verdict::Rejected && !batch.files.is_empty() {
            return self.rejected(target, batch, answer);
        }
        self.failed(target, batch, answer)?;
        Ok(false)
    }

    /// The destination failed, limits our requests, or refuses us.
    fn failed(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: &Unconfirmed,
    ) -> Result<(), SpoolError> {
        let now = clock::now();
        let fingerprint = self.destination.fingerprint();
        self.retry = self.retry.after(answer, now, &fingerprint, jitter());
        let (outcome, word) = match answer.verdict {
            Verdict::RateLimited(_) => (Outcome::Waiting, "waiting"),
            Verdict::Refused(_) => (Outcome::Paused, "paused"),
            Verdict::Later | Verdict::Conflict | Verdict::Rejected => (Outcome::Failed, "failed"),
        };
        self.report.outcome = outcome;
        self.report.next_attempt_at = self.retry.due(now, &fingerprint, false).until();
        self.report.error = Some(answer.reason.clone());
        let attempt = self.attempt(now, word, answer);
        // A destination that refused us has stored nothing, so the rows become pending again.
        let give_back = outcome == Outcome::Paused;
        self.step(|writer| writer.failed(target, batch, &attempt, &self.retry, give_back))
    }

    fn attempt(&self, at: DateTime<Utc>, outcome: &str, answer: &Unconfirmed) -> Attempt {
        Attempt {
            at,
            destination: self.destination.target().to_string(),
            outcome: outcome.to_owned(),
            http_status: answer.http_status,
            sent: 0,
            error: Some(answer.reason.clone()),
        }
    }

    /// Takes one short step in the spool.
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
