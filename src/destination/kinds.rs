//! The kinds of destinations, each with its file, and everything that depends on which kind it is.
//! A new kind is one arm in each of these functions.

use super::config::{Chosen, Config, ConfigError, Connection};
use super::info::{KindInfo, Variable};
use super::target::{Kind, Target};
use super::{
    Capabilities, CollectorReader, Destination, GistReader, ReadError, UploadError, dir, gist,
    https,
};
use crate::env::Environment;

/// All kinds, in the order in which they are shown.
pub(crate) const KINDS: [&KindInfo; 3] = [&gist::INFO, &dir::INFO, &https::INFO];

/// The environment variables of all kinds.
pub(crate) fn variables() -> impl Iterator<Item = &'static Variable> {
    KINDS.into_iter().flat_map(|kind| kind.variables)
}

impl Capabilities {
    /// What most destinations can do, for a preview where none is configured.
    pub const USUAL: Self = gist::CAPABILITIES;
}

impl Target {
    /// Its kind, in words.
    #[must_use]
    pub(crate) fn info(&self) -> &'static KindInfo {
        match self.kind() {
            Kind::Gist(_) => &gist::INFO,
            Kind::Dir(_) => &dir::INFO,
            Kind::Collector(_) => &https::INFO,
        }
    }

    /// What a destination of its kind can do and wants.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        match self.kind() {
            Kind::Gist(_) => gist::CAPABILITIES,
            Kind::Dir(_) => dir::CAPABILITIES,
            Kind::Collector(_) => https::CAPABILITIES,
        }
    }

    /// What somebody can do about it when it can't be read.
    #[must_use]
    pub(crate) fn read_advice(&self, error: &ReadError) -> Option<&'static str> {
        match self.kind() {
            Kind::Gist(_) => gist::read_advice(error),
            Kind::Dir(_) => None,
            Kind::Collector(_) => https::read_advice(error),
        }
    }
}

impl Connection {
    /// Whether it is of no use without a token.
    #[must_use]
    pub fn lacks_token(&self) -> bool {
        self.token.is_none() && self.target.info().token_hint.is_some()
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
    pub(crate) fn gist_reader(&self, target: &Target) -> Result<GistReader, ConfigError> {
        let access = gist::Access::find(self, target)?;
        Ok(GistReader::new(target, &access)?)
    }

    /// A collector to read from, with the maintainer's token from the environment; contacts
    /// nobody.
    ///
    /// # Errors
    /// When there is no token, or it can't be used.
    pub(crate) fn collector_reader(&self, target: &Target) -> Result<CollectorReader, ConfigError> {
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
}
