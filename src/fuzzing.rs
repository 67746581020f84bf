//! The doors for the fuzzer (`fuzz/`): each parser that reads what others wrote, with what must hold for any input. Built
//! with `--cfg fuzzing` alone.

use crate::consent::jmo_yml;
use crate::destination::verdict;
use crate::event::{Draft, Payload};
use crate::{clock, limits};

/// One line of `record --stdin`: it is an event or an error, and the error repeats nothing of the line.
pub fn record_line(data: &[u8]) {
    if let Err(error) = Draft::from_json(data) {
        let message = error.to_string();
        assert!(message.len() < 1024, "an error of bounded length");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}

/// One line of `overflow.jsonl`: what is taken in is stored byte for byte.
pub fn overflow_line(data: &[u8]) {
    if let Ok(line) = std::str::from_utf8(data)
        && let Some(payload) = Payload::reread(line)
    {
        assert_eq!(payload.as_str(), line);
    }
}

/// `jmo.yml`: a decision or a problem, never a panic.
pub fn jmo_yml(data: &[u8]) {
    let _ = jmo_yml::telemetry_enabled(data);
}

/// One line of a source of `view`.
pub fn view_line(data: &[u8]) {
    crate::view::read_for_fuzzing(data);
}

/// What GitHub's API answers, or whoever stands in between.
pub fn gist_answer(data: &[u8]) {
    crate::destination::read_gist_for_fuzzing(data);
}

/// The header `Retry-After`.
pub fn retry_after(data: &[u8]) {
    if let Ok(value) = std::str::from_utf8(data) {
        let now = clock::now();
        let longest = clock::after(now, limits::SERVER_WAIT_MAX);
        let answer = verdict::HttpAnswer {
            status: 429,
            retry_after: verdict::retry_after(value, now),
            ..verdict::HttpAnswer::default()
        };
        if let verdict::Verdict::RateLimited(until) = verdict::judge(&answer, now) {
            assert!(until > now && until <= longest);
        }
    }
}
