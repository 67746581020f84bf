//! Looking at the spool, and deleting from it at the user's word: the use cases behind `spool`,
//! `status`, `disable` and `forget`.

use crate::clock;
use crate::home::{FlushLock, Home};
use crate::limits::RECORD_LOCK_WAIT;
use crate::spool::{
    Check, Deleted, Filter, Overflow, Row, Spool, SpoolError, Writer, lock_or_fail,
};

/// Runs `work`, which holds no lock; when it meets damage, sets the spool aside, unless another process
/// has done so meanwhile, and runs it again.
///
/// # Errors
/// What `work` fails with, or when the spool can't be set aside.
pub fn mending<T>(
    home: &Home,
    mut work: impl FnMut() -> Result<T, SpoolError>,
) -> Result<T, SpoolError> {
    let aside = home.quarantined();
    match work() {
        Err(error) if error.is_damage() => {
            rescue_unless_done(home, &aside)?;
            work()
        }
        other => other,
    }
}

/// Sets the spool aside if none was since `aside` was looked up: a healthy successor stays.
fn rescue_unless_done(home: &Home, aside: &[String]) -> Result<(), SpoolError> {
    let lock = lock_or_fail(home)?;
    if home.quarantined() == aside {
        Spool::rescue(home, &lock, clock::now())?;
    }
    Ok(())
}

/// Opens the spool and looks at it; first takes in what waits in `overflow.jsonl`, where that can
/// be done. A spool that turns out to be damaged is set aside, and what was carried over is looked
/// at. `None` when there is nothing at all.
///
/// # Errors
/// When there is a spool and it can't be opened or read.
pub fn look<T>(
    home: &Home,
    mut at: impl FnMut(&Spool) -> Result<T, SpoolError>,
) -> Result<Option<T>, SpoolError> {
    mending(home, || match open(home)? {
        Some(spool) => at(&spool).map(Some),
        None => Ok(None),
    })
}

fn open(home: &Home) -> Result<Option<Spool>, SpoolError> {
    if Overflow::of(home).waits()
        && let Ok(Some(lock)) = home.lock_spool(RECORD_LOCK_WAIT)
    {
        // Looking goes on without it: `overflow` in the numbers says that it still waits.
        let _ = Spool::write(home, &lock, clock::now(), |writer| writer.import_overflow());
    }
    Spool::open_to_read(home)
}

/// Lists rows, oldest first, each handed to `show` as it is read.
///
/// # Errors
/// When there is a spool and it can't be opened or read, or what `show` says.
pub fn list<E: From<SpoolError>>(
    home: &Home,
    filter: &Filter,
    mut show: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), E> {
    // Should damage be met half-way, the list goes on behind what was shown.
    let mut last = 0;
    let listed = look(home, |spool| {
        spool.list(
            &Filter {
                after: last,
                ..filter.clone()
            },
            |row| {
                last = row.seq;
                show(row)
            },
        )
    })?;
    listed.unwrap_or(Ok(()))
}

/// Verifies the spool. One that is damaged is set aside afterwards, so that it does no harm.
///
/// # Errors
/// When there is a spool and it can't be opened or read.
pub fn check(home: &Home) -> Result<Check, SpoolError> {
    let fine = Check {
        ok: true,
        problems: Vec::new(),
        damaged: false,
    };
    let aside = home.quarantined();
    let mut check = look(home, Spool::check)?.unwrap_or(fine);
    if check.damaged {
        rescue_unless_done(home, &aside)?;
        check.problems.push(
            "it was set aside; what could be read was carried over into a new one".to_owned(),
        );
    }
    Ok(check)
}

/// Runs a writing method on the spool; `None` when there is none.
///
/// # Errors
/// When it can't be opened, or the method fails.
pub fn tend<T>(
    home: &Home,
    mut work: impl FnMut(&mut Writer<'_>) -> Result<T, SpoolError>,
) -> Result<Option<T>, SpoolError> {
    if !home.spool_db().exists() && !Overflow::of(home).waits() {
        return Ok(None);
    }
    let lock = lock_or_fail(home)?;
    Spool::write(home, &lock, clock::now(), |writer| {
        writer.import_overflow()?;
        work(writer)
    })
    .map(Some)
}

/// Deletes what was not sent, wherever it waits; with `all`, the rest too.
///
/// # Errors
/// When the spool can't be opened or written.
pub fn purge(home: &Home, all: bool) -> Result<Deleted, SpoolError> {
    if !home.dir().exists() {
        return Ok(Deleted::default());
    }
    // Also where nothing is yet: who was allowed to record a moment ago may hold the lock and be
    // about to.
    let lock = lock_or_fail(home)?;
    if !home.spool_db().exists() && !home.overflow().exists() {
        return Ok(Deleted::default());
    }
    Spool::write(home, &lock, clock::now(), |writer| writer.purge(all))
}

/// Forgetting in steps, with no flush at work meanwhile: the caller deletes the remote files in
/// between, and what could not be deleted stays known for another try.
#[derive(Debug)]
pub struct Forgetting<'h> {
    home: &'h Home,
    _no_flush: Option<FlushLock>,
    /// Sent rows that went with their remote files.
    sent: usize,
}

impl<'h> Forgetting<'h> {
    /// Keeps flushes out.
    ///
    /// # Errors
    /// When one is at work.
    pub fn begin(home: &'h Home) -> Result<Self, SpoolError> {
        if !home.dir().exists() {
            return Ok(Self {
                home,
                _no_flush: None,
                sent: 0,
            });
        }
        match home.lock_flush()? {
            Some(lock) => Ok(Self {
                home,
                _no_flush: Some(lock),
                sent: 0,
            }),
            None => Err(SpoolError::Locked {
                path: home.file("flush.lock"),
            }),
        }
    }

    /// This machine's files, by destination.
    ///
    /// # Errors
    /// When the spool can't be read.
    pub fn remote_files(&self) -> Result<Vec<(String, Vec<String>)>, SpoolError> {
        Ok(look(self.home, Spool::remote_files)?.unwrap_or_default())
    }

    /// Forgets the names of files that were deleted, and the rows that were in them.
    ///
    /// # Errors
    /// When the spool can't be written.
    pub fn remote_is_gone(&mut self, destination: &str) -> Result<(), SpoolError> {
        let gone = tend(self.home, |writer| writer.forget_files(destination))?;
        self.sent += gone.unwrap_or_default();
        Ok(())
    }

    /// Deletes everything here: rows, overflow, damaged copies, what `view` kept; and makes a new
    /// id if there was one.
    ///
    /// # Errors
    /// When the home can't be written.
    pub fn finish(self) -> Result<Deleted, SpoolError> {
        let deleted = purge(self.home, true)?;
        self.home.delete_quarantined()?;
        self.home.delete_view_cache()?;
        self.home.forget_anonymous_id()?;
        Ok(Deleted {
            sent: deleted.sent + self.sent,
            ..deleted
        })
    }
}
