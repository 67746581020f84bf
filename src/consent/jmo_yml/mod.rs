//! Reads `telemetry.enabled` out of the scanner's `jmo.yml`, with the meaning that
//! PyYAML's `yaml.safe_load` gives the file.
//!
//! The scanner and we read the same file, and they must not differ in one direction: nothing
//! that PyYAML takes for a "no", or refuses to read, may become a "yes" here. So this module is
//! strict where it is in doubt: every [`Problem`] disables, like a "no". It never keeps or
//! repeats text of the file: `scalar` reduces each value to what it means for us.
//!
//! - `reader`: the parser's events, with PyYAML's stricter rules
//! - `document`: the nodes, and how keys are looked up in them
//! - `scalar`: what one value means, by the rules of YAML 1.1
//!
//! There is no fast path for a file without the word "telemetry": a file that the scanner
//! cannot parse disables too, and only parsing can tell.

mod document;
mod reader;
mod scalar;

use std::fmt;

use document::{Document, Kind};
use scalar::Scalar;

/// Far above any `jmo.yml` written by hand, and low enough that the worst text found of this size
/// is read in 0.7 s.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Where in `jmo.yml` something stands, 1-based; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// What `jmo.yml` says of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Nothing.
    Unset,
    /// That it is enabled, at this place.
    Enabled(Place),
    /// That it is not enabled, at this place.
    Disabled(Place),
}

/// Why `jmo.yml` cannot be trusted, which disables telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Over [`MAX_BYTES`].
    TooLarge,
    /// PyYAML would read UTF-16 with a byte order mark too; we take it for a mistake.
    NotUtf8(Place),
    /// PyYAML refuses the file here, or we do because the two could read it differently.
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong, in fixed words.
        what: &'static str,
    },
    /// The file is a list or a single value.
    NotAMapping(Place),
    /// The setting is neither a yes nor a no.
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

/// What the `jmo.yml` with these bytes says of telemetry.
///
/// Besides `telemetry: {enabled: …}` this understands `telemetry: no` (and `yes`), and takes a
/// top-level `telemetry.enabled: no` for the opt-out that it was meant to be.
///
/// # Errors
/// A [`Problem`] wherever PyYAML would raise, and wherever the setting makes no sense.
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

/// One verdict from those of a key that is written more than once. PyYAML takes the last; here
/// a no among them wins, then a problem: who wrote "no" anywhere meant it.
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
    /// The place of what follows `text`.
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
