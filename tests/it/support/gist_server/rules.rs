//! GitHub's rules for clients, checked for every request. Violations go to [`State::violations`].

use std::time::{Duration, Instant};

use super::{Recorded, State};

/// GitHub asks for at least a second between two changes.
const SPACING: Duration = Duration::from_secs(1);
/// The client's clock, the scheduler and the socket make small differences.
const TOLERANCE: Duration = Duration::from_millis(20);
/// Our own limit for one file. GitHub truncates files of twice this size.
const LARGEST_FILE: usize = 512 * 1024;

impl State {
    fn breach(&mut self, call: &Recorded, what: &str) {
        self.violations
            .push(format!("request {}, {}: {what}", call.id, call.method));
    }

    /// Checks the rules about the head of a request.
    pub(super) fn check_head(&mut self, call: &Recorded, now: Instant) {
        let header = |name: &str| call.headers.get(name).map(String::as_str);
        let mut breaches = Vec::new();
        if self.tokens().any(|token| call.path.contains(token)) {
            breaches.push("token in the URL");
        }
        if call.raw {
            if header("authorization").is_some() {
                breaches.push("Authorization sent to the raw host");
            }
        } else {
            if header("user-agent").is_none_or(str::is_empty) {
                breaches.push("no User-Agent");
            }
            if header("accept") != Some("application/vnd.github+json") {
                breaches.push("Accept is not application/vnd.github+json");
            }
            if header("x-github-api-version") != Some("2022-11-28") {
                breaches.push("X-GitHub-Api-Version is not 2022-11-28");
            }
            if header("authorization").is_some_and(|value| !value.starts_with("Bearer ")) {
                breaches.push("Authorization is not Bearer");
            }
            if self.wait_until.is_some_and(|until| now + TOLERANCE < until) {
                breaches.push("request during a wait that the server asked for");
            }
            if call.is_write()
                && self.spacing_checked
                && self
                    .last_write
                    .is_some_and(|last| now + TOLERANCE < last + SPACING)
            {
                breaches.push("less than a second after the last PATCH");
            }
        }
        breaches
            .into_iter()
            .for_each(|what| self.breach(call, what));
    }

    /// Checks the rules about the body of a request.
    pub(super) fn check_body(&mut self, call: &Recorded) {
        if !call.body.is_empty() {
            let text = String::from_utf8_lossy(&call.body);
            if self.tokens().any(|token| text.contains(token)) {
                self.breach(call, "token in the body");
            }
        }
        let json = call.json();
        let contents = json["files"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, file)| file["content"].as_str());
        if contents.map(str::len).any(|length| length > LARGEST_FILE) {
            self.breach(call, "a file over 512 KiB");
        }
    }

    /// Checks that requests are serial. Returns whether another PATCH is being handled when this
    /// one arrives.
    pub(super) fn check_alone(&mut self, call: &Recorded, rivals: &[Recorded]) -> bool {
        let collides = call.is_write() && rivals.iter().any(Recorded::is_write);
        if !rivals.is_empty() {
            self.breach(call, "more than one request in flight");
        }
        if collides {
            self.breach(call, "concurrent writes");
        }
        collides
    }

    fn tokens(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().chain([&self.token]).map(String::as_str)
    }
}
