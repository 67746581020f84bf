//! The search for an event that the destination rejects: first one segment is sent alone, then half
//! of it, and so on, until a single event is left. It is held only with a control, which is
//! something else that was accepted in the meantime. If everything is rejected, that is a failure
//! of the destination, and nothing is held.

use super::Run;
use crate::clock;
use crate::destination::retry::RetryState;
use crate::destination::segment::Batch;
use crate::destination::verdict::Verdict;
use crate::destination::{Target, Unconfirmed};
use crate::spool::{Halved, SpoolError};

impl Run<'_> {
    /// Continues the search after the destination rejected the content of a request.
    pub(super) fn rejected(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: &Unconfirmed,
    ) -> Result<bool, SpoolError> {
        if !self.control.rejected() {
            return self.rejects_everything(target, batch, answer);
        }
        let now = clock::now();
        let attempt = self.attempt(now, "rejected", answer);
        // Not a failure of the destination: it works and says what it does not accept.
        let retry = RetryState {
            last_write_at: Some(now),
            ..self.retry.clone()
        };
        self.step(|writer| writer.failed(target, batch, &attempt, &retry, false))?;
        let [only] = batch.files.as_slice() else {
            self.batch_size.rejected_several();
            return Ok(true);
        };
        let at_most = if self.control.is_needed() {
            1
        } else {
            usize::MAX
        };
        match self.step(|writer| writer.halve(only, at_most))? {
            Halved::Smaller => self.batch_size.rejected(only.unconfirmed),
            Halved::Alone => {
                if self.control.found(only.id) {
                    self.report.held += self.step(|writer| writer.hold(only.id))?;
                }
                self.batch_size.found();
                self.report.error = Some(answer.reason.clone());
            }
            Halved::Settled => {}
        }
        Ok(true)
    }

    /// Everything was rejected. That is a failure of the destination (a blocked or full account),
    /// so no event is held.
    fn rejects_everything(
        &mut self,
        target: &Target,
        batch: &Batch,
        answer: &Unconfirmed,
    ) -> Result<bool, SpoolError> {
        let answer = Unconfirmed {
            reason: format!("it rejects everything that is sent: {}", answer.reason),
            ..answer.clone()
        };
        self.failed(target, batch, &answer)?;
        Ok(false)
    }

    /// Ends the search when nothing is left to send. Events without a control are not held.
    pub(super) fn end_of_search(&mut self, target: &Target) -> Result<(), SpoolError> {
        if self.control.suspects().is_empty() {
            return Ok(());
        }
        let reason = self.report.error.clone().unwrap_or_default();
        let answer = Unconfirmed {
            verdict: Verdict::Rejected,
            ..Unconfirmed::later(reason)
        };
        self.rejects_everything(target, &Batch::default(), &answer)
            .map(|_| ())
    }
}
