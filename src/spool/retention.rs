//! Decides what is kept and what may be deleted, as pure functions of plain data.

use chrono::{DateTime, Utc};

use crate::clock;
use crate::limits::{
    CLOCK_LEAP, CLOCK_SETTLED_AFTER, PENDING_KEPT_FOR, SENT_KEPT_FOR, SENT_KEPT_ROWS,
};

/// The limits beyond which retention deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cutoffs {
    /// Delete sent rows that were confirmed before this time.
    pub(crate) sent_before: DateTime<Utc>,
    /// Keep at most this many sent rows, the newest ones.
    pub(crate) sent_rows: u64,
    /// Delete pending rows that were recorded before this time.
    pub(crate) pending_before: DateTime<Utc>,
}

/// The cutoffs at `now`.
#[must_use]
pub(crate) fn cutoffs(now: DateTime<Utc>) -> Cutoffs {
    Cutoffs {
        sent_before: clock::before(now, SENT_KEPT_FOR),
        sent_rows: SENT_KEPT_ROWS,
        pending_before: clock::before(now, PENDING_KEPT_FOR),
    }
}

/// What retention remembers about the clock. A clock that is wrong by a year would make everything
/// expire at once, so a leap forward is believed only when a second reading confirms it, a day or
/// more after the first. Until then retention uses the last believed reading. A clock that is set
/// back is believed at once, because that only keeps rows longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockMemory {
    /// The last reading that was believed.
    pub(crate) believed: DateTime<Utc>,
    /// The first reading after a leap, while it is not confirmed.
    pub(crate) doubted: Option<DateTime<Utc>>,
}

impl ClockMemory {
    /// Starts with a first reading, which is believed.
    #[must_use]
    pub(crate) fn starting_at(now: DateTime<Utc>) -> Self {
        Self {
            believed: now,
            doubted: None,
        }
    }

    /// The memory after one more reading.
    #[must_use]
    pub(crate) fn after(self, now: DateTime<Utc>) -> Self {
        let is_leap = now > clock::after(self.believed, CLOCK_LEAP);
        if !is_leap {
            return Self::starting_at(now);
        }
        match self.doubted {
            Some(first) if confirms(first, now) => Self::starting_at(now),
            Some(first) if first <= now && now < clock::after(first, CLOCK_SETTLED_AFTER) => self,
            _ => Self {
                doubted: Some(now),
                ..self
            },
        }
    }
}

/// Whether a reading confirms an earlier one: it is later by a day or more, but not by another leap.
fn confirms(first: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now >= clock::after(first, CLOCK_SETTLED_AFTER) && now <= clock::after(first, PENDING_KEPT_FOR)
}

/// How many bytes to free when the spool has `bytes` and may have `max`: a sixteenth more than
/// needed, so that a full spool is not pruned again for each event.
#[must_use]
pub(crate) fn excess(bytes: u64, max: u64) -> u64 {
    if bytes <= max {
        0
    } else {
        bytes - max + max / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn start() -> DateTime<Utc> {
        "2026-11-22T10:00:00Z".parse().expect("a time")
    }

    #[test]
    fn cutoffs_lie_a_month_and_three_months_back() {
        let cutoffs = cutoffs(start());
        assert_eq!((start() - cutoffs.sent_before).num_days(), 30);
        assert_eq!((start() - cutoffs.pending_before).num_days(), 90);
    }

    #[test]
    fn a_machine_that_was_off_for_a_year_is_believed_after_a_day() {
        let memory = ClockMemory::starting_at(start());
        let back = start() + TimeDelta::days(365);
        let memory = memory.after(back);
        assert_eq!(memory.believed, start());
        let memory = memory.after(back + TimeDelta::hours(23));
        assert_eq!(memory.believed, start());
        let later = back + TimeDelta::hours(24);
        assert_eq!(memory.after(later), ClockMemory::starting_at(later));
    }

    proptest! {
        #[test]
        fn freeing_the_excess_brings_the_spool_under_its_limit(bytes in 0u64..1 << 40, max in 1u64..1 << 36) {
            let left = bytes - excess(bytes, max).min(bytes);
            prop_assert!(left <= max);
            prop_assert!(bytes > max || left == bytes);
        }

        #[test]
        fn one_wrong_reading_expires_nothing_and_is_forgotten(wrong_by in 8i64..100_000, hours in 0i64..48) {
            let wrong = ClockMemory::starting_at(start()).after(start() + TimeDelta::days(wrong_by));
            prop_assert_eq!(wrong.believed, start());
            let right = start() + TimeDelta::hours(hours);
            prop_assert_eq!(wrong.after(right), ClockMemory::starting_at(right));
        }

        #[test]
        fn a_clock_that_moves_steadily_is_believed_at_every_reading(hours in proptest::collection::vec(0i64..=7 * 24, 1..50)) {
            let mut memory = ClockMemory::starting_at(start());
            let mut now = start();
            for step in hours {
                now += TimeDelta::hours(step);
                memory = memory.after(now);
                prop_assert_eq!(memory, ClockMemory::starting_at(now));
            }
        }

        #[test]
        fn the_believed_time_is_never_later_than_the_clock(days in proptest::collection::vec(-4000i64..4000, 1..50)) {
            let mut memory = ClockMemory::starting_at(start());
            for day in days {
                let now = start() + TimeDelta::days(day);
                memory = memory.after(now);
                prop_assert!(memory.believed <= now);
            }
        }
    }
}
