//! Reads `telemetry.enabled` from the scanner's `jmo.yml`, with the meaning that PyYAML's
//! `yaml.safe_load` gives to the file.
//!
//! The scanner reads the same file with PyYAML. Nothing that PyYAML reads as a "no", or refuses to
//! read, may become a "yes" here. So this module is strict when in doubt: every [`Problem`]
//! disables telemetry, like a "no". It never keeps or repeats text of the file: `scalar` reduces
//! each value to what it means for us.
//!
//! - `reader`: reads the parser's events and applies PyYAML's stricter rules
//! - `document`: holds the nodes and looks up keys
//! - `scalar`: decides what one value means, by the rules of YAML 1.1
//!
//! There is no fast path for a file without the word "telemetry", because a file that the scanner
//! can't parse also disables telemetry, and only parsing can tell.

mod document;
mod reader;
mod scalar;

use std::fmt;

use document::{Document, Kind};
use scalar::Scalar;

/// The largest file that is read: far larger than any `jmo.yml` written by hand, but small enough
/// that even the worst text found takes only 0.7 s.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A position in `jmo.yml`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// What `jmo.yml` says about telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Nothing.
    Unset,
    /// It is enabled, at this position.
    Enabled(Place),
    /// It is disabled, at this position.
    Disabled(Place),
}

/// Why `jmo.yml` can't be used. That disables telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It is larger than [`MAX_BYTES`].
    TooLarge,
    /// It is not UTF-8. (PyYAML would also read UTF-16 with a byte order mark.)
    NotUtf8(Place),
    /// PyYAML refuses the file here, or might read it differently than we do.
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong; never text of the file.
        what: &'static str,
    },
    /// The file is a list or a single value.
    NotAMapping(Place),
    /// The value of the setting is neither a yes nor a no.
    Senseless(Place),
}

impl std::error::Error for Problem {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "larger than {} MiB", MAX_BYTES >> 20),
            Self::NotUtf8(place) => write!(f, "not UTF-8 at {place}"),
            Self::Syntax { place, what } => write!(f, "{what} at {place}"),
            Self::NotAMapping(place) => write!(f, "not a mapping at {place}"),
            Self::Senseless(place) => write!(f, "neither a yes nor a no at {place}"),
        }
    }
}

/// Reads what a `jmo.yml` with this content says about telemetry.
///
/// Besides `telemetry: {enabled: …}`, this accepts `telemetry: no` (and `yes`), and treats a
/// top-level `telemetry.enabled: no` as the opt-out that it was meant to be.
///
/// # Errors
/// A [`Problem`] when PyYAML would raise an exception, and when the setting makes no sense.
pub(crate) fn telemetry_enabled(text: &[u8]) -> Result<Setting, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::TooLarge);
    }
    let text = str::from_utf8(text).map_err(|error| {
        let valid = str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default();
        Problem::NotUtf8(Place::after(valid))
    })?;
    let document = reader::read(text)?;
    let Some(root) = document.root() else {
        return Ok(Setting::Unset);
    };
    match document.kind(root) {
        Kind::Mapping => {}
        Kind::Scalar(Scalar::Null) => return Ok(Setting::Unset),
        _ => return Err(Problem::NotAMapping(document.place(root))),
    }
    let flat = document
        .lookup(root, Scalar::TelemetryEnabled)
        .into_iter()
        .map(|node| enabled(&document, node))
        .filter(|verdict| !matches!(verdict, Ok(Setting::Enabled(_))));
    let nested = document
        .lookup(root, Scalar::Telemetry)
        .into_iter()
        .map(|node| telemetry(&document, node));
    strictest(flat.chain(nested))
}

/// The value of `telemetry`.
fn telemetry(document: &Document, node: usize) -> Result<Setting, Problem> {
    let place = document.place(node);
    match document.kind(node) {
        Kind::Mapping => strictest(
            document
                .lookup(node, Scalar::Enabled)
                .into_iter()
                .map(|node| enabled(document, node)),
        ),
        Kind::Scalar(Scalar::Null) => Ok(Setting::Unset),
        Kind::Scalar(Scalar::No) => Ok(Setting::Disabled(place)),
        Kind::Scalar(Scalar::True) => Ok(Setting::Enabled(place)),
        _ => Err(Problem::Senseless(place)),
    }
}

/// The value of `enabled`. A null is a no, because the scanner asks for `bool(value)`.
fn enabled(document: &Document, node: usize) -> Result<Setting, Problem> {
    let place = document.place(node);
    match document.kind(node) {
        Kind::Scalar(Scalar::No | Scalar::Null) => Ok(Setting::Disabled(place)),
        Kind::Scalar(Scalar::True | Scalar::Yes | Scalar::Enabled) => Ok(Setting::Enabled(place)),
        _ => Err(Problem::Senseless(place)),
    }
}

/// Combines the values of a key that is written more than once. PyYAML uses the last one. Here a
/// "no" wins, then a problem, because somebody who wrote "no" anywhere meant it.
fn strictest(verdicts: impl Iterator<Item = Result<Setting, Problem>>) -> Result<Setting, Problem> {
    let mut answer = Ok(Setting::Unset);
    for verdict in verdicts {
        match (answer, verdict) {
            (_, Ok(Setting::Disabled(_))) => return verdict,
            (Err(_), _) => {}
            _ => answer = verdict,
        }
    }
    answer
}

impl Place {
    /// The position right after `text`.
    fn after(text: &str) -> Self {
        let line_start = text.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: text.matches('\n').count() + 1,
            column: text[line_start..].chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests;
