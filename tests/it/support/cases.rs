//! Runs many cases of a test at the same time.

use std::sync::Mutex;

/// Runs `check` for all cases, several at a time, and reports all that failed.
pub(crate) fn all_of<C: Send>(
    cases: impl IntoIterator<Item = C>,
    name: impl Fn(&C) -> String + Sync,
    check: impl Fn(C) + Sync,
) {
    let cases = Mutex::new(cases.into_iter().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(case) = cases.lock().expect("no panic here").pop() else {
                break;
            };
            let name = name(&case);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case)));
            if checked.is_err() {
                failed.lock().expect("no panic here").push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no panic here");
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}
