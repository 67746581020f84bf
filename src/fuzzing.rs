//! Entry points for the fuzzer (`fuzz/`): one for each parser that reads untrusted input, with the
//! properties that must hold for any input. Only compiled with `--cfg fuzzing`.

use crate::consent::jmo_yml;
use crate::destination::verdict;
use crate::event::{Draft, Payload};
use crate::{clock, limits};

/// One line of `record --stdin`: an event, or a short error without control characters.
pub fn record_line(data: &[u8]) {
    if let Err(error) = Draft::from_json(data) {
        let message = error.to_string();
        assert!(message.len() < 1024, "an error of bounded length");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}

/// One line of `overflow.jsonl`: an accepted line is stored byte for byte.
pub fn overflow_line(data: &[u8]) {
    if let Ok(line) = std::str::from_utf8(data)
        && let Some(payload) = Payload::reread(line)
    {
        assert_eq!(payload.as_str(), line);
    }
}

/// `jmo.yml`: gives a decision or an error, and never panics.
pub fn jmo_yml(data: &[u8]) {
    let _ = jmo_yml::telemetry_enabled(data);
}

/// One line of a file that `view` reads.
pub fn view_line(data: &[u8]) {
    crate::view::read_for_fuzzing(data);
}

/// An answer of GitHub's API, or of a proxy in between.
pub fn gist_answer(data: &[u8]) {
    crate::destination::read_gist_for_fuzzing(data);
}

/// The header `Retry-After`: the wait is in the future and limited.
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
