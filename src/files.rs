//! Files as this program makes them: private to their owner, and durable when it says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Files made with these options are readable and writable by their owner alone.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    })?
    .sync_all()
}

/// Writes a file beside its place and renames it there; both the content and the name are durable
/// afterwards. A copy that an earlier, killed process left behind is overwritten.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let partial = dir.join(partial_name(&name.to_string_lossy()));
    let mut file =
        private(OpenOptions::new().write(true).create(true).truncate(true)).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&partial, path)?;
    sync_dir(dir)
}

/// The name of the copy that [`write_atomically`] makes of the file called `name` before it is
/// renamed.
#[must_use]
pub fn partial_name(name: &str) -> String {
    format!(".{name}.partial")
}

/// A file of the user's that is being written. It takes its name once it is complete, so that what
/// has that name already is not lost to a failure on the way. A pipe or a device is written as it
/// is.
#[derive(Debug)]
pub struct NewFile {
    out: BufWriter<File>,
    /// Where it is written until then, and its name.
    moves: Option<(PathBuf, PathBuf)>,
}

impl NewFile {
    /// Starts one.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        // A link stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_file = fs::metadata(&path).map_or(true, |metadata| metadata.is_file());
        let moves = match path.file_name() {
            Some(name) if is_file => {
                let name = partial_name(&name.to_string_lossy());
                Some((path.with_file_name(name), path.clone()))
            }
            _ => None,
        };
        let file = File::create(moves.as_ref().map_or(&path, |(partial, _)| partial))?;
        Ok(Self {
            out: BufWriter::new(file),
            moves,
        })
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// When its end can't be written, or it can't be renamed.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        match self.moves.take() {
            Some((partial, path)) => fs::rename(partial, path),
            None => Ok(()),
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.moves {
            // Nobody asked for half a file.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Whether the file's group or others may read it. Where the system has no such rights, nobody else
/// can.
#[must_use]
pub fn readable_by_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// A file's size in bytes; 0 when it is not there.
#[must_use]
pub fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
