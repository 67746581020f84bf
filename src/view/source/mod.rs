//! Where collected events are: one trait, one file per kind.

mod dir;
mod file;
mod gist;
mod spool;
mod stdin;

pub use dir::DirSource;
pub use file::FileSource;
pub use gist::GistSource;
pub use spool::SpoolSource;
pub use stdin::StdinSource;

use super::{Pass, ViewError};

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
