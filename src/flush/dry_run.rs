//! Shows what a flush would write, without flushing.

use super::{Outcome, Report, SegmentReport};
use crate::destination::Target;
use crate::destination::segment::sha256;
use crate::home::Home;
use crate::spool::{Caller, Spool, SpoolError};

/// The files that a flush of everything (or of `limit` events) would write. Contacts nobody and
/// changes nothing.
///
/// # Errors
/// When the spool can't be read.
pub(crate) fn dry_run(
    home: &Home,
    target: Option<&Target>,
    limit: Option<usize>,
) -> Result<Report, SpoolError> {
    let mut report = Report::nothing(Outcome::DryRun, target);
    let limit = limit.unwrap_or(usize::MAX);
    let files = Spool::write(home, Caller::Command, |writer| {
        writer.preview(target, limit)
    })?;
    report.remaining = Spool::read(home, Spool::stats)?.waiting();
    report.segments = files
        .into_iter()
        .map(|file| SegmentReport {
            url: None,
            bytes: file.content.len(),
            sha256: sha256(file.content.as_bytes()),
            name: file.name,
            events: file.events,
            content: Some(file.content),
        })
        .collect();
    Ok(report)
}
