//! When a scheduled flush last ran. cron, launchd and Task Scheduler don't tell, so `flush
//! --scheduled` stores it in the home.

use std::{fs, io};

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::files;
use crate::home::Home;
use crate::limits::SMALL_FILE_BYTES;

const FILE: &str = "last-scheduled-flush";

/// Stores that a scheduled flush is running. Does not create the home if it is gone.
///
/// # Errors
/// When the file can't be written.
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

/// When a scheduled flush last ran; `None` when none did, or that is unknown.
#[must_use]
pub(crate) fn read(home: &Home) -> Option<DateTime<Utc>> {
    let text = files::read_own(&home.file(FILE), SMALL_FILE_BYTES).ok()?;
    String::from_utf8(text).ok()?.trim().parse().ok()
}

/// Deletes the file.
pub(crate) fn forget(home: &Home) {
    // It does no harm if the file stays.
    let _ = fs::remove_file(home.file(FILE));
}
