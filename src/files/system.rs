//! The parts that depend on the operating system: opening a file without following links or
//! waiting, who owns a file, and who can read it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// A file created with these options can be read and written by its owner alone.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes sure that the umask takes no permissions from the owner, who could otherwise not enter the
/// home.
pub(crate) fn keep_the_owners_rights() {
    #[cfg(unix)]
    {
        use nix::sys::stat::{Mode, umask};
        let mask = umask(Mode::empty());
        umask(mask & !Mode::S_IRWXU);
    }
}

#[cfg(unix)]
pub(super) use unix::{NO_LINK, NO_WAIT, flags, foreign, trusted};

#[cfg(unix)]
mod unix {
    use std::fs::{Metadata, OpenOptions};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use nix::fcntl::OFlag;

    /// Opening fails when the last part of the path is a symbolic link.
    pub(in crate::files) const NO_LINK: i32 = OFlag::O_NOFOLLOW.bits();
    /// Opening does not wait for the other end of a pipe or for a device, and a terminal does not
    /// become the controlling terminal.
    pub(in crate::files) const NO_WAIT: i32 = OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits();

    pub(in crate::files) fn flags(options: &mut OpenOptions, flags: i32) -> &mut OpenOptions {
        options.custom_flags(flags)
    }

    /// Whether the file belongs to another user.
    pub(in crate::files) fn foreign(metadata: &Metadata) -> bool {
        metadata.uid() != nix::unistd::geteuid().as_raw()
    }

    /// Whether it was created by this user or by root.
    pub(in crate::files) fn trusted(metadata: &Metadata) -> bool {
        metadata.uid() == 0 || !foreign(metadata)
    }
}

#[cfg(windows)]
pub(super) use windows::{NO_LINK, NO_WAIT, flags, foreign, trusted};

#[cfg(windows)]
mod windows {
    use std::fs::{Metadata, OpenOptions};
    use std::os::windows::fs::OpenOptionsExt;

    /// `FILE_FLAG_OPEN_REPARSE_POINT`: opens a symbolic link itself instead of its target.
    pub(in crate::files) const NO_LINK: u32 = 0x0020_0000;
    pub(in crate::files) const NO_WAIT: u32 = 0;

    pub(in crate::files) fn flags(options: &mut OpenOptions, flags: u32) -> &mut OpenOptions {
        options.custom_flags(flags)
    }

    /// Windows has access lists instead, and a user's profile is private to the user.
    pub(in crate::files) fn foreign(_: &Metadata) -> bool {
        false
    }

    pub(in crate::files) fn trusted(_: &Metadata) -> bool {
        true
    }
}

/// Whether this open file or directory is still the one at `path`. Always true on systems without
/// inode numbers.
///
/// # Errors
/// When nothing is at `path`, or the system's reason.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (open, there) = (file.metadata()?, std::fs::metadata(path)?);
        Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        Ok(true)
    }
}

/// Whether the file's group or others can access it. Never on systems without such permissions.
#[must_use]
pub(crate) fn readable_by_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
