//! The spool: a SQLite database of events that are waiting, being sent, or sent. All SQL of the
//! program is in this directory.
//!
//! *Access.* The spool is used through [`Spool::read`] and [`Spool::write`] (`access.rs`). Reading
//! needs no lock. All methods that write belong to [`Writer`], which exists only while `spool.lock`
//! is held. The lock is held for one write at a time and never while the network is in use. A
//! `record` that finds no other process using the database opens it exclusively, which saves it
//! from creating the WAL's shared index; readers wait for that moment.
//!
//! *Durability.* WAL with `synchronous=FULL`: a commit returns after the WAL was synced.
//!
//! *The WAL stays small.* Closing does not checkpoint. A writer that finds more than
//! [`WAL_CHECKPOINT_BYTES`](crate::limits::WAL_CHECKPOINT_BYTES) in the WAL writes it back before
//! its own commit, which then overwrites the file from its beginning. Large changes are made in
//! steps, each in its own transaction. Only a purge, which the user asked for, rewrites the whole
//! database at once.

mod access;
mod append;
mod assign;
mod attempts;
mod check;
mod consistency;
mod import;
mod ledger;
mod list;
mod open;
mod overflow;
mod prune;
mod purge;
mod reason;
mod reconcile;
mod remote;
mod repair;
pub(crate) mod retention;
mod salvage;
mod schema;
mod segments;
mod wal;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde::Serialize;

pub use access::Caller;
pub(crate) use attempts::Attempt;
pub(crate) use check::check;
pub use list::{Filter, Row, Stats, list};
pub(crate) use overflow::{Overflow, SetAside};
pub(crate) use purge::Deleted;
pub use reason::DatabaseError;
pub(crate) use reconcile::Reconciled;
pub(crate) use segments::{BatchLimits, Halved};

use crate::home::{Holder, Home, HomeError, SpoolLock};

/// The page size of every spool: SQLite's default.
const PAGE_BYTES: usize = 4096;

/// The state of an event. The numbers are stored in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for a flush.
    Pending = 0,
    /// In a segment whose upload is not confirmed.
    Sending = 1,
    /// Confirmed by the destination.
    Sent = 2,
    /// Rejected by the destination, kept for inspection.
    Held = 3,
}

impl State {
    /// All states, in the order in which an event goes through them.
    pub(crate) const ALL: [Self; 4] = [Self::Pending, Self::Sending, Self::Sent, Self::Held];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Held => "held",
        }
    }

    fn stored(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i64 == number)
    }
}

/// An open spool that can be read.
#[derive(Debug)]
pub struct Spool {
    connection: Connection,
    home: Home,
    /// Opened without SQLite's locks. Another process may change the database meanwhile, so
    /// apparent damage need not be real.
    unlocked: bool,
}

/// An open spool that can be written, while `spool.lock` is held.
#[derive(Debug)]
pub struct Writer<'s> {
    spool: &'s mut Spool,
    _lock: &'s SpoolLock,
}

/// One failed operation on the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file of the home could not be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The database.
    #[error("failed to {operation} spool `{}`", path.display())]
    Database {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The database.
        path: PathBuf,
        /// Why.
        source: DatabaseError,
    },
    /// A newer version of this program created it. It is left untouched.
    #[error("refused to open spool `{}`: its schema {found} is newer than this program's {}; update jmo-telemetry", path.display(), schema::SCHEMA)]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// It is a database, but not one of this program's.
    #[error("refused to use `{}`: it is another program's database", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// It is gone or empty, but its WAL is there.
    #[error("found only the WAL of spool `{}`", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// The schema could not be brought up to date.
    #[error("failed to migrate spool `{}`", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// The reason.
        source: rusqlite_migration::Error,
    },
    /// It is damaged, and the repair would take longer than the caller has.
    #[error("found spool `{}` damaged, and left it to be repaired by `jmo-telemetry spool check`", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
    },
    /// Another process holds `spool.lock` or the database.
    #[error("gave up waiting for `{}`: {} holds it", path.display(), holder.as_ref().map_or("another process".to_owned(), ToString::to_string))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The other process, if known.
        holder: Option<Holder>,
    },
}

impl SpoolError {
    /// The error for a file whose lock another process holds.
    #[must_use]
    pub(crate) fn locked(path: PathBuf) -> Self {
        let holder = Holder::of(&path);
        Self::Locked { path, holder }
    }

    /// Whether the database itself is unusable: damaged, truncated, or not a database.
    #[must_use]
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let source = match self {
            Self::Foreign { .. } | Self::Missing { .. } => return true,
            Self::Database { source, .. } => &source.0,
            Self::Migration {
                source: rusqlite_migration::Error::RusqliteError { err, .. },
                ..
            } => err,
            _ => return false,
        };
        match source {
            rusqlite::Error::SqliteFailure(error, message) => {
                matches!(error.code, DatabaseCorrupt | NotADatabase)
                    || message.as_deref().is_some_and(misses_our_schema)
            }
            rusqlite::Error::SqlInputError { msg, .. } => misses_our_schema(msg),
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => true,
            _ => false,
        }
    }
}

/// Whether SQLite's message means that the schema is not the one that its version number promises.
fn misses_our_schema(message: &str) -> bool {
    [
        "no such table",
        "no such column",
        "malformed database schema",
        "table event has no column",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}

impl Spool {
    /// A writer on this spool.
    fn writer<'s>(&'s mut self, lock: &'s SpoolLock) -> Writer<'s> {
        Writer {
            spool: self,
            _lock: lock,
        }
    }

    fn fail(&self, operation: &'static str) -> impl FnOnce(rusqlite::Error) -> SpoolError + use<> {
        let path = self.home.spool_db();
        move |source: rusqlite::Error| SpoolError::Database {
            operation,
            path,
            source: source.into(),
        }
    }
}

/// A time as it is stored: Unix time in milliseconds.
fn ms(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// The time that was stored.
fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(if ms < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// A size as SQLite stores it.
fn stored(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
