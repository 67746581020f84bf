//! jmo-telemetry: an offline-first telemetry spool.
//!
//! The scanner appends anonymous usage events, durably and at once, to a SQLite database under
//! `~/.jmo-security`; a separate flush uploads what waits, in batches, to a GitHub Gist, a
//! directory or a collector, and marks it sent.
//!
//! ```
//! use jmo_telemetry::consent::Consent;
//! use jmo_telemetry::env::Environment;
//! use jmo_telemetry::event::version::{PythonVersion, ScannerVersion};
//! use jmo_telemetry::event::vocabulary::{FailureType, Profile, Tool};
//! use jmo_telemetry::event::{Draft, Event, ToolFailed};
//! use jmo_telemetry::flush::{self, Options};
//! use jmo_telemetry::home::Home;
//! use jmo_telemetry::destination::Target;
//! use jmo_telemetry::{destination, limits, record};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let (home_dir, out_dir) = (scratch.path().join("home"), scratch.path().join("out"));
//! let home = Home::at(home_dir);
//! let consent = Consent::new(&Environment::default(), &home, None);
//!
//! let event = Event::ToolFailed(ToolFailed {
//!     tool: Tool::Trivy,
//!     failure_type: FailureType::Timeout,
//!     exit_code: None,
//!     profile: Profile::Fast,
//! });
//! let version = ScannerVersion::parse("1.0.2").unwrap_or_default();
//! let draft = Draft::new(event, version, PythonVersion::parse("3.11"));
//! let stored = record::record(&home, &consent, vec![draft], limits::SPOOL_MAX_BYTES)?;
//! assert_eq!(stored.events.len(), 1);
//!
//! let config = destination::Config { environment: &Environment::default(), remembered: None };
//! let mut destination = config.open(&Target::dir(out_dir))?;
//! let report = flush::flush(&home, &consent, destination.as_mut(), &Options::default(), &mut |_, _| {})?;
//! assert_eq!(report.sent, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//!
//! Dependencies point one way, downwards:
//!
//! | layer | modules |
//! | --- | --- |
//! | command line | [`cli`], the only place that prints; `settings` resolves what it was given |
//! | use cases | [`record`], [`flush`], `forget`, `status`, `request`, `view`, `schedule` (the regular flush) |
//! | adapters | [`spool`] (all SQL), [`destination`] (all HTTP), [`home`] (files and locks), [`consent`] (gathers what decides), [`env`](mod@env), `clock`, `files` |
//! | pure decisions | [`event`], [`consent::decide`], `consent::jmo_yml`, [`destination::verdict`], `destination::retry`, [`destination::segment`], `spool::retention`, `command_line`, [`limits`], `terminal` |
//!
//! # Invariants
//!
//! - An event is in the spool or in `overflow.jsonl`, synced, before `record` returns.
//! - Only types from [`event`] make a payload; they can't hold free text.
//! - A row is assigned to a segment, durably, before the segment is sent; it is `sent` only after a proof.
//! - `recorded = pending + sending + sent + held + dropped + purged`, at every moment.
//! - Consent is checked right before each request to a destination.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests set their scenes themselves"
    )
)]

pub mod cli;
mod clock;
mod command_line;
pub mod consent;
pub mod destination;
pub mod env;
mod error;
pub mod event;
mod files;
pub mod flush;
mod forget;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod generated;
pub mod home;
mod json;
pub mod limits;
pub mod record;
mod request;
mod schedule;
mod settings;
pub mod spool;
mod status;
mod terminal;
mod view;
