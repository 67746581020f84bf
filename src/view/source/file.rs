//! One JSONL file, whatever its name.

use std::fs::File;
use std::path::PathBuf;

use super::{Pass, Source, ViewError};

/// A file.
#[derive(Debug)]
pub(super) struct FileSource {
    path: PathBuf,
}

impl FileSource {
    /// The file at this path.
    #[must_use]
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Source for FileSource {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        let fail = |source| ViewError::Read {
            path: self.path.clone(),
            source,
        };
        let file = File::open(&self.path).map_err(fail)?;
        pass.expect(file.metadata().map_err(fail)?.len());
        pass.file(&self.path.to_string_lossy(), file)
    }
}
