//! Decides how much the next request may contain, as pure functions: a lot while everything works,
//! little after a failure, and half as much each time while searching for a rejected event.

use crate::destination::Capabilities;
use crate::spool::BatchLimits;

/// How much the next request may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BatchSize {
    destination: Capabilities,
    segments: usize,
    events: usize,
    /// One of this many next events was rejected; 0 when no rejected event is being searched for.
    suspects: usize,
}

impl BatchSize {
    /// The first request after this many failures in a row. It is small, so that something gets
    /// through a slow connection before the timeout.
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

    /// A request with this many events was confirmed.
    pub(super) fn confirmed(&mut self, events: usize) {
        self.suspects = self.suspects.saturating_sub(events);
        if self.suspects > 0 {
            self.events = half(self.suspects);
        } else {
            self.segments = (self.segments * 2).min(self.destination.segments_per_request);
            self.events = self.events.saturating_mul(2);
        }
    }

    /// Several segments were rejected together.
    pub(super) fn rejected_several(&mut self) {
        self.segments = 1;
    }

    /// One segment with this many events was rejected. The same events come first in the next request.
    pub(super) fn rejected(&mut self, events: usize) {
        *self = Self {
            segments: 1,
            events: half(events),
            suspects: events,
            ..*self
        };
    }

    /// The rejected event was found and will not be sent again now.
    pub(super) fn found(&mut self) {
        *self = Self::after(0, self.destination);
    }
}

/// Half of them, but at least one.
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

    /// Sends `count` events, of which `refused` are rejected, one segment at a time. Returns the
    /// number of requests.
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
    fn without_failures_one_request_takes_everything() {
        assert_eq!(requests(5000, &[]), 1);
    }

    #[test]
    fn a_slow_connection_starts_with_one_segment_and_gets_more_with_each_success() {
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
        fn a_rejected_event_is_found_in_few_requests(count in 1usize..3000, refused in 0usize..3000) {
            let refused = refused % count;
            // One for everything, one for each halving, and one for the rest.
            prop_assert!(requests(count, &[refused]) <= count.ilog2() + 4);
        }

        #[test]
        fn the_search_ends_however_many_are_rejected(count in 1usize..200, refused in proptest::collection::vec(0usize..200, 0..20)) {
            prop_assert!(requests(count, &refused) <= (count.ilog2() + 4) * 21);
        }
    }
}
