//! The history of deliveries to each destination: the last attempts, and when the next one is allowed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{Spool, SpoolError, Writer, ms, stored, time};
use crate::destination::Target;
use crate::destination::retry::{LastFailure, RetryState};
use crate::limits::ATTEMPTS_KEPT;

/// One attempt to deliver, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Attempt {
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// The destination.
    pub(crate) destination: String,
    /// `sent`, or what stopped it.
    pub(crate) outcome: String,
    /// The answer's status, if there was one.
    pub(crate) http_status: Option<u16>,
    /// The number of events that were confirmed.
    pub(crate) sent: usize,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

impl Writer<'_> {
    /// Stores when a destination may be tried again.
    ///
    /// # Errors
    /// When the database can't be written.
    pub(crate) fn store_retry_state(
        &mut self,
        target: &Target,
        retry: &RetryState,
    ) -> Result<(), SpoolError> {
        set_retry_state(&self.spool.connection, &target.to_string(), retry)
            .map_err(self.spool.fail("note a wait in"))
    }
}

impl Spool {
    /// When a destination may be tried again, and what it last answered.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) fn retry_state(&self, target: &Target) -> Result<RetryState, SpoolError> {
        let state = self.connection.query_row(
            "SELECT failures, retry_at, wait_until, paused_at, paused_for, configuration, noted_at, last_write_at,
                    http_status, reason, advice
             FROM destination WHERE name = ?1",
            [target.to_string()],
            |row| {
                let at = |column: usize| -> rusqlite::Result<_> {
                    Ok(row.get::<_, Option<i64>>(column)?.map(time))
                };
                let failure = |reason| {
                    Ok::<_, rusqlite::Error>(LastFailure {
                        http_status: row.get(8)?,
                        reason,
                        advice: row.get(10)?,
                    })
                };
                Ok(RetryState {
                    failures: row.get(0)?,
                    retry_at: at(1)?,
                    wait_until: at(2)?,
                    paused_at: at(3)?,
                    paused_for: row.get::<_, Option<u64>>(4)?.map(Duration::from_secs),
                    fingerprint: row.get(5)?,
                    noted_at: at(6)?,
                    last_write_at: at(7)?,
                    failure: row.get::<_, Option<String>>(9)?.map(failure).transpose()?,
                })
            },
        );
        Ok(state
            .optional()
            .map_err(self.fail("read"))?
            .unwrap_or_default())
    }

    /// The last attempts at one destination, or at any, newest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) fn attempts(
        &self,
        target: Option<&Target>,
        limit: u32,
    ) -> Result<Vec<Attempt>, SpoolError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT at, destination, outcome, http_status, events, error FROM attempt
                 WHERE ?1 IS NULL OR destination = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let destination = target.map(Target::to_string);
            let attempts = statement.query_map(params![destination, limit], |row| {
                Ok(Attempt {
                    at: time(row.get(0)?),
                    destination: row.get(1)?,
                    outcome: row.get(2)?,
                    http_status: row.get(3)?,
                    sent: row.get(4)?,
                    error: row.get(5)?,
                })
            })?;
            attempts.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail("read the attempts of"))
    }
}

pub(super) fn set_retry_state(
    connection: &Connection,
    destination: &str,
    retry: &RetryState,
) -> rusqlite::Result<()> {
    let failure = retry.failure.as_ref();
    connection
        .execute(
            "INSERT OR REPLACE INTO destination
             (name, failures, retry_at, wait_until, paused_at, paused_for, configuration, noted_at, last_write_at,
              http_status, reason, advice)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                destination,
                retry.failures,
                retry.retry_at.map(ms),
                retry.wait_until.map(ms),
                retry.paused_at.map(ms),
                retry.paused_for.map(|pause| pause.as_secs()),
                retry.fingerprint,
                retry.noted_at.map(ms),
                retry.last_write_at.map(ms),
                failure.and_then(|failure| failure.http_status),
                failure.map(|failure| &failure.reason),
                failure.and_then(|failure| failure.advice.as_ref()),
            ],
        )
        .map(|_| ())
}

pub(super) fn remember(connection: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO attempt (at, destination, outcome, http_status, events, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            ms(attempt.at),
            attempt.destination,
            attempt.outcome,
            attempt.http_status,
            stored(attempt.sent),
            attempt.error
        ],
    )?;
    connection.execute(
        "DELETE FROM attempt WHERE id <= ?1 - ?2",
        params![connection.last_insert_rowid(), ATTEMPTS_KEPT],
    )?;
    Ok(())
}
