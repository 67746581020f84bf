//! The two ways to access the spool: [`Spool::read`] and [`Spool::write`]. They take `spool.lock`,
//! open and migrate the database, import what waits in `overflow.jsonl`, and repair: when the work
//! finds damage, the database is repaired and the work runs again.

use std::time::Duration;

use super::open::{
    Sharing, is_busy, is_read_only, is_there, only_a_wal_is_left, refuse_only_a_wal,
};
use super::overflow::Overflow;
use super::repair::{self, Budget};
use super::schema::SCHEMA;
use super::{Spool, SpoolError, Writer};
use crate::clock::{self, Deadline};
use crate::files::size_of;
use crate::home::{Holder, Home, SpoolLock};
use crate::limits::{
    COMMAND_LOCK_WAIT, OVERFLOW_WAIT, READ_LOCK_WAIT, RECORD_IMPORT_BYTES,
    RECORD_IMPORT_SPOOL_BYTES, RECORD_LOCK_WAIT, RECORD_REPAIR_BYTES, RECORD_REPAIR_TIME,
    RECORD_WAIT, SQLITE_BUSY_WAIT,
};

/// Who is writing. This decides how long the write may wait and whether it may create the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// `record`. It creates the spool if there is none. All its waits together end at this
    /// deadline, because its event can go to `overflow.jsonl` instead. Its write is so short that
    /// it may use the database exclusively.
    Record(Deadline),
    /// A command that a person or a timer started. Without a spool it has nothing to do.
    Command,
}

impl Caller {
    /// A `record` that starts now.
    #[must_use]
    pub fn record() -> Self {
        Self::Record(Deadline::after(RECORD_WAIT))
    }

    fn lock_wait(self) -> Duration {
        match self {
            Self::Record(deadline) => RECORD_LOCK_WAIT.min(deadline.left()),
            Self::Command => COMMAND_LOCK_WAIT,
        }
    }

    /// How long to wait for SQLite's own locks, from now on.
    fn busy_wait(self) -> Duration {
        match self {
            Self::Record(deadline) => SQLITE_BUSY_WAIT.min(deadline.left()),
            Self::Command => SQLITE_BUSY_WAIT,
        }
    }

    /// How long to wait for the lock of `overflow.jsonl` before an import.
    fn overflow_wait(self) -> Duration {
        match self {
            Self::Record(deadline) => OVERFLOW_WAIT.min(deadline.left()),
            Self::Command => OVERFLOW_WAIT,
        }
    }

    fn sharing(self) -> Sharing {
        match self {
            Self::Record(_) => Sharing::Exclusive,
            Self::Command => Sharing::Shared,
        }
    }

    /// Whether there is a spool, or this caller may create one.
    fn may_open(self, home: &Home) -> bool {
        self != Self::Command
            || home.spool_db().exists()
            || home.overflow().exists()
            || only_a_wal_is_left(home)
            || repair::is_unfinished(home)
    }

    /// Whether this caller has time for an import, which reads the whole file and the whole database.
    fn has_time_to_import(self, home: &Home) -> bool {
        let waiting = size_of(&home.overflow());
        self == Self::Command
            || (waiting > 0
                && waiting <= RECORD_IMPORT_BYTES
                && size_of(&home.spool_db()) <= RECORD_IMPORT_SPOOL_BYTES)
    }

    /// How much of this caller's time a repair may take.
    fn repair_budget(self) -> Budget {
        match self {
            Self::Record(deadline) => Budget {
                bytes: RECORD_REPAIR_BYTES,
                deadline: Deadline::after(RECORD_REPAIR_TIME.min(deadline.left())),
            },
            Self::Command => Budget {
                bytes: u64::MAX,
                deadline: Deadline::after(Duration::MAX),
            },
        }
    }
}

impl Spool {
    /// Runs `work`, which reads, on the spool of a home; returns the default if there is none.
    /// First imports what waits in `overflow.jsonl`, if that is possible without waiting. Apart
    /// from that it takes the lock only to migrate an older spool, to repair a damaged one, or when
    /// writers follow each other so closely that SQLite finds no gap between them. If a stopped
    /// process holds the database, or the home can't be written, the database is read as it is.
    ///
    /// # Errors
    /// When there is a spool and it can't be opened or read.
    pub fn read<T: Default>(
        home: &Home,
        mut work: impl FnMut(&Self) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        if Overflow::of(home).waits()
            && let Some(lock) = lock_if_possible(home)
        {
            // If that fails, reading goes on. The number `overflow` says that events still wait there.
            let _ = write_locked(home, &lock, Caller::Command, |_| Ok(()));
        }
        let quarantined = home.quarantined();
        match without_repair(home, &mut work) {
            Err(error) if error.is_damage() => {
                repair_unless_done(home, &quarantined)?;
                without_repair(home, work)
            }
            other => other,
        }
    }

