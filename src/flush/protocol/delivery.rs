//! A flush as plain data: what `src/flush` does between two requests. `None` stands for a flush
//! that was killed.

use std::collections::BTreeSet;

use chrono::DateTime;

use super::destination::{Answer, Destination, Network};
use super::rules::{Event, Kind, Name, Rules, Safeguard};
use super::spool::{Batch, Halved, Life, Spool};
use crate::destination::verdict::{HttpAnswer, Verdict, judge};
use crate::flush::batch_size::BatchSize;
use crate::flush::control::Control;

/// A flush that is waiting for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Flush {
    waits_for: Waiting,
    /// The changes that are sent next, one by one.
    steps: Vec<Batch>,
    looked: bool,
    taken: BTreeSet<Name>,
    batch_size: BatchSize,
    control: Control,
    /// Events in files that another home has written since this flush looked.
    pub(super) written_by_others: BTreeSet<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Waiting {
    /// What the look saw.
    Look(Destination),
    Answer(Answer),
}

/// The environment of a flush: its home's disk, the destination, and the behavior of the network.
pub(super) struct Around<'a> {
    pub(super) rules: &'a Rules,
    pub(super) day: u8,
    pub(super) spool: &'a mut Spool,
    pub(super) destination: &'a mut Destination,
    pub(super) network: Network,
    pub(super) life: Life,
}

/// What a flush does after a step.
enum Next {
    Assign,
    Send,
    End,
}

impl Flush {
    /// Starts a flush and runs it to its first answer or to its end.
    pub(super) fn start(around: &mut Around<'_>) -> Option<Option<Self>> {
        around.spool.import(around.rules, &mut around.life)?;
        let capabilities = around.rules.capabilities;
        let looks = capabilities.can_look && around.rules.has(Safeguard::LooksFirst);
        let flush = Self {
            waits_for: Waiting::Answer(Answer::Nothing),
            steps: Vec::new(),
            looked: !looks,
            taken: BTreeSet::new(),
            batch_size: BatchSize::after(around.spool.failed.into(), capabilities),
            control: Control::default(),
            written_by_others: BTreeSet::new(),
        };
        flush.go_on(around, Next::Assign)
    }

    /// Runs from one answer to the next, or to the end.
    pub(super) fn next(mut self, around: &mut Around<'_>) -> Option<Option<Self>> {
        around.spool.import(around.rules, &mut around.life)?;
        let next = match &self.waits_for {
            Waiting::Look(there) => {
                let (files, events) = around.spool.unsettled();
                let seen = there.look(around.rules, &files, &events);
                self.taken = seen
                    .names
                    .iter()
                    .map(|text| around.rules.parse(text))
                    .collect();
                if around
                    .spool
                    .reconcile(around.rules, &seen, &mut around.life)?
                {
                    Next::Assign
                } else {
                    Next::Send
                }
            }
            Waiting::Answer(answer) => {
                let answer = answer.clone();
                self.process(around, &answer)?
            }
        };
        self.go_on(around, next)
    }

    fn go_on(mut self, around: &mut Around<'_>, next: Next) -> Option<Option<Self>> {
        if let Next::End = next {
            return Some(None);
        }
        if let Next::Assign = next
            && !self.assign(around)?
        {
            return Some(None);
        }
        around.life.lives()?;
        if self.looked {
            self.waits_for = Waiting::Answer(self.send(around)?);
            return Some(Some(self));
        }
        self.looked = true;
        match around.network {
            Network::Well => {
                self.waits_for = Waiting::Look(around.destination.clone());
                Some(Some(self))
            }
            Network::Refused => self
                .fail(around, Verdict::Refused(crate::limits::PAUSE))
                .map(|()| None),
            _ => self.fail(around, Verdict::Later).map(|()| None),
        }
    }

    /// Builds the next steps. Returns `false` when there are none.
    fn assign(&mut self, around: &mut Around<'_>) -> Option<bool> {
        let mut limits = self.batch_size.limits(usize::MAX);
        if self.control.is_needed() && around.rules.has(Safeguard::HoldsWithAControl) {
            (limits.segments, limits.events) = (1, 1);
        }
        let avoided = (&self.taken, self.control.suspects());
        let batch =
            around
                .spool
                .assign(around.rules, around.day, limits, avoided, &mut around.life)?;
        let deletion = Batch {
            files: Vec::new(),
            stale: batch.stale,
        };
        let writing = Batch {
            files: batch.files,
            stale: Vec::new(),
        };
        let is_something = |step: &Batch| *step != Batch::default();
        self.steps = [writing, deletion]
            .into_iter()
            .filter(is_something)
            .collect();
        if self.steps.is_empty() && !self.control.suspects().is_empty() {
            self.fail(around, Verdict::Rejected)?;
        }
        Some(!self.steps.is_empty())
    }

