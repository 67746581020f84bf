//! The configuration of destinations: from the environment, and from what `connect` remembered.

use super::UploadError;
use super::target::{Target, TargetError, Token};
use crate::env::Environment;
use crate::files;
use crate::limits::SMALL_FILE_BYTES;

/// A destination that `connect` remembered, with its token and its API.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The destination.
    pub target: Target,
    /// The token for it.
    pub token: Option<Token>,
    /// The API's base URL, if it is not the default one.
    pub api: Option<String>,
}

/// The destination to use, and who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The destination.
    pub target: Target,
    /// Whether the user may not have chosen it, so that it is contacted only after the banner was
    /// shown.
    pub notice_first: bool,
}

impl Chosen {
    /// A destination that the user named.
    #[must_use]
    pub fn by_user(target: Target) -> Self {
        Self {
            target,
            notice_first: false,
        }
    }
}

/// Something in the configuration of a destination can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The value of a variable is not a destination.
    #[error("{name} is not usable: {source}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Why.
        source: TargetError,
    },
    /// The token file can't be read.
    #[error("failed to read the token file `{path}`")]
    TokenFile {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read the token.
    #[error("refused to use the token file `{0}`, which other users can read; run `chmod 600 {0}`")]
    TokenExposed(String),
    /// The destination can't be used as it is configured.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl ConfigError {
    /// Whether only the token is missing. That is the normal case for most users.
    #[must_use]
    pub fn is_missing_token(&self) -> bool {
        matches!(self, Self::Upload(UploadError::NoToken))
    }
}

/// The configuration that destinations are opened with.
#[derive(Debug, Clone, Copy)]
pub struct Config<'c> {
    /// The environment.
    pub environment: &'c Environment,
    /// What `connect` remembered.
    pub remembered: Option<&'c Connection>,
}

impl Config<'_> {
    /// What `connect` remembered, if it is for this destination.
    pub(super) fn remembered(&self, target: &Target) -> Option<&Connection> {
        self.remembered
            .filter(|connection| connection.target == *target)
    }
}

/// A token from a variable, or from the file that another variable names.
///
/// # Errors
/// When the file can't be read, or others can read it.
pub(super) fn token(
    environment: &Environment,
    variable: &str,
    file_variable: &str,
) -> Result<Option<Token>, ConfigError> {
    if let Some(token) = environment.get(variable) {
        return Ok(Token::new(token));
    }
    let Some(path) = environment.get_os(file_variable) else {
        return Ok(None);
    };
    let read = files::read_given(path.as_ref(), SMALL_FILE_BYTES);
    let text = read.map_err(|source| ConfigError::TokenFile {
        path: path.to_string_lossy().into_owned(),
        source,
    })?;
    if files::readable_by_others(path.as_ref()) {
        return Err(ConfigError::TokenExposed(
            path.to_string_lossy().into_owned(),
        ));
    }
    Ok(std::str::from_utf8(&text).ok().and_then(Token::new))
}
