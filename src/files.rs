//! Files as this program makes them: private to their owner, and durable when it says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

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

/// Writes a file beside its place and renames it there; both the content and the name are durable afterwards. A copy
/// that an earlier, killed process left behind is overwritten.
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

/// The name of the copy that [`write_atomically`] makes of the file called `name` before it is renamed.
#[must_use]
pub fn partial_name(name: &str) -> String {
    format!(".{name}.partial")
}

/// Whether the file's group or others may read it. Where the system has no such rights, nobody else can.
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
