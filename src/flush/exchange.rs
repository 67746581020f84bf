//! One step of a flush on the network: everything that leaves goes through [`Run::request`], which
//! asks for consent and for time; writes keep their distance; a conflict is resolved by looking.

use std::time::Duration;

use super::{Run, jitter};
use crate::clock;
use crate::consent::Decision;
use crate::destination::segment::Batch;
use crate::destination::verdict::{self, Verdict};
use crate::destination::{Destination, Reply};
use crate::limits::{CONFLICT_PAUSE, CONFLICT_RETRIES};

/// A request was not made, since the user has said no in the meantime or no time is left.
pub(super) enum Stop {
    Disabled(Decision),
    Deadline,
}

impl Run<'_> {
    /// Makes one change, and after a conflict looks and tries again a few times. When time runs out
    /// meanwhile, the conflict is what came of it.
    pub(super) fn exchange(&mut self, step: &Batch) -> Result<Reply, Stop> {
        let mut reply = self.change(step)?;
        for _ in 0..CONFLICT_RETRIES {
            if verdict(&reply) != Some(Verdict::Look) {
                break;
            }
            reply = match self.after_conflict(step) {
                Err(Stop::Deadline) => break,
                other => other?,
            };
        }
        Ok(reply)
    }

    fn change(&mut self, step: &Batch) -> Result<Reply, Stop> {
        if step.files.is_empty() {
            self.delete(&step.stale)
        } else {
            self.write(|destination, timeout| destination.write(&step.files, timeout))
        }
    }

    fn after_conflict(&mut self, step: &Batch) -> Result<Reply, Stop> {
        // To delete is to look first, so this is for files alone.
        if !step.files.is_empty() {
            let seen =
                self.request(|destination, timeout| destination.look(&step.files, timeout))?;
            // What a look is told about its content says nothing of ours.
            let settled = matches!(
                verdict(&seen),
                Some(Verdict::NotBefore(_) | Verdict::Paused)
            );
            if settled || matches!(seen, Reply::Proved { .. }) {
                return Ok(seen);
            }
        }
        // Whoever else is writing should not meet us again at once.
        clock::sleep(CONFLICT_PAUSE.mul_f64(jitter()).min(self.deadline.left()));
        self.change(step)
    }

    /// Deletes the files that are there.
    fn delete(&mut self, names: &[String]) -> Result<Reply, Stop> {
        let present = self.request(|destination, timeout| destination.present(names, timeout))?;
        match present {
            Err(unproven) => Ok(unproven),
            Ok(present) if present.is_empty() => Ok(Reply::Proved {
                receipts: Vec::new(),
                http_status: None,
            }),
            Ok(present) => self.write(|destination, timeout| destination.delete(&present, timeout)),
        }
    }

    /// A request that changes something, at the distance from the last one that the destination
    /// wants.
    fn write(
        &mut self,
        make: impl FnOnce(&mut dyn Destination, Duration) -> Reply,
    ) -> Result<Reply, Stop> {
        self.keep_spacing()?;
        let reply = self.request(make)?;
        self.standing.last_write_at = Some(clock::now());
        Ok(reply)
    }

    /// The only way to the destination: asks for consent and for time, and counts.
    fn request<R>(
        &mut self,
        make: impl FnOnce(&mut dyn Destination, Duration) -> R,
    ) -> Result<R, Stop> {
        let decision = self.consent.now();
        if !decision.enabled {
            return Err(Stop::Disabled(decision));
        }
        let left = self.deadline.left();
        if left.is_zero() {
            return Err(Stop::Deadline);
        }
        self.report.requests += 1;
        Ok(make(self.destination, left))
    }

    /// Waits until the destination's pause after the last write is over, also one of an earlier
    /// process.
    fn keep_spacing(&self) -> Result<(), Stop> {
        let spacing = self.destination.spacing();
        let pause = self.standing.spacing_left(clock::now(), spacing);
        if pause > self.deadline.left() {
            return Err(Stop::Deadline);
        }
        clock::sleep(pause);
        Ok(())
    }
}

/// What an unproven answer means; `None` for a proof or no answer at all.
fn verdict(reply: &Reply) -> Option<Verdict> {
    match reply {
        Reply::Unproven {
            answer: Some(answer),
            ..
        } => Some(verdict::judge(answer, clock::now())),
        _ => None,
    }
}
