//! The sources of collected events: one trait, one file per kind.

mod collector;
mod dir;
mod file;
mod gist;
mod spool;
mod stdin;

use std::path::Path;

use self::collector::CollectorSource;
use self::dir::DirSource;
use self::file::FileSource;
use self::gist::GistSource;
use self::spool::SpoolSource;
use self::stdin::StdinSource;
use super::{Pass, ViewError};
use crate::destination::{KINDS, Kind, Target};
use crate::home::Home;
use crate::settings::{Settings, SettingsError};

/// A destination as a source. Contacts nobody yet.
///
/// # Errors
/// When it can't be used.
pub(crate) fn of(target: &Target, settings: &Settings) -> Result<Box<dyn Source>, SettingsError> {
    let remembered = settings.remembered(target)?;
    let config = settings.config(remembered.as_ref());
    let home = settings.home.clone();
    Ok(match target.kind() {
        Kind::Dir(path) => Box::new(DirSource::new(path)),
        Kind::Collector(_) => {
            Box::new(CollectorSource::new(config.collector_reader(target)?, home))
        }
        Kind::Gist(_) => Box::new(GistSource::new(config.gist_reader(target)?, home)),
    })
}

/// How to write each kind of source, for help and messages.
#[must_use]
pub(crate) fn forms() -> String {
    let destinations: Vec<_> = KINDS.iter().map(|kind| kind.source_form).collect();
    format!(
        "{}, spool, the path of a JSONL file, or - for stdin",
        destinations.join(", ")
    )
}

/// The source at this path: every JSONL file of a directory, or one file.
#[must_use]
pub(crate) fn at(path: &Path) -> Box<dyn Source> {
    if path.is_dir() {
        Box::new(DirSource::new(path))
    } else {
        Box::new(FileSource::new(path))
    }
}

/// The local spool.
#[must_use]
pub(crate) fn spool(home: &Home) -> Box<dyn Source> {
    Box::new(SpoolSource::new(home.clone()))
}

/// Standard input.
#[must_use]
pub(crate) fn stdin() -> Box<dyn Source> {
    Box::new(StdinSource)
}

/// A place that contains events.
pub(crate) trait Source {
    /// Its name, as it is written for `--from`.
    fn name(&self) -> String;

    /// Feeds all its content to `pass`, once.
    ///
    /// # Errors
    /// When it can't be read, or `pass` fails.
    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError>;
}
