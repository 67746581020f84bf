//! The tools of the tests: a world with a home and the program, fake servers, a tracer for system
//! calls, poisoned events, and a search for traces.

use std::time::{Duration, Instant};

pub(crate) mod cases;
pub(crate) mod collector;
pub(crate) mod collector_stand_in;
pub(crate) mod gist_server;
pub(crate) mod other_server;
pub(crate) mod poison;
pub(crate) mod terminal;
pub(crate) mod tracer;
pub(crate) mod traces;
pub(crate) mod world;

/// How long something may take that happens at once on an idle machine.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// Waits for a condition, at most [`BOUND`].
#[track_caller]
pub(crate) fn wait_for(so: impl Fn() -> bool) {
    let end = Instant::now() + BOUND;
    while !so() {
        assert!(Instant::now() < end, "the condition never became true");
        std::thread::yield_now();
    }
}
