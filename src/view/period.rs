//! The period of time for which events are shown.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::clock;

/// A time as a user can write it: a duration before now, a day, or a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This long before now: `30d`, `12h`.
    Ago(Duration),
    /// A day in UTC: `2026-11-01`.
    Day(NaiveDate),
    /// RFC 3339: `2026-11-01T10:00:00Z`.
    At(DateTime<Utc>),
}

/// The text is not a [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as 30d, a day such as 2026-11-01, or a time in RFC 3339")]
pub(crate) struct NotAMoment;

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let ago = |text| humantime::parse_duration(text).ok().map(Self::Ago);
        let day = |text| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()
                .map(Self::Day)
        };
        let at = |text| {
            let at = DateTime::parse_from_rfc3339(text).ok()?;
            Some(Self::At(at.to_utc()))
        };
        let text = text.trim();
        ago(text)
            .or_else(|| day(text))
            .or_else(|| at(text))
            .ok_or(NotAMoment)
    }
}

/// A period of time, which may be open at either end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Period {
    /// The first moment in it.
    since: Option<DateTime<Utc>>,
    /// The first moment after it.
    until: Option<DateTime<Utc>>,
}

impl Period {
    /// The period from `since` to `until`. A day is fully included at either end.
    #[must_use]
    pub(crate) fn new(since: Option<Moment>, until: Option<Moment>, now: DateTime<Utc>) -> Self {
        Self {
            since: since.map(|moment| start(moment, now)),
            until: until.map(|moment| match moment {
                Moment::Day(day) => day
                    .checked_add_days(Days::new(1))
                    .map_or(DateTime::<Utc>::MAX_UTC, midnight),
                moment => start(moment, now),
            }),
        }
    }

    /// Whether it is open at both ends, so that it includes events without a time.
    #[must_use]
    pub(crate) fn is_everything(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// The first day in it, if there is one.
    #[must_use]
    pub(crate) fn since_day(&self) -> Option<NaiveDate> {
        self.since.map(|since| since.date_naive())
    }

    /// Whether it contains no moment at all.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        matches!((self.since, self.until), (Some(since), Some(until)) if since >= until)
    }

    /// Whether it contains this moment.
    #[must_use]
    pub(crate) fn contains(&self, at: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

fn start(moment: Moment, now: DateTime<Utc>) -> DateTime<Utc> {
    match moment {
        Moment::Ago(duration) => clock::before(now, duration),
        Moment::Day(day) => midnight(day),
        Moment::At(at) => at,
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn lengths_days_and_times_are_moments_and_nothing_else_is() {
        assert_eq!(
            "36h".parse(),
            Ok(Moment::Ago(Duration::from_secs(36 * 3600)))
        );
        let day = NaiveDate::from_ymd_opt(2026, 11, 1).expect("a day");
        assert_eq!(" 2026-11-01 ".parse(), Ok(Moment::Day(day)));
        assert_eq!(
            "2026-11-01T02:00:00+02:00".parse(),
            Ok(Moment::At(time("2026-11-01T00:00:00Z")))
        );
        for text in [
            "",
            "soon",
            "2026-13-01",
            "2026-02-30",
            "30",
            "-1d",
            "2026-11-01T10:00:00",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(NotAMoment), "{text}");
        }
    }

    #[test]
    fn a_day_is_fully_included_at_either_end_of_a_period() {
        let day = "2026-11-01".parse().ok();
        let period = Period::new(day, day, time("2026-11-22T10:00:00Z"));
        for (text, inside) in [
            ("2026-10-31T23:59:59.999Z", false),
            ("2026-11-01T00:00:00Z", true),
            ("2026-11-01T23:59:59.999Z", true),
            ("2026-11-02T00:00:00Z", false),
        ] {
            assert_eq!(period.contains(time(text)), inside, "{text}");
        }
        assert!(!period.is_empty() && !period.is_everything());
        let backwards = Period::new("2026-11-02".parse().ok(), day, time("2026-11-22T10:00:00Z"));
        assert!(backwards.is_empty());
    }

    proptest! {
        #[test]
        fn adjacent_periods_share_no_moment_and_leave_none_out(
            border in -200_000_000_000_i64..200_000_000_000, second in -200_000_000_000_i64..200_000_000_000,
            day in any::<bool>()
        ) {
            let now = time("2026-11-22T10:00:00Z");
            let border = now + TimeDelta::seconds(border);
            let at = now + TimeDelta::seconds(second);
            let (before, after) = if day {
                let day = border.date_naive();
                (Moment::Day(day), Moment::Day(day + Days::new(1)))
            } else {
                (Moment::At(border), Moment::At(border))
            };
            let before = Period::new(None, Some(before), now);
            let after = Period::new(Some(after), None, now);
            prop_assert!(before.contains(at) != after.contains(at));
        }
    }

    #[test]
    fn times_outside_the_calendar_do_not_overflow() {
        let now = time("2026-11-22T10:00:00Z");
        let long = "500000y".parse().ok();
        assert!(Period::new(long, None, now).contains(DateTime::<Utc>::MIN_UTC));
        let last = Some(Moment::Day(NaiveDate::MAX));
        assert!(Period::new(None, last, now).contains(now));
    }
}
