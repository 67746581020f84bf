//! How often a scheduled flush runs.

use std::fmt;
use std::str::FromStr;

use serde::Serializer;

/// An interval that every scheduler supports: minutes that divide an hour, or hours that divide a
/// day. cron can't express any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Every(u32);

/// Why an interval can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EveryError {
    /// It is not a duration.
    #[error("not an interval, such as 15m or 2h")]
    NotADuration,
    /// It does not divide an hour or a day.
    #[error(
        "must divide an hour or a day evenly: 1m, 2m, 3m, 4m, 5m, 6m, 10m, 12m, 15m, 20m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h or 1d"
    )]
    Uneven,
}

impl Every {
    /// All valid intervals, in minutes.
    pub(crate) const ALL: [u32; 19] = [
        1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440,
    ];

    /// An interval of this many minutes.
    ///
    /// # Errors
    /// When cron can't express it.
    pub(crate) fn minutes(minutes: u32) -> Result<Self, EveryError> {
        if Self::ALL.contains(&minutes) {
            Ok(Self(minutes))
        } else {
            Err(EveryError::Uneven)
        }
    }

    /// The interval in minutes.
    #[must_use]
    pub(crate) fn in_minutes(self) -> u32 {
        self.0
    }

    /// The times of the runs of a day in minutes after midnight, if the first one is `offset`.
    pub(crate) fn times(self, offset: u32) -> impl Iterator<Item = u32> {
        (offset % self.0..1440).step_by(self.0 as usize)
    }
}

impl FromStr for Every {
    type Err = EveryError;

    fn from_str(text: &str) -> Result<Self, EveryError> {
        let duration =
            humantime::parse_duration(text.trim()).map_err(|_| EveryError::NotADuration)?;
        if !duration.as_millis().is_multiple_of(60_000) {
            return Err(EveryError::Uneven);
        }
        u32::try_from(duration.as_secs() / 60)
            .map_err(|_| EveryError::Uneven)
            .and_then(Self::minutes)
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1440 => write!(f, "1d"),
            hours if hours % 60 == 0 => write!(f, "{}h", hours / 60),
            minutes => write!(f, "{minutes}m"),
        }
    }
}

/// Serializes an interval as text.
pub(super) fn as_text<S: Serializer>(every: &Every, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_is_read_as_it_is_written() {
        for minutes in Every::ALL {
            let every = Every::minutes(minutes).expect("allowed");
            assert_eq!(every.to_string().parse::<Every>().expect("read"), every);
        }
    }

    #[test]
    fn an_interval_that_cron_cannot_express_is_refused() {
        for text in ["7m", "90m", "5h", "2d", "30s", "0s", "", "often"] {
            assert!(text.parse::<Every>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_runs_of_a_day_are_evenly_spread_even_across_midnight() {
        for minutes in Every::ALL {
            let every = Every::minutes(minutes).expect("allowed");
            let times: Vec<u32> = every.times(minutes - 1).collect();
            assert_eq!(times.len() as u32 * minutes, 1440);
        }
    }
}
