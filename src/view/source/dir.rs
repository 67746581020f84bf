//! A directory of JSONL files, as `flush --to dir:PATH` writes them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Pass, Source, ViewError};

/// Every `*.jsonl` file right in a directory.
#[derive(Debug)]
pub struct DirSource {
    path: PathBuf,
}

impl DirSource {
    /// The directory at this path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Paths and sizes, in the order of names. A pipe or a directory of such a name is no file.
    fn files(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if !is_jsonl(&path) {
                continue;
            }
            let metadata = fs::metadata(&path)?;
            if metadata.is_file() {
                files.push((path, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Whether the name is one of a JSONL file.
pub(super) fn is_jsonl(name: impl AsRef<Path>) -> bool {
    let extension = name.as_ref().extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"))
}

impl Source for DirSource {
    fn name(&self) -> String {
        format!("dir:{}", self.path.display())
    }

    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        let fail = |path: &Path, source| ViewError::Read {
            path: path.to_owned(),
            source,
        };
        let files = self.files().map_err(|error| fail(&self.path, error))?;
        pass.expect(files.iter().map(|(_, bytes)| bytes).sum());
        for (path, _) in files {
            let file = File::open(&path).map_err(|error| fail(&path, error))?;
            pass.file(&path.to_string_lossy(), file)?;
        }
        Ok(())
    }
}
