//! How much the next request may carry, as a pure rule: much while all is well, little after a
//! failure, and halves while a refused event is looked for.

use crate::destination::Capabilities;
use crate::spool::BatchLimits;

/// What the next request may carry, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BatchSize {
    destination: Capabilities,
    segments: usize,
    events: usize,
    /// Among so many of the events to come is one that was refused; 0 when none is looked for.
    suspects: usize,
}

impl BatchSize {
    /// The first request after so many failures in a row: a slow line must get something through
    /// before its timeout.
    pub(super) fn after(failures: u32, destination: Capabilities) -> Self {
        Self {
            destination,
            segments: if failures > 0 {
                1
            } else {
                destination.segments_per_request
            },
            events: usize::MAX,
            suspects: 0,
        }
    }

    /// The limits of the next request, for at most `left` events.
    pub(super) fn limits(self, left: usize) -> BatchLimits {
        BatchLimits {
            destination: self.destination,
            segments: self.segments,
            events: self.events.min(left),
        }
    }

    /// A request was confirmed, with so many events.
    pub(super) fn confirmed(&mut self, events: usize) {
        self.suspects = self.suspects.saturating_sub(events);
        if self.suspects > 0 {
            self.events = half(self.suspects);
        } else {
            self.segments = (self.segments * 2).min(self.destination.segments_per_request);
            self.events = self.events.saturating_mul(2);
        }
    }

    /// Several segments were refused together.
    pub(super) fn rejected_several(&mut self) {
        self.segments = 1;
    }

    /// One segment was refused, with so many events; they come first in the next request.
    pub(super) fn rejected(&mut self, events: usize) {
        *self = Self {
            segments: 1,
            events: half(events),
            suspects: events,
            ..*self
        };
    }

    /// The refused event was found, and is out of the way.
    pub(super) fn found(&mut self) {
        *self = Self::after(0, self.destination);
    }
}

/// Half of them, but one at least.
fn half(events: usize) -> usize {
    (events / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPABILITIES: Capabilities = Capabilities {
        segments_grow: true,
        max_bytes: 512 * 1024,
        max_events: usize::MAX,
        segments_per_request: 8,
        spacing: std::time::Duration::ZERO,
        can_look: true,
        uses_network: true,
    };

    /// Sends `count` events of which these are refused, as one segment each time; gives the
    /// requests that it took.
    fn requests(count: usize, refused: &[usize]) -> u32 {
        let (mut batch, mut next, mut requests) = (BatchSize::after(0, CAPABILITIES), 0, 0);
        while next < count {
            let size = batch.limits(count - next).events;
            requests += 1;
            if !(next..next + size).any(|n| refused.contains(&n)) {
                next += size;
                batch.confirmed(size);
            } else if size > 1 {
                batch.rejected(size);
            } else {
                next += 1;
                batch.found();
            }
        }
        requests
    }

    #[test]
    fn while_all_is_well_one_request_takes_all() {
        assert_eq!(requests(5000, &[]), 1);
    }

    #[test]
    fn a_slow_line_starts_with_one_segment_and_gets_more_with_each_success() {
        let mut batch = BatchSize::after(3, CAPABILITIES);
        let mut segments = vec![batch.limits(9).segments];
        for _ in 0..4 {
            batch.confirmed(1);
            segments.push(batch.limits(9).segments);
        }
        assert_eq!(segments, [1, 2, 4, 8, 8]);
    }

    proptest! {
        #[test]
        fn a_refused_event_is_found_in_few_requests(count in 1usize..3000, refused in 0usize..3000) {
            let refused = refused % count;
            // One for all, one for each halving, and one for those behind it.
            prop_assert!(requests(count, &[refused]) <= count.ilog2() + 4);
        }

        #[test]
        fn however_many_are_refused_the_search_ends(count in 1usize..200, refused in proptest::collection::vec(0usize..200, 0..20)) {
            prop_assert!(requests(count, &refused) <= (count.ilog2() + 4) * 21);
        }
    }
}
