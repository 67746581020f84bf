//! A directory as a destination, which needs no server: for trying the program out, for air-gapped
//! transfer, and for tests. Each file is written atomically and durably.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::info::KindInfo;
use super::{Answer, Capabilities, Confirmed, Destination, RemoteFile, Seen, Unconfirmed, Wanted};
use crate::destination::Target;
use crate::destination::segment::{self, Receipt, SegmentFile};
use crate::files::{self, FileLock, NewFile};
use crate::limits::{SEGMENT_BYTES, SEGMENTS_PER_REQUEST};

/// What a directory can do, and its limits.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    segments_grow: true,
    max_bytes: SEGMENT_BYTES,
    max_events: usize::MAX,
    segments_per_request: SEGMENTS_PER_REQUEST,
    spacing: Duration::ZERO,
    can_look: true,
    uses_network: false,
};

/// The description of directories for help and messages.
pub(super) const INFO: KindInfo = KindInfo {
    word: "dir",
    name: "directory",
    help: "a directory, by its path",
    form: "dir:PATH",
    source_form: "dir:PATH",
    token_hint: None,
    configure_hint: None,
    connect_examples: &["jmo-telemetry connect dir /var/spool/jmo-telemetry"],
    flush_example: Some("jmo-telemetry flush --to dir:/tmp/telemetry    # needs no account"),
    view_example: Some("jmo-telemetry view --from dir:/tmp/telemetry --json | jq .tools"),
    variables: &[],
};

/// A directory. It is created when the first file is written.
pub(super) struct Dir {
    path: PathBuf,
    target: Target,
    /// Held from the first look to the end. So a copy of this spool that flushes at the same time
    /// looks only after this flush has written.
    lock: Option<FileLock>,
}

/// How long to wait for another flush into the same directory.
const LOCK_WAIT: Duration = Duration::from_secs(5);

