//! Where collected events are: one trait, one file per kind.

mod collector;
mod dir;
mod file;
mod gist;
mod spool;
mod stdin;

pub use collector::CollectorSource;
pub use dir::DirSource;
pub use file::FileSource;
pub use gist::GistSource;
pub use spool::SpoolSource;
pub use stdin::StdinSource;

use super::{Pass, ViewError};
use crate::destination::{Kind, Target};
use crate::settings::{Settings, SettingsError};

/// What was sent to a destination, as a source; contacts nobody yet.
///
/// # Errors
/// When it can't be used.
pub fn of(target: &Target, settings: &Settings) -> Result<Box<dyn Source>, SettingsError> {
    Ok(match target.kind() {
        Kind::Dir(path) => Box::new(DirSource::new(path)),
        Kind::Collector(_) => {
            let reader = settings.collector_reader(target)?;
            Box::new(CollectorSource::new(reader, settings.home.clone()))
        }
        Kind::Gist(_) => {
            let reader = settings.gist_reader(target)?;
            Box::new(GistSource::new(reader, settings.home.clone()))
        }
    })
}

/// Whether a destination is a Gist.
#[must_use]
pub fn is_gist(target: &Target) -> bool {
    matches!(target.kind(), Kind::Gist(_))
}

/// A place that holds events.
pub trait Source {
    /// Its name, in the words of `--from`.
    fn name(&self) -> String;

    /// Feeds everything it holds to `pass`, once.
    ///
    /// # Errors
    /// When it can't be read, or `pass` can't go on.
    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError>;
}
