//! The name of a destination, and the token for one, as data.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::http;

/// The name of a destination: `gist:ID`, `dir:PATH` or a collector's `https://…`. The same form is
/// stored, shown and used on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target(Kind);

/// The kinds of destinations. Only modules with one file per kind use this.
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

/// Why a text is not a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is none of the kinds.
    #[error("a destination is gist:ID, dir:PATH or https://…")]
    Kind,
    /// The id of a Gist has other characters than letters and digits.
    #[error("a Gist's id is the last part of its URL: letters and digits")]
    GistId,
    /// The address of a collector would not be safe to use in requests and messages.
    #[error(
        "a collector's address is https://HOST[:PORT][/PATH], without a user, query or fragment; plain http is accepted for this machine alone"
    )]
    Collector,
    /// The path is relative, and the working directory's name can't be written as text.
    #[error(
        "the working directory's name is not Unicode; name a directory elsewhere by its whole path, as in dir:/PATH"
    )]
    NotUnicode,
    /// A directory without a path.
    #[error("dir: needs a path")]
    EmptyPath,
}

impl Target {
    /// The destination with this word for its kind at this place.
    ///
    /// ```
    /// use jmo_telemetry::destination::Target;
    ///
    /// let target = Target::of_kind("dir", "/var/spool/jmo-telemetry")?;
    /// assert_eq!(target.to_string(), "dir:/var/spool/jmo-telemetry");
    /// assert_eq!("dir:/var/spool/jmo-telemetry".parse(), Ok(target));
    /// # Ok::<(), jmo_telemetry::destination::TargetError>(())
    /// ```
    ///
    /// # Errors
    /// When that is not a destination.
    pub fn of_kind(word: &str, place: &str) -> Result<Self, TargetError> {
        match word {
            "collector" => Self::collector(place),
            _ => format!("{word}:{place}").parse(),
        }
    }

    /// The Gist with this id, or with this URL.
    ///
    /// # Errors
    /// When the id has characters other than letters and digits, as it becomes part of a URL.
    pub fn gist(id_or_url: &str) -> Result<Self, TargetError> {
        let id = gist_id(id_or_url).ok_or(TargetError::GistId)?;
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
    /// When the address can't be used.
    pub fn collector(address: &str) -> Result<Self, TargetError> {
        let address = http::address(address).ok_or(TargetError::Collector)?;
        Ok(Self(Kind::Collector(address)))
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.0
    }

    /// The same destination, with a path that does not depend on the working directory.
    ///
    /// # Errors
    /// When it is a directory whose full path is not Unicode, because it is stored and shown as text.
    pub fn absolute(self, working_dir: &Path) -> Result<Self, TargetError> {
        match self.0 {
            Kind::Dir(path) => {
                let path = working_dir.join(path);
                if path.to_str().is_none() {
                    return Err(TargetError::NotUnicode);
                }
                Ok(Self::dir(path))
            }
            other @ (Kind::Gist(_) | Kind::Collector(_)) => Ok(Self(other)),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            _ if is_address(text) => Self::collector(text),
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

/// The id from an id or the URL of a Gist, if it is valid.
fn gist_id(id_or_url: &str) -> Option<&str> {
    let id = match id_or_url.strip_prefix("https://") {
        Some(url) => {
            let path = url.split(['?', '#']).next()?.trim_end_matches('/');
            let parts = path.trim_end_matches(".git").split('/').skip(1);
            // Pages of a Gist (`/edit`, `/raw/…`) have more after it.
            parts
                .clone()
                .find(|part| looks_like_gist_id(part))
                .or_else(|| parts.last())?
        }
        None => id_or_url,
    };
    let fits = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then_some(id)
}

/// Whether this part of a URL must be the id of a Gist, and not a user's name or a page.
fn looks_like_gist_id(part: &str) -> bool {
    part.len() >= 20 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether this text looks like a collector's address.
fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// A secret token. It has no `Display`, its `Debug` is redacted, and it can't be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token from text that may be surrounded by white space; `None` if the rest is empty or not
    /// visible ASCII, the only characters allowed in a header.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| Self(text.to_owned()))
    }

    /// The secret itself, only for the request's header and the user's own file.
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
    fn the_id_of_a_gist_is_found_in_the_url_of_any_of_its_pages() {
        let id = "0123456789abcdef0123456789abcdef";
        for rest in [
            "",
            "/",
            ".git",
            "/edit",
            "#file-a",
            "?x=1",
            "/raw/0123456789abcdef0123456789abcdef01234567/a.jsonl",
        ] {
            for place in ["me/", ""] {
                let url = format!("https://gist.github.com/{place}{id}{rest}");
                assert_eq!(gist_id(&url), Some(id), "{url}");
            }
        }
        assert_eq!(
            gist_id("https://gist.github.com/me/1234567"),
            Some("1234567")
        );
        assert_eq!(gist_id("https://gist.github.com"), None);
    }

    #[test]
    fn an_address_is_https_or_this_machine_and_contains_no_secret() {
        for (text, address) in [
            ("https://t.example.org", "https://t.example.org"),
            ("https://t.example.org/", "https://t.example.org"),
            (
                "https://T.example.org:8443/telemetry/",
                "https://t.example.org:8443/telemetry",
            ),
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
            ("http://[::1]:1", "http://[::1]:1"),
        ] {
            assert_eq!(
                Target::collector(text)
                    .map(|target| target.to_string())
                    .as_deref(),
                Ok(address)
            );
        }
        for text in [
            "http://t.example.org",
            "https://user@t.example.org",
            "https://user:secret@t.example.org",
            "https://t.example.org/?token=1",
            "https://t.example.org/#x",
            "ftp://t.example.org",
            "t.example.org",
            "",
        ] {
            assert!(Target::collector(text).is_err(), "{text}");
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
