//! The kinds of destinations, and everything that depends on the kind. A new kind is one more arm
//! in each of these functions.

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
    /// What most destinations can do, for a preview when none is configured.
    pub const USUAL: Self = gist::CAPABILITIES;
}

impl Target {
    /// The description of its kind.
    #[must_use]
    pub(crate) fn info(&self) -> &'static KindInfo {
        match self.kind() {
            Kind::Gist(_) => &gist::INFO,
            Kind::Dir(_) => &dir::INFO,
            Kind::Collector(_) => &https::INFO,
        }
    }

    /// What a destination of its kind can do, and its limits.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        match self.kind() {
            Kind::Gist(_) => gist::CAPABILITIES,
            Kind::Dir(_) => dir::CAPABILITIES,
            Kind::Collector(_) => https::CAPABILITIES,
        }
    }

    /// What the user can do when it can't be read.
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
    /// Whether it needs a token and has none.
    #[must_use]
    pub fn lacks_token(&self) -> bool {
        self.token.is_none() && self.target.info().token_hint.is_some()
    }

    /// Opens it. Contacts nobody.
    ///
    /// # Errors
    /// When it can't be used as it is configured.
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
    /// The destination that the environment names; a Gist takes precedence over a collector.
    ///
    /// # Errors
    /// When the value of the variable is not a destination.
    pub fn named_by(environment: &Environment) -> Result<Option<Chosen>, ConfigError> {
        match gist::named_by(environment)? {
            None => https::named_by(environment),
            named => Ok(named),
        }
    }

    /// The destination that was set when the program was compiled.
    ///
    /// # Errors
    /// When it is not a valid destination.
    pub fn built_in() -> Result<Option<Chosen>, ConfigError> {
        https::built_in(https::BUILT_IN)
    }

    /// Opens a destination with the token and the API configured for it. Contacts nobody.
    ///
    /// # Errors
    /// When it can't be used as it is configured.
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

    /// A reader for a Gist, with the API and, if there is one, the token configured for it.
    /// Contacts nobody.
    ///
    /// # Errors
    /// When it can't be used.
    pub(crate) fn gist_reader(&self, target: &Target) -> Result<GistReader, ConfigError> {
        let access = gist::Access::find(self, target)?;
        Ok(GistReader::new(target, &access)?)
    }

    /// A reader for a collector, with the maintainer's token from the environment. Contacts nobody.
    ///
    /// # Errors
    /// When there is no token, or it can't be used.
    pub(crate) fn collector_reader(&self, target: &Target) -> Result<CollectorReader, ConfigError> {
        let token = https::read::token(self.environment)?.ok_or(UploadError::NoCollectorToken)?;
        Ok(CollectorReader::new(target, &token)?)
    }

    /// Whether `view` can read this destination by default, when the user did not name it on the
    /// command line. The maintainer's token is never sent to a collector that a file names.
    ///
    /// # Errors
    /// When the configured token can't be read.
    pub fn is_viewable(&self, target: &Target) -> Result<bool, ConfigError> {
        Ok(match target.kind() {
            Kind::Dir(_) | Kind::Gist(_) => true,
            Kind::Collector(_) => {
                self.remembered(target).is_none() && https::read::token(self.environment)?.is_some()
            }
        })
    }

    /// Whether this destination needs what `connect` remembered.
    ///
    /// # Errors
    /// When the configured token can't be read.
    pub fn needs_remembered(&self, target: &Target) -> Result<bool, ConfigError> {
        Ok(match target.kind() {
            Kind::Dir(_) | Kind::Collector(_) => false,
            Kind::Gist(_) => gist::Access::given(self.environment)?.token.is_none(),
        })
    }

    /// What `connect` remembers: the destination, with the token and the API from the environment.
    ///
    /// # Errors
    /// When the configured token can't be read.
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
