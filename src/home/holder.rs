//! The process that holds a lock, for messages. Known only on Linux, from `/proc/locks`.

use std::fmt;
use std::path::Path;

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pid: u32,
    name: Option<String>,
    stopped: bool,
}

impl Holder {
    /// The process that holds the lock on a file, if it is known.
    #[must_use]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let pid = pid_of_holder(path)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        Some(Self {
            pid,
            name: field("Name:"),
            // T: stopped by a signal; t: by a debugger.
            stopped: field("State:").is_some_and(|state| state.starts_with(['T', 't'])),
        })
    }

    /// Whether it is stopped, so that it will not release the lock by itself.
    #[must_use]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        match (&self.name, self.stopped) {
            (Some(name), true) => write!(f, " ({name}, stopped)"),
            (Some(name), false) => write!(f, " ({name})"),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(target_os = "linux")]
fn pid_of_holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let inode = std::fs::symlink_metadata(path).ok()?.ino();
    pid_of_inode(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

#[cfg(not(target_os = "linux"))]
fn pid_of_holder(_: &Path) -> Option<u32> {
    None
}

/// Finds the holder in `/proc/locks`. A line there looks like `1: FLOCK ADVISORY WRITE 1234
/// 08:02:5678 0 EOF`; the line of a process that is waiting has an arrow after its number. The
/// device is not compared, because some file systems show a different one here.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux has this file")
)]
fn pid_of_inode(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
        let found: u64 = file.rsplit(':').next()?.parse().ok()?;
        // 0 stands for a process outside this container.
        let pid: u32 = pid.parse().ok().filter(|pid| *pid > 0)?;
        (kind == "FLOCK" && found == inode).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_and_a_waiting_process_is_not() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:02:5678 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 12 08:02:5678 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 08:02:5678 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 13 08:02:5679 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 14 08:02:5678 0 EOF\n";
        assert_eq!(pid_of_inode(locks, 5678), Some(14));
        assert_eq!(pid_of_inode(locks, 1), None);
        assert_eq!(pid_of_inode("no table at all", 1), None);
    }
}
