//! What `src/spool/assign.rs` does: building a request.

use super::*;

impl Spool {
    /// Builds a request (`assign.rs`).
    pub(in crate::flush::protocol) fn assign(
        &mut self,
        rules: &Rules,
        day: u8,
        limits: BatchLimits,
        (taken, aside): (&BTreeSet<Name>, &BTreeSet<i64>),
        life: &mut Life,
    ) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut unfinished = self
            .unfinished()
            .into_iter()
            .filter(|name| !aside.contains(&name.id()));
        let mut events = limits.events;
        while batch.files.len() < limits.segments {
            let next = unfinished.next();
            let first = self
                .rows
                .iter()
                .find(|row| row.state == State::Pending)
                .map(|row| row.event);
            if next.is_none() && (events == 0 || first.is_none()) {
                break;
            }
            life.lives()?;
            let started = next.is_none();
            let name = match (next, first) {
                (Some(name), _) => name,
                (None, Some(first)) => self.start_segment(rules, first, day, taken),
                (None, None) => break,
            };
            let file = self.fill(name, &mut events, &limits);
            let segment = self.segment(name);
            if started || file.unconfirmed > 0 || (segment.stale && !file.lines.is_empty()) {
                if !segment.attempted.contains(&file.lines) {
                    segment.attempted.push(file.lines.clone());
                }
                batch.files.push(file);
            } else if segment.stale {
                batch.stale.push(name);
            }
        }
        Some(batch)
    }

    /// Segments with `sending` rows first, then the open ones.
    pub(super) fn unfinished(&self) -> Vec<Name> {
        let (under_way, others): (Vec<_>, Vec<_>) = self
            .segments
            .iter()
            .partition(|segment| self.is_under_way(segment.name));
        let open = others
            .into_iter()
            .filter(|segment| !segment.sealed || segment.stale);
        under_way
            .into_iter()
            .chain(open)
            .map(|segment| segment.name)
            .collect()
    }

    fn is_under_way(&self, name: Name) -> bool {
        self.rows
            .iter()
            .any(|row| row.segment == Some(name) && row.state == State::Sending)
    }

    fn start_segment(
        &mut self,
        rules: &Rules,
        first: Event,
        day: u8,
        taken: &BTreeSet<Name>,
    ) -> Name {
        let names = (0..).map(|nth| rules.name(first, nth, day));
        let is_free = |name: &Name| {
            !taken.contains(name) && self.segments.iter().all(|segment| segment.name != *name)
        };
        let name = names.clone().find(is_free).expect("names do not run out");
        self.segments.push(Segment {
            name,
            sealed: false,
            stale: false,
            confirmed: None,
            attempted: Vec::new(),
        });
        name
    }

    fn fill(&mut self, name: Name, events: &mut usize, limits: &BatchLimits) -> File {
        let file = self.file(name);
        *events = events.saturating_sub(file.unconfirmed);
        if self.segment(name).sealed {
            return file;
        }
        let (mut count, mut seals) = (file.lines.len(), false);
        for row in self
            .rows
            .iter_mut()
            .filter(|row| row.state == State::Pending)
        {
            if *events == 0 {
                break;
            }
            if !segment::has_room_for(count * PAYLOAD, count, PAYLOAD, &limits.destination) {
                seals = true;
                break;
            }
            (row.state, row.segment) = (State::Sending, Some(name));
            count += 1;
            *events -= 1;
        }
        let took = count > file.lines.len();
        self.segment(name).sealed = seals || (took && !limits.destination.segments_grow);
        self.file(name)
    }
}
