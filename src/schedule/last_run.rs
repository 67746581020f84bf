//! When a scheduled flush last ran. cron, launchd and Task Scheduler don't tell, so `flush
//! --scheduled` notes it in the home.

use std::{fs, io};

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::files;
use crate::home::Home;
use crate::limits::SMALL_FILE_BYTES;

const FILE: &str = "last-scheduled-flush";

/// Notes that a scheduled flush runs. A home that is gone is not made again for it.
///
/// # Errors
/// When the note can't be written.
pub(crate) fn note(home: &Home, now: DateTime<Utc>) -> io::Result<()> {
    if !home.dir().is_dir() {
        return Ok(());
    }
    let text = format!(
        "{}\n",
        now.trunc_subsecs(0)
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    );
    files::replace_own(&home.file(FILE), text.as_bytes())
}

/// When a scheduled flush last ran; `None` when none did, or there is no telling.
#[must_use]
pub(crate) fn read(home: &Home) -> Option<DateTime<Utc>> {
    let text = files::read_own(&home.file(FILE), SMALL_FILE_BYTES).ok()?;
    String::from_utf8(text).ok()?.trim().parse().ok()
}

/// Forgets it.
pub(crate) fn forget(home: &Home) {
    // A note is all it was.
    let _ = fs::remove_file(home.file(FILE));
}
