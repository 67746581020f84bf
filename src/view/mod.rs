//! Viewing what was collected. A [`Source`] feeds one streaming [`Pass`], which counts each event
//! once; the output formats are made from its summary, or take each event as a [`Consumer`].
//!
//! | step | file |
//! | --- | --- |
//! | where events are | `source/`, one file per kind |
//! | lines of any length, any JSON, any event | `lines`, [`crate::json`], `event` |
//! | each once, if it is in the period | `pass`, `period` |
//! | by which words they are counted | `dimensions`, one row per chart |
//! | the numbers | `summary`, the whole of `--json` |
//! | the terminal | `dashboard` |
//! | JSONL and CSV | `raw`, `csv` |
//! | the page | `cube` collects what its filters need, `page` writes it, `page/` is what it is made of |

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

/// Takes every event of a pass: an output format that needs more than the summary.
pub(crate) trait Consumer {
    /// One event, and the line it was read from.
    ///
    /// # Errors
    /// When it can't be written.
    fn event(&mut self, event: &Event<'_>, line: &[u8]) -> io::Result<()>;
}

/// Needs nothing more.
impl Consumer for () {
    fn event(&mut self, _: &Event<'_>, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Is told how far a long read is.
pub(crate) trait Progress {
    /// This many more bytes will come.
    fn expect(&mut self, bytes: u64);
    /// This many more bytes have come.
    fn advance(&mut self, bytes: u64);
}

/// Shows nothing.
impl Progress for () {
    fn expect(&mut self, _: u64) {}
    fn advance(&mut self, _: u64) {}
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// A file or directory of the source.
    #[error("failed to read `{}`", clean(&path.to_string_lossy()))]
    Read {
        /// Its path, or its name where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The local spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A destination.
    #[error("failed to read {target}")]
    Destination {
        /// Which one.
        target: Target,
        /// Why.
        source: ReadError,
    },
    /// The output can't be written.
    #[error("failed to write the events")]
    Write(#[source] io::Error),
}

/// Reads a source once. Events outside of the period are left out.
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

/// Reads one line as every source does.
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