    /// Runs `work`, which writes, on the spool of a home, while holding `spool.lock` and after
    /// importing what waits in `overflow.jsonl`. Returns the default for a command without a spool.
    /// The lock is held until `work` is done, so `work` must be short.
    ///
    /// # Errors
    /// When the lock can't be taken in time, the spool can't be opened, or `work` fails.
    pub fn write<T: Default>(
        home: &Home,
        caller: Caller,
        work: impl FnMut(&mut Writer<'_>) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        if caller == Caller::Command && !home.dir().exists() {
            return Ok(T::default());
        }
        let lock = lock(home, caller.lock_wait())?;
        // Checked while holding the lock: the previous holder may have created the spool.
        if !caller.may_open(home) {
            return Ok(T::default());
        }
        write_locked(home, &lock, caller, work)
    }

    /// `None` when there is no spool.
    fn open_to_read(home: &Home) -> Result<Option<Self>, SpoolError> {
        let unfinished = repair::is_unfinished(home);
        if !unfinished {
            refuse_only_a_wal(home)?;
        }
        if !is_there(&home.spool_db())? {
            if !unfinished {
                return Ok(None);
            }
            let lock = lock(home, COMMAND_LOCK_WAIT)?;
            return Self::open(home, &lock, Sharing::Shared, SQLITE_BUSY_WAIT).map(Some);
        }
        let connect = || Self::connect(home, &home.spool_db(), Sharing::Shared, SQLITE_BUSY_WAIT);
        let spool = match connect() {
            Err(SpoolError::Database { source, .. }) if is_busy(&source.0) => {
                match lock_if_possible(home) {
                    Some(_no_writer) => connect()?,
                    None => Self::connect_without_locks(home)?,
                }
            }
            // The home can't be written.
            Err(SpoolError::Database { source, .. }) if is_read_only(&source.0) => {
                Self::connect_without_locks(home)?
            }
            other => other?,
        };
        if spool.schema()? < SCHEMA {
            let lock = lock(home, COMMAND_LOCK_WAIT)?;
            return Self::open(home, &lock, Sharing::Shared, SQLITE_BUSY_WAIT).map(Some);
        }
        Ok(Some(spool))
    }
}

fn write_locked<T>(
    home: &Home,
    lock: &SpoolLock,
    caller: Caller,
    mut work: impl FnMut(&mut Writer<'_>) -> Result<T, SpoolError>,
) -> Result<T, SpoolError> {
    let mut attempt = || {
        let mut spool = Spool::open(home, lock, caller.sharing(), caller.busy_wait())?;
        let mut writer = spool.writer(lock);
        // What waits is imported before anything new is added. If that fails, the work is still
        // done, unless damage must be repaired first.
        if caller.has_time_to_import(home) {
            match writer.import_overflow(caller.overflow_wait()) {
                Err(error) if error.is_damage() => return Err(error),
                _ => {}
            }
            writer.spool.wait_when_busy(caller.busy_wait())?;
        }
        work(&mut writer)
    };
    match attempt() {
        Err(error) if error.is_damage() => {
            Spool::repair(home, lock, clock::now(), caller.repair_budget())?;
            attempt()
        }
        other => other,
    }
}

/// Runs `work` on the spool as it is; returns the default if there is none.
///
/// # Errors
/// When it can't be opened or read, or is damaged.
pub(super) fn without_repair<T: Default>(
    home: &Home,
    work: impl FnOnce(&Spool) -> Result<T, SpoolError>,
) -> Result<T, SpoolError> {
    let Some(spool) = Spool::open_to_read(home)? else {
        return Ok(T::default());
    };
    match work(&spool) {
        // Not real damage, perhaps: the process that holds the database may have changed it meanwhile.
        Err(error) if spool.unlocked && error.is_damage() => {
            Err(SpoolError::locked(home.file("spool.lock")))
        }
        other => other,
    }
}

/// Repairs the spool, unless another process has done so since `quarantined` was looked up.
pub(super) fn repair_unless_done(home: &Home, quarantined: &[String]) -> Result<(), SpoolError> {
    let lock = lock(home, COMMAND_LOCK_WAIT)?;
    if home.quarantined() == quarantined {
        let budget = Caller::Command.repair_budget();
        Spool::repair(home, &lock, clock::now(), budget)?;
    }
    Ok(())
}

fn lock(home: &Home, wait: Duration) -> Result<SpoolLock, SpoolError> {
    home.lock_spool(wait)?
        .ok_or_else(|| SpoolError::locked(home.file("spool.lock")))
}

/// The lock for a reader, which can go on without it. `None` when another process holds it for
/// longer than [`READ_LOCK_WAIT`], immediately when that process is stopped, and when locking
/// fails.
fn lock_if_possible(home: &Home) -> Option<SpoolLock> {
    let now = home.lock_spool(Duration::ZERO).ok()?;
    now.or_else(|| {
        let holder = Holder::of(&home.file("spool.lock"));
        if holder.is_some_and(|holder| holder.is_stopped()) {
            return None;
        }
        home.lock_spool(READ_LOCK_WAIT).ok()?
    })
}
