//! What an HTTP answer means: a pure function from the answer to what happens next.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::limits::{PAUSE, SERVER_WAIT_DEFAULT, SERVER_WAIT_MAX};

/// The parts of an HTTP answer without proof that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, resolved to a point in time.
    pub retry_after: Option<DateTime<Utc>>,
    /// `x-ratelimit-remaining`.
    pub remaining: Option<u64>,
    /// `x-ratelimit-reset`.
    pub reset: Option<DateTime<Utc>>,
    /// Whether the message mentions a secondary rate limit.
    pub secondary: bool,
}

/// What an answer without proof means for its events and its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A temporary failure: try again after our own backoff.
    Later,
    /// A conflict. This may also be the answer to content that is already there, so look.
    Conflict,
    /// The server limits our requests: send nothing before this time.
    RateLimited(DateTime<Utc>),
    /// The server refuses us, not the events: pause for this long.
    Refused(Duration),
    /// The server refuses this content.
    Rejected,
}

/// Judges an answer that does not prove the write:
///
/// | answer | verdict |
/// | --- | --- |
/// | any failure with `Retry-After` | [`RateLimited`](Verdict::RateLimited) until then |
/// | 429; 403 with `x-ratelimit-remaining: 0` or a secondary-limit message | `RateLimited` until `x-ratelimit-reset`, at least a minute |
/// | 401, 403, 404, 410 | [`Refused`](Verdict::Refused) |
/// | 400, 413, 415, 422 | [`Rejected`](Verdict::Rejected) |
/// | 409 | [`Conflict`](Verdict::Conflict) |
/// | 2xx without proof, redirects, 405, 408, 5xx, everything else | [`Later`](Verdict::Later) |
///
/// A wait that the server asks for is limited to [`SERVER_WAIT_MAX`].
#[must_use]
pub fn judge(answer: &HttpAnswer, now: DateTime<Utc>) -> Verdict {
    let exhausted = answer.remaining == Some(0);
    let limited = answer.status == 429 || (answer.status == 403 && (exhausted || answer.secondary));
    match answer.status {
        300.. if limited || answer.retry_after.is_some() => {
            Verdict::RateLimited(wait_until(answer, exhausted, now))
        }
        401 | 403 | 404 | 410 => Verdict::Refused(PAUSE),
        400 | 413 | 415 | 422 => Verdict::Rejected,
        409 => Verdict::Conflict,
        _ => Verdict::Later,
    }
}

fn wait_until(answer: &HttpAnswer, exhausted: bool, now: DateTime<Utc>) -> DateTime<Utc> {
    let reset = answer.reset.filter(|_| exhausted);
    let stated = answer.retry_after.max(reset).filter(|until| *until > now);
    let until = stated.unwrap_or_else(|| clock::after(now, SERVER_WAIT_DEFAULT));
    until.min(clock::after(now, SERVER_WAIT_MAX))
}

/// Reads a `Retry-After`: seconds, or an HTTP date (RFC 9110, section 10.2.3).
#[must_use]
pub fn retry_after(value: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let value = value.trim();
    if let Some(seconds) = digits(value) {
        return Some(clock::after(now, Duration::from_secs(seconds)));
    }
    DateTime::parse_from_rfc2822(value)
        .ok()
        .map(|date| date.to_utc())
}

/// Reads an `x-ratelimit-reset`: seconds since 1970.
#[must_use]
pub fn reset(value: &str) -> Option<DateTime<Utc>> {
    let seconds = digits(value.trim())?;
    Some(clock::after(
        DateTime::UNIX_EPOCH,
        Duration::from_secs(seconds),
    ))
}

