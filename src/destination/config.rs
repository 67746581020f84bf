//! Which destination is configured, and with what it is opened: the environment and what `connect`
//! remembered, by kind.

use super::target::Kind;
use super::{
    CollectorReader, Destination, GistReader, Target, TargetError, Token, UploadError, dir, gist,
    https,
};
use crate::env::Environment;
use crate::files;
use crate::limits::SMALL_FILE_BYTES;

/// A destination that `connect` remembered, with what belongs to it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where to.
    pub target: Target,
    /// The token for it.
    pub token: Option<Token>,
    /// The API's base, when it is not the usual one.
    pub api: Option<String>,
}

/// The destination that is used, and who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Where to.
    pub target: Target,
    /// The user did not choose it himself, so it is contacted only after the banner was shown.
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
    /// A variable names no destination.
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
    /// The destination can't be used with what is known about it.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl ConfigError {
    /// Whether it is only the user's own token that is missing: the ordinary user's case.
    #[must_use]
    pub fn is_missing_token(&self) -> bool {
        matches!(self, Self::Upload(UploadError::NoToken))
    }
}

/// What destinations are opened with.
#[derive(Debug, Clone, Copy)]
pub struct Config<'c> {
    /// The environment.
    pub environment: &'c Environment,
    /// What `connect` remembered.
    pub remembered: Option<&'c Connection>,
}

impl Config<'_> {
    /// The destination that the environment names: a Gist before a collector.
    ///
    /// # Errors
    /// When what it names is none.
    pub fn named_by(environment: &Environment) -> Result<Option<Chosen>, ConfigError> {
        match gist::named_by(environment)? {
            None => https::named_by(environment),
            named => Ok(named),
        }
    }

    /// The destination that was named when the program was compiled.
    ///
    /// # Errors
    /// When what was named is none.
    pub fn built_in() -> Result<Option<Chosen>, ConfigError> {
        https::built_in()
    }

    /// Opens a destination with the token and the API that belong to it; contacts nobody.
    ///
    /// # Errors
    /// When it can't be used with what is known about it.
    pub fn open(&self, target: &Target) -> Result<Box<dyn Destination>, ConfigError> {
        Ok(match target.kind() {
            Kind::Dir(path) => Box::new(dir::Dir::new(path)),
            Kind::Collector(address) => Box::new(https::Collector::new(address)?),
            Kind::Gist(id) => {
                let access = gist::Access::find(self, target)?;
                Box::new(gist::Gist::new(id, &access)?)
            }
        })
    }

    /// A Gist to read from, with the token if there is one for it, and the API that belongs to it;
    /// contacts nobody.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn gist_reader(&self, target: &Target) -> Result<GistReader, ConfigError> {
        let access = gist::Access::find(self, target)?;
        Ok(GistReader::new(target, &access)?)
    }

    /// A collector to read from, with the maintainer's token from the environment; contacts
    /// nobody.
    ///
    /// # Errors
    /// When there is no token, or it can't be used.
    pub fn collector_reader(&self, target: &Target) -> Result<CollectorReader, ConfigError> {
        let token = https::read::token(self.environment)?.ok_or(UploadError::NoCollectorToken)?;
        Ok(CollectorReader::new(target, &token)?)
    }

    /// Whether what is at this destination can be read with what is known: the configured one is
    /// looked at without having been named, and the token is for none that a file names.
    ///
    /// # Errors
    /// When the token that is given can't be read.
    pub fn shows(&self, target: &Target) -> Result<bool, ConfigError> {
        Ok(match target.kind() {
            Kind::Dir(_) | Kind::Gist(_) => true,
            Kind::Collector(_) => {
                self.remembered(target).is_none() && https::read::token(self.environment)?.is_some()
            }
        })
    }

    /// Whether what `connect` remembered matters for this destination.
    ///
    /// # Errors
    /// When the token that is given can't be read.
    pub fn needs_memory(&self, target: &Target) -> Result<bool, ConfigError> {
        Ok(match target.kind() {
            Kind::Dir(_) | Kind::Collector(_) => false,
            Kind::Gist(_) => gist::Access::given(self.environment)?.token.is_none(),
        })
    }

    /// What `connect` is to remember: the destination with what the environment gives for it.
    ///
    /// # Errors
    /// When the token that is given can't be read.
    pub fn connection(&self, target: Target) -> Result<Connection, ConfigError> {
        match target.kind() {
            Kind::Dir(_) | Kind::Collector(_) => Ok(Connection {
                target,
                token: None,
                api: None,
            }),
            Kind::Gist(_) => {
                let given = gist::Access::given(self.environment)?;
                Ok(Connection {
                    target,
                    token: given.token,
                    api: given.api,
                })
            }
        }
    }

    /// What is remembered of this destination, and of no other.
    pub(super) fn remembered(&self, target: &Target) -> Option<&Connection> {
        self.remembered
            .filter(|connection| connection.target == *target)
    }
}

impl Connection {
    /// Whether it is of no use without a token.
    #[must_use]
    pub fn lacks_token(&self) -> bool {
        self.token.is_none() && matches!(self.target.kind(), Kind::Gist(_))
    }

    /// Opens it; contacts nobody.
    ///
    /// # Errors
    /// When it can't be used with what is known about it.
    pub fn open(&self) -> Result<Box<dyn Destination>, ConfigError> {
        let environment = Environment::default();
        Config {
            environment: &environment,
            remembered: Some(self),
        }
        .open(&self.target)
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
