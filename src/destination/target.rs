//! Where events go, as data: the name of a destination, and the token for one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Capabilities, dir, gist, https};

/// The name of a destination: `gist:ID`, `dir:PATH` or a collector's `https://…`. The same words
/// are stored, shown and given on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target(Kind);

/// The kinds of destinations. Only the places that have one file per kind look at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A Gist, by its id.
    Gist(String),
    /// A directory.
    Dir(PathBuf),
    /// A collector, by its address.
    Collector(String),
}

/// One kind of destination, for people.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The word for it.
    pub word: &'static str,
    /// What it is.
    pub help: &'static str,
}

/// Text that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// None of the kinds.
    #[error("a destination is gist:ID, dir:PATH or https://…")]
    Kind,
    /// A Gist's id is letters and digits.
    #[error("a Gist's id is the last part of its URL: letters and digits")]
    GistId,
    /// A collector's address goes into requests and messages, and must be safe in both.
    #[error(
        "a collector's address is https://HOST[:PORT][/PATH], without a user, query or fragment; plain http is accepted for this machine alone"
    )]
    Collector,
    /// A directory without a path.
    #[error("dir: needs a path")]
    EmptyPath,
}

impl Target {
    /// All kinds.
    pub const KINDS: &[KindInfo] = &[
        KindInfo {
            word: "gist",
            help: "a Gist, by its id or URL; its owner's token comes from the environment, stdin or a prompt",
        },
        KindInfo {
            word: "dir",
            help: "a directory, by its path",
        },
        KindInfo {
            word: "collector",
            help: "a collector, by its URL; it needs no token",
        },
    ];

    /// The destination of the kind of this word at this place.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_kind(word: &str, place: &str) -> Result<Self, TargetError> {
        match word {
            "collector" => Self::collector(place),
            _ => format!("{word}:{place}").parse(),
        }
    }

    /// The Gist with this id, or with this URL.
    ///
    /// # Errors
    /// When the id has anything but letters and digits: it becomes part of a URL.
    pub fn gist(id_or_url: &str) -> Result<Self, TargetError> {
        let id = gist::id_of(id_or_url).ok_or(TargetError::GistId)?;
        Ok(Self(Kind::Gist(id.to_owned())))
    }

    /// A directory.
    #[must_use]
    pub fn dir(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Dir(path.into()))
    }

    /// The collector at this address.
    ///
    /// # Errors
    /// When it is no URL that may be used.
    pub fn collector(address: &str) -> Result<Self, TargetError> {
        https::address_of(address).map(|address| Self(Kind::Collector(address)))
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.0
    }

    /// What a destination of its kind can do and wants.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        match self.0 {
            Kind::Gist(_) => gist::CAPABILITIES,
            Kind::Dir(_) => dir::CAPABILITIES,
            Kind::Collector(_) => https::CAPABILITIES,
        }
    }

    /// The same destination, independent of the working directory.
    #[must_use]
    pub fn absolute(self, working_dir: &Path) -> Self {
        match self.0 {
            Kind::Dir(path) => Self::dir(working_dir.join(path)),
            other @ (Kind::Gist(_) | Kind::Collector(_)) => Self(other),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            _ if https::is_address(text) => Self::collector(text),
            Some(("gist", id)) => Self::gist(id),
            Some(("dir", "")) => Err(TargetError::EmptyPath),
            Some(("dir", path)) => Ok(Self::dir(path)),
            _ => Err(TargetError::Kind),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Gist(id) => write!(f, "gist:{id}"),
            Kind::Dir(path) => write!(f, "dir:{}", path.display()),
            Kind::Collector(address) => f.write_str(address),
        }
    }
}
/// A secret token. It has no `Display`, its `Debug` is redacted, and it can't be serialized.
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
            "https://t.example.org/telemetry",
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
