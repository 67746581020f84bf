//! One exchange of a flush with the destination. Every request goes through [`Run::request`], which
//! checks the gate and the time left. Writes keep the pause that the destination wants, and a
//! conflict is resolved by looking at the destination.

use std::collections::HashSet;
use std::time::Duration;

use super::{Run, jitter};
use crate::clock;
use crate::destination::segment::{Batch, Receipt, SegmentFile};
use crate::destination::verdict::Verdict;
use crate::destination::{Answer, Confirmed, Destination, Seen, Wanted};
use crate::limits::{CONFLICT_PAUSE, CONFLICT_RETRIES};
use crate::request::{Closed, Purpose};

/// Why a request was not made: the gate is closed, or no time is left.
pub(super) enum Stop {
    Closed(Closed),
    Deadline,
}

impl Run<'_> {
    /// Makes one change. After a conflict, looks and tries again a few times. If time runs out
    /// meanwhile, the result is the conflict.
    pub(super) fn exchange(&mut self, step: &Batch) -> Result<Answer<Vec<Receipt>>, Stop> {
        let mut answer = self.change(step)?;
        for _ in 0..CONFLICT_RETRIES {
            if !matches!(&answer, Err(error) if error.verdict == Verdict::Conflict) {
                break;
            }
            answer = match self.after_conflict(step) {
                Err(Stop::Deadline) => break,
                other => other?,
            };
        }
        Ok(answer)
    }

    fn change(&mut self, step: &Batch) -> Result<Answer<Vec<Receipt>>, Stop> {
        if step.files.is_empty() {
            self.delete(&step.stale)
        } else {
            self.write(|destination, timeout| destination.write(&step.files, timeout))
        }
    }

    fn after_conflict(&mut self, step: &Batch) -> Result<Answer<Vec<Receipt>>, Stop> {
        // Only for files, because deleting looks first anyway.
        if !step.files.is_empty() && self.destination.capabilities().can_look {
            match self.look_for(&step.files)? {
                Ok(seen) => {
                    if let Some(receipts) = seen.proof.receipts(&step.files) {
                        return Ok(Ok(Confirmed {
                            proof: receipts,
                            http_status: seen.http_status,
                        }));
                    }
                }
                // A rejected look says nothing about our content.
                Err(error)
                    if matches!(error.verdict, Verdict::RateLimited(_) | Verdict::Refused(_)) =>
                {
                    return Ok(Err(error));
                }
                Err(_) => {}
            }
        }
        // Wait a random time, so as not to collide with the same writer again.
        clock::sleep(CONFLICT_PAUSE.mul_f64(jitter()).min(self.deadline.left()));
        self.change(step)
    }

    fn look_for(&mut self, files: &[SegmentFile]) -> Result<Answer<Seen>, Stop> {
        self.look(
            &files.iter().map(|file| file.name.clone()).collect(),
            &HashSet::new(),
        )
    }

    pub(super) fn look(
        &mut self,
        files: &HashSet<String>,
        events: &HashSet<uuid::Uuid>,
    ) -> Result<Answer<Seen>, Stop> {
        self.request(|destination, timeout| destination.look(Wanted { files, events }, timeout))
    }

    /// Deletes those files that exist. A destination that can't be looked at has no files, and
    /// recognizes events that arrived by their ids.
    fn delete(&mut self, names: &[String]) -> Result<Answer<Vec<Receipt>>, Stop> {
        if !self.destination.capabilities().can_look {
            return Ok(Ok(Confirmed {
                proof: Vec::new(),
                http_status: None,
            }));
        }
        let seen = match self.look(&names.iter().cloned().collect(), &HashSet::new())? {
            Ok(seen) => seen,
            Err(error) => return Ok(Err(error)),
        };
        let nothing = |http_status| Confirmed {
            proof: Vec::new(),
            http_status,
        };
        let present: Vec<_> = seen.proof.files.into_keys().collect();
        if present.is_empty() {
            return Ok(Ok(nothing(seen.http_status)));
        }
        let deleted = self.write(|destination, timeout| destination.delete(&present, timeout))?;
        Ok(deleted.map(|deleted| nothing(deleted.http_status)))
    }

    /// Makes a request that changes something, after the pause that the destination wants between
    /// two.
    fn write<T>(
        &mut self,
        make: impl FnOnce(&mut dyn Destination, Duration) -> Answer<T>,
    ) -> Result<Answer<T>, Stop> {
        self.keep_spacing()?;
        let answer = self.request(make)?;
        self.retry.last_write_at = Some(clock::now());
        Ok(answer)
    }

    /// The only way to make a request: checks the gate and the time left, and counts the request.
    fn request<T>(
        &mut self,
        make: impl FnOnce(&mut dyn Destination, Duration) -> Answer<T>,
    ) -> Result<Answer<T>, Stop> {
        self.gate
            .pass(Purpose::Upload, &self.retry)
            .map_err(Stop::Closed)?;
        let left = self.deadline.left();
        if left.is_zero() {
            return Err(Stop::Deadline);
        }
        self.report.requests += 1;
        Ok(make(self.destination, left))
    }

    /// Waits until the pause after the last write is over, even if an earlier process made that
    /// write.
    fn keep_spacing(&self) -> Result<(), Stop> {
        let spacing = self.destination.capabilities().spacing;
        let pause = self.retry.spacing_left(clock::now(), spacing);
        if pause > self.deadline.left() {
            return Err(Stop::Deadline);
        }
        clock::sleep(pause);
        Ok(())
    }
}
