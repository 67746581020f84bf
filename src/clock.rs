//! The clock: the only place that reads the time or sleeps.

#![expect(clippy::disallowed_methods, reason = "this is the place that may ask")]

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

/// The latest instant whose year has four digits, as in every timestamp.
pub(crate) const LATEST: DateTime<Utc> = DateTime::from_timestamp_millis(253_402_300_799_999)
    .expect("9999-12-31T23:59:59.999Z is in the calendar");

/// The wall clock in whole milliseconds, the precision in which times are stored. If the system's
/// clock is set before 1970 or after 9999, this is the nearest instant in that range.
#[must_use]
pub(crate) fn now() -> DateTime<Utc> {
    instant(SystemTime::now())
}

fn instant(at: SystemTime) -> DateTime<Utc> {
    let since_1970 = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_millis())
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .map_or(LATEST, |at| at.min(LATEST))
}

/// Blocks this thread.
pub(crate) fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

/// `at + duration`, or the latest possible date when that is out of range.
#[must_use]
pub(crate) fn after(at: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| at.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `at - duration`, or the earliest possible date when that is out of range.
#[must_use]
pub(crate) fn before(at: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| at.checked_sub_signed(delta))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// A point in time after which work stops. Changes of the wall clock do not move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// This long from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        let now = Instant::now();
        // If the deadline is too far away to be represented, a century is as good.
        Self(
            now.checked_add(duration)
                .unwrap_or(now + Duration::from_secs(100 * 365 * 86_400)),
        )
    }

    /// The time that is left; zero when it has passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_or_past_9999_counts_as_the_nearest_instant_in_between() {
        let day = Duration::from_hours(24);
        let at =
            |time: Option<SystemTime>| instant(time.expect("a time of the system")).to_rfc3339();
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(at(epoch.checked_sub(day)), "1970-01-01T00:00:00+00:00");
        assert_eq!(at(epoch.checked_add(day)), "1970-01-02T00:00:00+00:00");
        let last = "9999-12-31T23:59:59.999+00:00";
        assert_eq!(at(epoch.checked_add(day * 3_000_000)), last);
        assert_eq!(at(epoch.checked_add(Duration::from_secs(1 << 60))), last);
    }
}
