//! Version numbers as closed types: digits, dots, and a pre-release tag from a fixed list.

use std::fmt;

use serde::{Serialize, Serializer};

/// The scanner's version: one to four numbers of at most five digits with dots between them, and
/// optionally a pre-release tag (`a`, `b`, `rc`, `alpha`, `beta`, `pre`, `dev`, `post` and a
/// number, with `-` or `.` before either).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannerVersion(String);

/// `0.0.0`: the scanner gave no version, or an invalid one.
impl Default for ScannerVersion {
    fn default() -> Self {
        Self("0.0.0".to_owned())
    }
}

impl ScannerVersion {
    /// The longest text that can be a version.
    pub(super) const MAX: usize = 40;
    /// The form of a version, as a regular expression for JSON Schema.
    pub(super) const PATTERN: &str = r"^[0-9]{1,5}(\.[0-9]{1,5}){0,3}([-.]?(alpha|beta|dev|post|pre|rc|a|b)([-.]?[0-9]{1,5})?)?$";
    const TAGS: [&str; 8] = ["alpha", "beta", "dev", "post", "pre", "rc", "a", "b"];

    /// Reads a version; a leading `v` is removed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers_end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let numbers = text[..numbers_end]
            .strip_suffix('.')
            .unwrap_or(&text[..numbers_end]);
        let tag = &text[numbers.len()..];
        let numbers_fit =
            numbers.split('.').count() <= 4 && numbers.split('.').all(is_small_number);
        (text.len() <= Self::MAX && numbers_fit && Self::is_tag(tag)).then(|| Self(text.to_owned()))
    }

    fn is_tag(tag: &str) -> bool {
        if tag.is_empty() {
            return true;
        }
        let tag = tag.strip_prefix(['-', '.']).unwrap_or(tag);
        Self::TAGS.iter().any(|word| {
            tag.strip_prefix(word).is_some_and(|rest| {
                rest.is_empty() || is_small_number(rest.strip_prefix(['-', '.']).unwrap_or(rest))
            })
        })
    }
}

fn is_small_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

impl Serialize for ScannerVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The scanner's Python version, as `3.N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PythonVersion {
    minor: u8,
}

impl PythonVersion {
    /// The form of a version, as a regular expression for JSON Schema.
    pub(super) const PATTERN: &str = r"^3\.(0|[1-9][0-9]?)$";

    /// Reads `3.N`; anything after a second dot (`3.11.4`) is ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let minor = text.strip_prefix("3.")?.split('.').next()?;
        let digits = (1..=2).contains(&minor.len()) && minor.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| minor.parse().ok())
            .flatten()
            .map(|minor| Self { minor })
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.minor)
    }
}

impl Serialize for PythonVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_kept_and_anything_else_is_not() {
        for good in [
            "1",
            "1.0.2",
            "0.9.0",
            "1.2.3.4",
            "1.0.0rc1",
            "1.0.0-rc.1",
            "2.0.0-beta",
            "1.0.0.dev12",
            "2026.11.22",
            "1.0b2",
        ] {
            assert_eq!(
                ScannerVersion::parse(good).map(|v| v.0).as_deref(),
                Some(good),
                "{good}"
            );
        }
        assert_eq!(
            ScannerVersion::parse("v1.0").map(|v| v.0).as_deref(),
            Some("1.0")
        );
        for bad in [
            "",
            "v",
            ".",
            "1.",
            "1..2",
            "1.0-secret",
            "1.0-rc-secret",
            "1.0+local",
            "/etc/passwd",
            "123456",
            "1.2.3.4.5",
            "1.0rc123456",
            "１.0",
        ] {
            assert_eq!(ScannerVersion::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_python_version_is_three_dot_n() {
        let read = |text| PythonVersion::parse(text).map(|v| v.to_string());
        assert_eq!(read("3.11").as_deref(), Some("3.11"));
        assert_eq!(read("3.12.1 (main, path)").as_deref(), Some("3.12"));
        for bad in ["", "3", "3.", "2.7", "3.x", "3.123", "3.+1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