    /// Makes a request. The answer comes from the destination or from the network.
    fn send(&mut self, around: &mut Around<'_>) -> Option<Answer> {
        let step = self.steps.last().expect("something to send");
        let (done, told) = match around.network {
            Network::Well => (true, None),
            Network::Lost { done } => (done, Some(Answer::Nothing)),
            Network::Portal => (false, Some(Answer::Status(200))),
            Network::Conflict { done } => (done, Some(Answer::Status(409))),
            Network::Refused => (false, Some(Answer::Status(404))),
        };
        if !done {
            return told;
        }
        let answer = around
            .destination
            .take(around.rules.kind, step, &mut around.life)?;
        Some(told.unwrap_or(answer))
    }

    /// Processes the answer to a request.
    fn process(&mut self, around: &mut Around<'_>, answer: &Answer) -> Option<Next> {
        let believed = Answer::Proof(Vec::new());
        let answer = match answer {
            Answer::Status(200) if !around.rules.has(Safeguard::WantsProof) => &believed,
            Answer::Status(409) if self.is_there(around) => &believed,
            other => other,
        };
        let verdict = match answer {
            Answer::Proof(rejected) => return self.confirm(around, rejected),
            Answer::Nothing => Verdict::Later,
            Answer::Status(status) => {
                let answer = HttpAnswer {
                    status: *status,
                    ..HttpAnswer::default()
                };
                judge(&answer, DateTime::default())
            }
        };
        let is_deletion = self.steps.last().is_some_and(|step| step.files.is_empty());
        match verdict {
            // The program looks and tries again (`exchange.rs`).
            Verdict::Conflict => Some(Next::Send),
            Verdict::Rejected if !is_deletion => self.rejected(around),
            verdict => self.fail(around, verdict).map(|()| Next::End),
        }
    }

    /// Whether a look would show what was just sent.
    fn is_there(&self, around: &Around<'_>) -> bool {
        let Some(step) = self.steps.last().filter(|step| !step.files.is_empty()) else {
            return false;
        };
        let names = step.files.iter().map(|file| file.name).collect();
        let seen = around
            .destination
            .look(around.rules, &names, &BTreeSet::new());
        let files: Vec<_> = step
            .files
            .iter()
            .map(|file| file.as_sent(around.rules))
            .collect();
        seen.receipts(&files).is_some()
    }

    fn confirm(&mut self, around: &mut Around<'_>, rejected: &[Event]) -> Option<Next> {
        let step = self.steps.last().expect("it was sent");
        around.spool.confirm(step, rejected, &mut around.life)?;
        let unconfirmed = step.files.iter().map(|file| file.unconfirmed).sum();
        if unconfirmed > 0 {
            for segment in self.control.taken() {
                around.spool.hold(Name::of(segment), &mut around.life)?;
            }
            self.batch_size.confirmed(unconfirmed);
        }
        self.steps.pop();
        Some(if self.steps.is_empty() {
            Next::Assign
        } else {
            Next::Send
        })
    }

    fn fail(&mut self, around: &mut Around<'_>, verdict: Verdict) -> Option<()> {
        let gives_back = matches!(verdict, Verdict::Refused(_));
        let step = self.steps.last().cloned().unwrap_or_default();
        around.spool.fail(&step, gives_back, &mut around.life)
    }

    /// The content was rejected (`rejected.rs`).
    fn rejected(&mut self, around: &mut Around<'_>) -> Option<Next> {
        let controls = around.rules.has(Safeguard::HoldsWithAControl);
        if !self.control.rejected() && controls {
            return self.fail(around, Verdict::Rejected).map(|()| Next::End);
        }
        let step = self.steps.last().cloned().expect("it was sent");
        let [only] = step.files.as_slice() else {
            self.batch_size.rejected_several();
            return Some(Next::Assign);
        };
        let at_most = if self.control.is_needed() && controls {
            1
        } else {
            usize::MAX
        };
        match around.spool.halve(only, at_most, &mut around.life)? {
            Halved::Smaller => self.batch_size.rejected(only.unconfirmed),
            Halved::Alone => {
                if !controls || self.control.found(only.name.id()) {
                    around.spool.hold(only.name, &mut around.life)?;
                }
                self.batch_size.found();
            }
            Halved::Settled => {}
        }
        Some(Next::Assign)
    }

    /// Whether it locks out other copies on the same machine, which it does from its look on.
    pub(super) fn locks(&self, rules: &Rules) -> bool {
        rules.kind == Kind::Dir && rules.has(Safeguard::LocksTheDirectory)
    }
}