/// A number without a sign. One that is too large counts as the largest possible.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T10:00:00Z".parse().expect("a time")
    }

    fn in_seconds(seconds: u64) -> DateTime<Utc> {
        clock::after(now(), Duration::from_secs(seconds))
    }

    fn status(status: u16) -> HttpAnswer {
        HttpAnswer {
            status,
            ..HttpAnswer::default()
        }
    }

    #[test]
    fn each_status_has_its_verdict() {
        for (verdict, statuses) in [
            (
                Verdict::Later,
                &[
                    200, 201, 204, 301, 302, 307, 405, 408, 418, 500, 502, 503, 504,
                ][..],
            ),
            (Verdict::Conflict, &[409]),
            (Verdict::Refused(PAUSE), &[401, 403, 404, 410]),
            (Verdict::Rejected, &[400, 413, 415, 422]),
            (Verdict::RateLimited(in_seconds(60)), &[429]),
        ] {
            for code in statuses {
                assert_eq!(judge(&status(*code), now()), verdict, "{code}");
            }
        }
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_respected() {
        let after_90 = Some(in_seconds(90));
        for code in [403, 429, 503] {
            assert_eq!(
                judge(
                    &HttpAnswer {
                        retry_after: after_90,
                        ..status(code)
                    },
                    now()
                ),
                Verdict::RateLimited(in_seconds(90))
            );
        }
        let reset = HttpAnswer {
            remaining: Some(0),
            reset: Some(in_seconds(1800)),
            ..status(403)
        };
        assert_eq!(judge(&reset, now()), Verdict::RateLimited(in_seconds(1800)));
        let past = HttpAnswer {
            remaining: Some(0),
            reset: Some(clock::before(now(), Duration::from_secs(5))),
            ..status(429)
        };
        assert_eq!(judge(&past, now()), Verdict::RateLimited(in_seconds(60)));
        let secondary = HttpAnswer {
            secondary: true,
            remaining: Some(4000),
            reset: Some(in_seconds(1800)),
            ..status(403)
        };
        assert_eq!(
            judge(&secondary, now()),
            Verdict::RateLimited(in_seconds(60))
        );
        let absurd = HttpAnswer {
            retry_after: Some(in_seconds(10_000_000)),
            ..status(429)
        };
        assert_eq!(
            judge(&absurd, now()),
            Verdict::RateLimited(in_seconds(24 * 3600))
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("120", now()), Some(in_seconds(120)));
        assert_eq!(
            retry_after("Sun, 22 Nov 2026 10:02:00 GMT", now()),
            Some(in_seconds(120))
        );
        for no_time in ["soon", "", "-5", "1.5"] {
            assert_eq!(retry_after(no_time, now()), None);
        }
    }

    #[test]
    fn a_wait_too_long_to_be_meant_is_still_the_longest_wait() {
        for number in ["99999999999", "99999999999999999999999999"] {
            let limited = [
                HttpAnswer {
                    retry_after: retry_after(number, now()),
                    ..status(403)
                },
                HttpAnswer {
                    remaining: Some(0),
                    reset: reset(number),
                    ..status(403)
                },
            ];
            for answer in limited {
                let longest = in_seconds(SERVER_WAIT_MAX.as_secs());
                assert_eq!(judge(&answer, now()), Verdict::RateLimited(longest));
            }
        }
        assert_eq!(
            reset("1795946400"),
            Some("2026-11-29T10:00:00Z".parse().expect("a time"))
        );
        assert_eq!(reset("soon"), None);
    }

    proptest! {
        #[test]
        fn no_answer_causes_a_wait_that_is_over_or_endless(
            code in 100u16..600, retry in proptest::option::of(-100_000i64..100_000_000), remaining in proptest::option::of(0u64..3),
            reset in proptest::option::of(-100_000i64..100_000_000), secondary: bool,
        ) {
            let at = |seconds: i64| now() + chrono::TimeDelta::seconds(seconds);
            let answer = HttpAnswer { status: code, retry_after: retry.map(at), remaining, reset: reset.map(at), secondary };
            if let Verdict::RateLimited(until) = judge(&answer, now()) {
                prop_assert!(until > now() && until <= in_seconds(24 * 3600));
            }
        }
    }
}
