//! Writes the files of a schedule, and can undo that.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::files;
use crate::limits::SMALL_FILE_BYTES;
use crate::schedule::ScheduleError;

/// How many folders of a path do not exist.
pub(super) fn missing(dir: &Path) -> usize {
    dir.ancestors().take_while(|dir| !dir.exists()).count()
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ScheduleError {
    move |source| ScheduleError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// The content of a file; `None` when it does not exist. Never waits for anything but a regular file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, ScheduleError> {
    match files::read_given(path, SMALL_FILE_BYTES) {
        Ok(content) => Ok(Some(content)),
        Err(error) if files::is_missing(&error) => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Deletes a file, which may already be gone.
pub(super) fn delete(path: &Path) -> Result<(), ScheduleError> {
    match fs::remove_file(path) {
        Err(error) if !files::is_missing(&error) => Err(failed("delete", path)(error)),
        _ => Ok(()),
    }
}

/// Replaces a file in one step.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = files::NewFile::shared(path)?;
    file.write_all(content)?;
    file.finish()
}

/// The files that were written, and their previous content.
#[derive(Debug, Default)]
pub(super) struct Written {
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
    /// The folders that were created, the innermost first.
    folders: Vec<PathBuf>,
}

impl Written {
    pub(super) fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), ScheduleError> {
        let before = read(path)?;
        if before.as_deref() == Some(content) {
            return Ok(());
        }
        if let Some(dir) = path.parent() {
            let made = dir.ancestors().take(missing(dir)).map(Path::to_owned);
            self.folders.extend(made);
            fs::create_dir_all(dir).map_err(failed("create directory", dir))?;
        }
        self.files.push((path.to_owned(), before));
        replace(path, content).map_err(failed("write", path))
    }

    /// Restores the previous state.
    pub(super) fn undo(self) {
        // Errors are ignored, because the failure that led here is the one that is reported.
        for (path, before) in self.files {
            let _ = match before {
                Some(content) => replace(&path, &content),
                None => fs::remove_file(&path),
            };
        }
        for folder in self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}
