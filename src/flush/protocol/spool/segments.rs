//! What `src/spool/segments.rs` does: storing the results of requests.

use super::*;

impl Spool {
    /// Stores the receipts (`Writer::confirm`). `rejected` are the events that were not accepted.
    pub(in crate::flush::protocol) fn confirm(
        &mut self,
        batch: &Batch,
        rejected: &[Event],
        life: &mut Life,
    ) -> Option<()> {
        let count = batch.files.len().max(1);
        for n in 0..count {
            life.lives()?;
            if let Some(file) = batch.files.get(n) {
                self.confirm_file(file, rejected);
            }
        }
        self.segments
            .retain(|segment| !batch.stale.contains(&segment.name));
        self.failed = false;
        Some(())
    }

    fn confirm_file(&mut self, file: &File, rejected: &[Event]) {
        for row in self.under_way(file.name) {
            if rejected.contains(&row.event) {
                (row.state, row.segment) = (State::Held, None);
            } else {
                row.state = State::Sent;
            }
        }
        let segment = self.segment(file.name);
        (segment.stale, segment.attempted) = (false, Vec::new());
        segment.confirmed = Some(file.lines.clone());
    }

    /// Stores an attempt that confirmed nothing (`Writer::failed`).
    pub(in crate::flush::protocol) fn fail(
        &mut self,
        batch: &Batch,
        gives_back: bool,
        life: &mut Life,
    ) -> Option<()> {
        life.lives()?;
        if gives_back {
            for file in &batch.files {
                self.release(file.name, 0);
                self.segment(file.name).stale = true;
            }
        }
        self.failed = true;
        Some(())
    }

    fn release(&mut self, name: Name, kept: usize) {
        for row in self.under_way(name).skip(kept) {
            (row.state, row.segment) = (State::Pending, None);
        }
        self.segment(name).sealed = false;
    }

    /// Halves a segment whose content was rejected (`Writer::halve`).
    pub(in crate::flush::protocol) fn halve(
        &mut self,
        file: &File,
        at_most: usize,
        life: &mut Life,
    ) -> Option<Halved> {
        life.lives()?;
        match (file.unconfirmed, file.lines.len()) {
            (0, _) => {
                let segment = self.segment(file.name);
                (segment.sealed, segment.stale) = (true, false);
                Some(Halved::Settled)
            }
            (1, 1) => Some(Halved::Alone),
            (unconfirmed, _) => {
                let kept = (unconfirmed / 2).min(at_most);
                self.release(file.name, kept);
                if kept == 0 {
                    let segment = self.segment(file.name);
                    (segment.sealed, segment.stale) = (true, true);
                }
                Some(Halved::Smaller)
            }
        }
    }

    /// Holds the rejected events of a segment (`Writer::hold`).
    pub(in crate::flush::protocol) fn hold(&mut self, name: Name, life: &mut Life) -> Option<()> {
        life.lives()?;
        for row in self.under_way(name) {
            (row.state, row.segment) = (State::Held, None);
        }
        let segment = self.segment(name);
        (segment.sealed, segment.stale) = (false, true);
        Some(())
    }
}
