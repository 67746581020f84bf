//! The ownership of the home. It must belong to the user who runs the program, and nobody else may
//! be able to write it; otherwise somebody else could choose the destination or read what is
//! recorded.
//!
//! When root runs in another user's home (`sudo` that keeps HOME, a container with a mounted home),
//! the process becomes that user before it touches anything. Otherwise files of root would be left
//! there, and their owner could not use them. Root also becomes the owner of a link on the way to
//! the home: otherwise a user's link could make root write to, and close to others, any directory.

use std::io;
use std::path::PathBuf;

use super::Home;

/// Why a home can't be used.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "only on Unix a home is checked for its owner")
)]
pub(crate) enum OwnerError {
    /// It could not be looked at.
    #[error("failed to look at home `{}`", path.display())]
    Look {
        /// The home, or the directory in which it would be created.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is not a directory.
    #[error("failed to use home `{}`: it is not a directory", path.display())]
    NotADirectory {
        /// The home.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("refused to use home `{}`: it belongs to another user (uid {owner})", path.display())]
    Foreign {
        /// The home.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Group or others can write it.
    #[error("refused to use home `{}`: other users can write it", path.display())]
    Writable {
        /// The home.
        path: PathBuf,
        /// Whether the directory is meant for everybody, like `/tmp`. Then no command can fix it.
        shared: bool,
    },
    /// Root could not become its owner.
    #[error("failed to become the owner (uid {owner}) of home `{}`", path.display())]
    Become {
        /// The home, or the directory in which it would be created.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The system's reason.
        source: io::Error,
    },
}

impl Home {
    /// Makes sure that the home belongs to the user, before anything in it is touched. Removes
    /// access of others from `~/.jmo-security`, and turns a root process into the owner of the
    /// home. If the home does not exist yet, the directory in which it would be created decides.
    ///
    /// Where the system has no file owners, a user's profile is private to the user.
    ///
    /// # Errors
    /// When it belongs to somebody else, or somebody else can write it.
    #[cfg(not(unix))]
    pub(crate) fn claim(&self) -> Result<(), OwnerError> {
        match std::fs::metadata(&self.dir) {
            Ok(metadata) if !metadata.is_dir() => Err(OwnerError::NotADirectory {
                path: self.dir.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Makes sure that the home belongs to the user, before anything in it is touched. Removes
    /// access of others from `~/.jmo-security`, and turns a root process into the owner of the
    /// home. If the home does not exist yet, the directory in which it would be created decides.
    ///
    /// # Errors
    /// When it belongs to somebody else, or somebody else can write it.
    #[cfg(unix)]
    pub(crate) fn claim(&self) -> Result<(), OwnerError> {
        use std::os::unix::fs::MetadataExt;

        let (path, metadata) = self.nearest()?;
        if nix::unistd::geteuid().is_root() {
            let (user, group) = self
                .owner_of_a_link()
                .unwrap_or((metadata.uid(), metadata.gid()));
            if user != 0 {
                unix::become_user(user, group).map_err(|errno| OwnerError::Become {
                    path: path.clone(),
                    owner: user,
                    source: errno.into(),
                })?;
            }
        }
        let owner = metadata.uid();
        if owner != nix::unistd::geteuid().as_raw() && path == self.dir {
            return Err(OwnerError::Foreign { path, owner });
        }
        if path == self.dir {
            self.keep_private(&metadata)?;
        }
        Ok(())
    }

    /// The home, or the nearest directory above it that exists.
    #[cfg(unix)]
    fn nearest(&self) -> Result<(PathBuf, std::fs::Metadata), OwnerError> {
        let mut path = self.dir.clone();
        loop {
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => return Ok((path, metadata)),
                Ok(_) => return Err(OwnerError::NotADirectory { path }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // A link to nothing.
                    if path.is_symlink() {
                        return Err(OwnerError::NotADirectory { path });
                    }
                    if !path.pop() || path.as_os_str().is_empty() {
                        path = PathBuf::from(".");
                    }
                }
                Err(source) => return Err(OwnerError::Look { path, source }),
            }
        }
    }

    /// The user and group of the first link on the way to the home that does not belong to root.
    #[cfg(unix)]
    fn owner_of_a_link(&self) -> Option<(u32, u32)> {
        use std::os::unix::fs::MetadataExt;

        let links = self
            .dir
            .ancestors()
            .filter_map(|path| std::fs::symlink_metadata(path).ok())
            .filter(std::fs::Metadata::is_symlink);
        let mut owners = links.map(|link| (link.uid(), link.gid()));
        owners.find(|(user, _)| *user != 0)
    }

    #[cfg(unix)]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place that tightens a home"
    )]
    fn keep_private(&self, metadata: &std::fs::Metadata) -> Result<(), OwnerError> {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;

        let mode = metadata.permissions().mode();
        // The scanner's former telemetry created ~/.jmo-security with the umask.
        let tightened = mode & 0o077 != 0
            && !self.named
            && set_permissions(&self.dir, Permissions::from_mode(0o700)).is_ok();
        if mode & 0o022 != 0 && !tightened {
            return Err(OwnerError::Writable {
                path: self.dir.clone(),
                shared: mode & 0o1000 != 0,
            });
        }
        Ok(())
    }
}

#[cfg(unix)]
mod unix {
    use nix::unistd::{Gid, Uid, setgid, setuid};

    /// Gives up root for good. The groups are changed first, because only root can change them.
    pub(super) fn become_user(user: u32, group: u32) -> nix::Result<()> {
        let group = Gid::from_raw(group);
        // nix has no setgroups on Apple's systems, whose C library manages groups in another way.
        #[cfg(not(target_vendor = "apple"))]
        nix::unistd::setgroups(&[group])?;
        setgid(group)?;
        setuid(Uid::from_raw(user))
    }
}
