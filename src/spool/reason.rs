//! SQLite's errors as messages for people: what is wrong, and what to do about it.

use std::error::Error;
use std::fmt;

use rusqlite::ErrorCode::{
    CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, ReadOnly,
    SystemIoFailure,
};
use rusqlite::ffi;

/// Why an operation of the database failed.
#[derive(Debug)]
pub struct DatabaseError(pub(super) rusqlite::Error);

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error)
    }
}

impl Error for DatabaseError {}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rusqlite::Error::SqliteFailure(error, message) = &self.0 else {
            return self.0.fmt(f);
        };
        f.write_str(match error.code {
            DiskFull => "the disk is full; make room on it",
            SystemIoFailure => "the disk is full or fails; make room on it, or see what the system's log says",
            CannotOpen | ReadOnly => {
                "it can't be written; make the home writable, or set JMO_TELEMETRY_HOME to a directory that is"
            }
            DatabaseBusy | DatabaseLocked => "another program is using it; try again when that is done",
            DatabaseCorrupt | NotADatabase => "it is damaged; run `jmo-telemetry spool check`",
            // SQLite's own message, without error numbers.
            _ => message.as_deref().unwrap_or_else(|| ffi::code_to_str(error.extended_code)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_contains_an_error_number_of_sqlite() {
        for basic in 1..=28 {
            for extended in 0..40 {
                let code = basic | extended << 8;
                let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
                let told = DatabaseError(error).to_string();
                let numbered =
                    told.contains(&code.to_string()) || told.to_lowercase().contains("error code");
                assert!(!told.is_empty() && !numbered, "{code}: {told}");
            }
        }
    }
}
