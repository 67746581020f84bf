//! Viewing what was collected. A [`Source`] feeds a streaming [`Pass`], which counts each event
//! once. The output formats use its summary, or get each event as a [`Consumer`].
//!
//! | step | file |
//! | --- | --- |
//! | where events come from | `source/`, one file per kind |
//! | lines of any length, any JSON, any event | `lines`, [`crate::json`], `event` |
//! | each event once, if it is in the period | `pass`, `period` |
//! | the properties by which they are counted | `dimensions`, one row per chart |
//! | the numbers | `summary`, the whole of `--json` |
//! | the terminal | `dashboard` |
//! | JSONL and CSV | `raw`, `csv` |
//! | the page | `cube` collects the data for its filters, `page` writes it, `page/` contains its parts |

mod csv;
mod cube;
mod dashboard;
mod dimensions;
mod event;
mod lines;
mod page;
mod pass;
mod period;
mod raw;
pub(crate) mod source;
mod summary;

use std::io;
use std::path::PathBuf;

pub(crate) use self::csv::Csv;
pub(crate) use cube::Cube;
pub(crate) use dashboard::{Frame, Local, dashboard};
pub(crate) use event::Event;
pub(crate) use page::page;
pub(crate) use pass::{Collected, Pass};
pub(crate) use period::{Moment, Period};
pub(crate) use raw::Raw;
pub(crate) use source::Source;

use crate::destination::{ReadError, Target};
use crate::spool::SpoolError;
use crate::terminal::clean;

/// Receives every event of a pass, for an output format that needs more than the summary.
pub(crate) trait Consumer {
    /// One event, and the line it was read from.
    ///
    /// # Errors
    /// When it can't be written.
    fn event(&mut self, event: &Event<'_>, line: &[u8]) -> io::Result<()>;
}

/// For output formats that need only the summary.
impl Consumer for () {
    fn event(&mut self, _: &Event<'_>, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Receives the progress of a long read.
pub(crate) trait Progress {
    /// This many more bytes will come.
    fn expect(&mut self, bytes: u64);
    /// This many more bytes have come.
    fn advance(&mut self, bytes: u64);
}

/// Ignores the progress.
impl Progress for () {
    fn expect(&mut self, _: u64) {}
    fn advance(&mut self, _: u64) {}
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// A file or directory of the source can't be read.
    #[error("failed to read `{}`", clean(&path.to_string_lossy()))]
    Read {
        /// Its path, or its name at the source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The local spool can't be read.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A destination can't be read.
    #[error("failed to read {target}")]
    Destination {
        /// The destination.
        target: Target,
        /// Why.
        source: ReadError,
    },
    /// The output can't be written.
    #[error("failed to write the events")]
    Write(#[source] io::Error),
}

/// Reads a source once. Events outside the period are left out.
///
/// # Errors
/// When the source can't be read, or `consumer` can't write.
pub(crate) fn collect(
    source: &mut dyn Source,
    period: Period,
    consumer: &mut dyn Consumer,
    progress: &mut dyn Progress,
) -> Result<Collected, ViewError> {
    let mut pass = Pass::new(period, consumer, progress);
    source.read(&mut pass)?;
    Ok(pass.finish())
}

/// Reads one line, as for every source.
#[cfg(fuzzing)]
pub(crate) fn read_for_fuzzing(line: &[u8]) {
    if let Some(event) = event::Event::read(line) {
        let _ = (
            event.at(),
            event.event_id(),
            event.anonymous_id(),
            event.tools().count(),
        );
    }
}
