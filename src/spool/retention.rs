//! What is kept and what may go, as pure decisions over plain data.

use chrono::{DateTime, Utc};

use crate::clock;
use crate::limits::{PENDING_KEPT_FOR, SENT_KEPT_FOR, SENT_KEPT_ROWS};

/// What retention would delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Sent rows confirmed before this.
    pub sent_before: DateTime<Utc>,
    /// Sent rows beyond the newest so many.
    pub sent_rows: u64,
    /// Pending rows recorded before this.
    pub pending_before: DateTime<Utc>,
}

/// The cutoffs at `now`.
#[must_use]
pub fn cutoffs(now: DateTime<Utc>) -> Cutoffs {
    Cutoffs {
        sent_before: clock::before(now, SENT_KEPT_FOR),
        sent_rows: SENT_KEPT_ROWS,
        pending_before: clock::before(now, PENDING_KEPT_FOR),
    }
}

/// How many bytes to free when the spool has `bytes` of at most `max`: a sixteenth more than
/// needed, so that a full spool does not have to be pruned again for each event.
#[must_use]
pub fn excess(bytes: u64, max: u64) -> u64 {
    if bytes <= max {
        0
    } else {
        bytes - max + max / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cutoffs_lie_as_far_back_as_the_contract_says() {
        let now = "2026-11-22T10:00:00Z".parse().expect("a time");
        let cutoffs = cutoffs(now);
        assert_eq!((now - cutoffs.sent_before).num_days(), 30);
        assert_eq!((now - cutoffs.pending_before).num_days(), 90);
    }

    proptest! {
        #[test]
        fn freeing_the_excess_brings_the_spool_under_its_limit(bytes in 0u64..1 << 40, max in 1u64..1 << 36) {
            let left = bytes - excess(bytes, max).min(bytes);
            prop_assert!(left <= max);
            prop_assert!(bytes > max || left == bytes);
        }
    }
}
