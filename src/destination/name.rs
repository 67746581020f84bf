//! Where events go, as data: the name of a destination, and the token for one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The name of a destination: `gist:ID` or `dir:PATH`. The same words are stored, shown and given
/// on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A Gist, by its id.
    Gist(String),
    /// A directory.
    Dir(PathBuf),
}

/// Text that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `gist:` nor `dir:`.
    #[error("a destination is gist:ID or dir:PATH")]
    Kind,
    /// A Gist's id is letters and digits.
    #[error("a Gist's id is the last part of its URL: letters and digits")]
    GistId,
    /// A directory without a path.
    #[error("dir: needs a path")]
    EmptyPath,
}

impl Target {
    /// The Gist with this id.
    ///
    /// # Errors
    /// When the id has anything but letters and digits: it becomes part of a URL.
    pub fn gist(id: &str) -> Result<Self, TargetError> {
        let fits = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self::Gist(id.to_owned()))
            .ok_or(TargetError::GistId)
    }

    /// The same destination, independent of the working directory.
    #[must_use]
    pub fn absolute(self, working_dir: &Path) -> Self {
        match self {
            Self::Dir(path) => Self::Dir(working_dir.join(path)),
            gist @ Self::Gist(_) => gist,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("gist", id)) => Self::gist(id),
            Some(("dir", "")) => Err(TargetError::EmptyPath),
            Some(("dir", path)) => Ok(Self::Dir(PathBuf::from(path))),
            _ => Err(TargetError::Kind),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gist(id) => write!(f, "gist:{id}"),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

/// A GitHub token. It has no `Display`, its `Debug` is redacted, and it can't be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token from text around which white space may stand; `None` when nothing usable is left.
    /// Only visible ASCII can stand in a header.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| Self(text.to_owned()))
    }

    /// The secret itself, for the request's header and the user's own file; for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_what_it_writes() {
        for text in [
            "gist:0123456789abcdef",
            "dir:/tmp/out",
            "dir:out",
            "dir:C:/out",
        ] {
            assert_eq!(
                text.parse::<Target>()
                    .map(|target| target.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
        for text in [
            "",
            "gist:",
            "gist:../x",
            "gist:a/b",
            "dir:",
            "http://x",
            "abc",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::new(" ghp_secret\n").expect("a token");
        assert_eq!(token.expose(), "ghp_secret");
        assert_eq!(format!("{token:?}"), "Token(redacted)");
        assert_eq!(Token::new("two words"), None);
    }
}