impl Dir {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            target: Target::dir(path),
            lock: None,
        }
    }

    fn answer<T>(&self, operation: &str, result: io::Result<T>) -> Answer<T> {
        let confirmed = |proof| Confirmed {
            proof,
            http_status: None,
        };
        result.map(confirmed).map_err(|error| {
            let path = self.path.display();
            Unconfirmed::later(format!("failed to {operation} `{path}`: {error}"))
        })
    }

    fn url(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// The path of a segment. Fails for any other name: if somebody tampered with the database, it
    /// could lead anywhere.
    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        segment::is_name(name)
            .then(|| self.path.join(name))
            .ok_or_else(|| {
                io::Error::other(format!("`{}` is not a segment's name", name.escape_debug()))
            })
    }

    /// Fails when the path no longer leads to the directory that was looked at, because somebody
    /// has put a link or another directory in its place.
    fn is_still_there(&self) -> io::Result<()> {
        match &self.lock {
            Some(lock) if !files::is_at(lock.file(), &self.path)? => Err(io::Error::other(
                "another directory has taken its place; the next flush will look again",
            )),
            _ => Ok(()),
        }
    }

    fn write_all(&self, segments: &[SegmentFile]) -> io::Result<Vec<Receipt>> {
        fs::create_dir_all(&self.path)?;
        let write = |file: &SegmentFile| {
            self.is_still_there()?;
            let mut new = NewFile::shared(&self.path_of(&file.name)?)?;
            new.write_all(file.content.as_bytes())?;
            new.finish()?;
            Ok(Receipt::of(file.content.as_bytes(), self.url(&file.name)))
        };
        segments.iter().map(write).collect()
    }

    /// Locks the directory itself. Fails when another flush holds the lock for too long, because
    /// neither flush could see what the other writes.
    fn lock(&mut self, timeout: Duration) -> io::Result<()> {
        if self.lock.is_some() {
            return Ok(());
        }
        let opened = fs::create_dir_all(&self.path).and_then(|()| File::open(&self.path));
        let Ok(dir) = opened else {
            return Ok(());
        };
        let lock = FileLock::lock_directory(dir, timeout.min(LOCK_WAIT))?;
        let lock = lock.ok_or_else(|| io::Error::other("another flush is writing there"))?;
        self.lock = Some(lock);
        Ok(())
    }

    fn look_through(&self, wanted: Wanted<'_>) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(seen),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !segment::is_name(&name) {
                continue;
            }
            match files::read_given(&entry.path(), 2 * SEGMENT_BYTES as u64) {
                Ok(content) => {
                    let file = RemoteFile::of(&content, self.url(&name));
                    seen.note_file(name.clone(), file, wanted);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Whatever is there must not be written over.
                Err(_) => seen.note_unread(name.clone(), wanted),
            }
            seen.names.insert(name);
        }
        Ok(seen)
    }

    fn delete_all(&self, names: &[String]) -> io::Result<()> {
        let delete = |name: &String| {
            self.is_still_there()?;
            match fs::remove_file(self.path_of(name)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        names.iter().try_for_each(delete)
    }
}

impl Destination for Dir {
    fn target(&self) -> &Target {
        &self.target
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn write(&mut self, files: &[SegmentFile], _: Duration) -> Answer<Vec<Receipt>> {
        self.answer("write to", self.write_all(files))
    }

    fn look(&mut self, wanted: Wanted<'_>, timeout: Duration) -> Answer<Seen> {
        let seen = self.lock(timeout).and_then(|()| self.look_through(wanted));
        self.answer("look into", seen)
    }

    fn delete(&mut self, names: &[String], _: Duration) -> Answer<()> {
        self.answer("delete from", self.delete_all(names))
    }

    fn probe(&mut self, _: Duration) -> Answer<()> {
        let probe = || {
            fs::create_dir_all(&self.path)?;
            // No file of this name is created: without `finish` the new file is deleted.
            NewFile::shared(&self.path.join("probe")).map(drop)
        };
        self.answer("write to", probe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_directory_is_neither_written_nor_deleted() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let outside = scratch.path().join("precious");
        fs::write(&outside, "mine").expect("a file");
        let mut dir = Dir::new(&scratch.path().join("out"));
        let file = SegmentFile {
            id: 1,
            name: "../precious".to_owned(),
            content: "theirs".to_owned(),
            events: 1,
            unconfirmed: 1,
        };
        assert!(dir.write(&[file], Duration::MAX).is_err());
        assert!(
            dir.delete(&["../precious".to_owned()], Duration::MAX)
                .is_err()
        );
        assert_eq!(fs::read_to_string(&outside).expect("is there"), "mine");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_was_replaced_by_a_link_after_the_look_is_left_alone() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let [out, aside, theirs] = ["out", "aside", "theirs"].map(|name| scratch.path().join(name));
        let name = "events-20261122-0123456789abcdef.jsonl".to_owned();
        fs::create_dir(&theirs).expect("makes it");
        fs::write(theirs.join(&name), "theirs").expect("writes");
        let mut dir = Dir::new(&out);
        let (files, events) = Default::default();
        let wanted = Wanted {
            files: &files,
            events: &events,
        };
        dir.look(wanted, Duration::MAX).expect("looks");
        fs::rename(&out, &aside).expect("moves it away");
        std::os::unix::fs::symlink(&theirs, &out).expect("puts a link in its place");
        let file = SegmentFile {
            id: 1,
            name: name.clone(),
            content: "ours".to_owned(),
            events: 1,
            unconfirmed: 1,
        };
        let written = dir.write(&[file], Duration::MAX);
        assert!(written.is_err_and(|error| error.reason.contains("another directory")));
        assert!(
            dir.delete(std::slice::from_ref(&name), Duration::MAX)
                .is_err()
        );
        assert_eq!(
            fs::read_to_string(theirs.join(name)).expect("is there"),
            "theirs"
        );
    }

    #[test]
    fn a_flush_fails_while_another_holds_the_directory() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let (files, events) = Default::default();
        let wanted = Wanted {
            files: &files,
            events: &events,
        };
        let mut first = Dir::new(scratch.path());
        first
            .look(wanted, Duration::ZERO)
            .expect("nobody else is there");
        let mut second = Dir::new(scratch.path());
        let refused = second.look(wanted, Duration::ZERO).map(drop);
        assert!(refused.is_err_and(|error| error.reason.contains("another flush is writing")));
        drop(first);
        second
            .look(wanted, Duration::ZERO)
            .expect("the first is gone");
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let mut dir = Dir::new(scratch.path());
        assert!(dir.probe(Duration::MAX).is_ok());
        assert_eq!(fs::read_dir(scratch.path()).expect("reads").count(), 0);
    }
}
