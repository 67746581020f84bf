//! A directory: every `.jsonl` file directly in it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Pass, Source, ViewError};
use crate::files::{self, NotOrdinary};
use crate::terminal::clean;

/// A directory.
#[derive(Debug)]
pub(super) struct DirSource {
    path: PathBuf,
}

impl DirSource {
    /// The directory at this path.
    #[must_use]
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The paths, sorted by name.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if is_jsonl(&path) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Whether this is the name of a JSONL file.
pub(super) fn is_jsonl(name: impl AsRef<Path>) -> bool {
    let extension = name.as_ref().extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"))
}

impl Source for DirSource {
    fn name(&self) -> String {
        format!("dir:{}", self.path.display())
    }

    /// A file that can't be read is named in the notes; the others are still counted.
    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        let files = self.files().map_err(|source| ViewError::Read {
            path: self.path.clone(),
            source,
        })?;
        pass.expect(files.iter().map(|path| files::size_of(path)).sum());
        for path in files {
            let name = clean(&path.file_name().unwrap_or_default().to_string_lossy());
            let file = match files::open_given(&path) {
                Ok(file) => file,
                Err(error) if NotOrdinary::of(&error).is_some() => {
                    pass.note(format!("skipped `{name}`: {error}"));
                    continue;
                }
                Err(error) => {
                    pass.incomplete(format!("failed to read `{name}`: {error}"));
                    continue;
                }
            };
            match pass.file(&name, file) {
                Err(ViewError::Read { source, .. }) => {
                    pass.incomplete(format!("failed to read all of `{name}`: {source}"));
                }
                other => other?,
            }
        }
        Ok(())
    }
}
