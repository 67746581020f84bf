//! What `src/spool/reconcile.rs` does: reconciling with what a destination has.

use super::*;

impl Spool {
    /// Updates the spool with what is at the destination (`reconcile.rs`). Returns whether anything
    /// changed.
    pub(in crate::flush::protocol) fn reconcile(
        &mut self,
        rules: &Rules,
        seen: &Seen,
        life: &mut Life,
    ) -> Option<bool> {
        let (unsettled, _) = self.unsettled();
        let mut waiting: BTreeSet<usize> = (0..self.rows.len())
            .filter(|seq| self.rows[*seq].state != State::Sent)
            .collect();
        let mut changed = false;
        for (text, there) in &seen.files {
            life.lives()?;
            let name = rules.parse(text);
            if self.segments.iter().any(|segment| segment.name == name) {
                changed |=
                    unsettled.contains(&name) && self.leaves(rules, name, there, &mut waiting);
            } else {
                self.segments.push(Segment {
                    name,
                    sealed: true,
                    stale: false,
                    confirmed: Some(lines_of(there)),
                    attempted: Vec::new(),
                });
            }
            if rules.has(Safeguard::TakesWhatArrived) {
                changed |= self.arrive(name, there, &mut waiting);
            }
        }
        Some(changed)
    }

    /// Leaves a file that is not ours any more to its writer.
    fn leaves(
        &mut self,
        rules: &Rules,
        name: Name,
        there: &RemoteFile,
        waiting: &mut BTreeSet<usize>,
    ) -> bool {
        let (rows, segment) = (self.file(name).lines, self.segment(name));
        let attempted: Vec<_> = segment
            .attempted
            .iter()
            .map(|lines| sha256(lines))
            .collect();
        let ours = there.is_still_ours(
            segment
                .confirmed
                .as_ref()
                .map(|lines| sha256(lines))
                .as_deref(),
            Some(&attempted.join(" ")),
            |id| rows.contains(&event(id)),
        );
        if ours || !rules.has(Safeguard::LeavesForeignFiles) {
            return false;
        }
        let lines = lines_of(there);
        (segment.sealed, segment.stale, segment.attempted) = (true, false, Vec::new());
        segment.confirmed = Some(lines.clone());
        for (seq, row) in self.rows.iter_mut().enumerate() {
            let is_gone = row.segment == Some(name) && !lines.contains(&row.event);
            if is_gone {
                (row.state, row.segment) = (State::Pending, None);
                waiting.insert(seq);
            }
        }
        true
    }

    /// Marks waiting events that are in the file as sent.
    fn arrive(&mut self, name: Name, there: &RemoteFile, waiting: &mut BTreeSet<usize>) -> bool {
        let lines = lines_of(there);
        let arrived: Vec<_> = waiting
            .iter()
            .copied()
            .filter(|seq| lines.contains(&self.rows[*seq].event))
            .collect();
        for seq in &arrived {
            waiting.remove(seq);
            (self.rows[*seq].state, self.rows[*seq].segment) = (State::Sent, Some(name));
            self.segment(name).confirmed = Some(lines.clone());
        }
        !arrived.is_empty()
    }
}
