//! Settings: the arguments and the environment, resolved once before any work.

use std::path::Path;
use std::str::FromStr;

use bytesize::ByteSize;

use crate::consent::Consent;
use crate::destination::{
    Chosen, Config, ConfigError, Connection, Destination, Target, TargetError,
};
use crate::env::Environment;
use crate::home::{ConnectionError, Home, NoHome};
use crate::limits::SPOOL_MAX_BYTES;

/// Everything a command needs to know about the place it runs in.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The environment as it was at the start.
    pub environment: Environment,
    /// The home.
    pub home: Home,
    /// Tells whether telemetry is enabled.
    pub consent: Consent,
    /// The spool's size limit in bytes.
    pub spool_max: u64,
}

/// Something in the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// No home was found.
    #[error(transparent)]
    Home(#[from] NoHome),
    /// `JMO_TELEMETRY_SPOOL_MAX` is not a size.
    #[error("JMO_TELEMETRY_SPOOL_MAX must be a size such as 64MiB or 2GiB")]
    SpoolMax,
    /// The remembered destination can't be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The working directory is gone.
    #[error("failed to find the working directory")]
    WorkingDir(#[source] std::io::Error),
    /// The destination that was given can't be used from here.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The destination can't be used as it is configured.
    #[error(transparent)]
    Destination(#[from] ConfigError),
}

impl Settings {
    /// Resolves the environment, and `--config`.
    ///
    /// # Errors
    /// When there is no home, or a variable makes no sense.
    pub(crate) fn resolve(
        environment: Environment,
        config: Option<&Path>,
    ) -> Result<Self, SettingsError> {
        let home = Home::find(&environment)?;
        let spool_max =
            environment
                .get("JMO_TELEMETRY_SPOOL_MAX")
                .map_or(Ok(SPOOL_MAX_BYTES), |text| {
                    ByteSize::from_str(text.trim())
                        .map(|size| size.as_u64())
                        .map_err(|_| SettingsError::SpoolMax)
                })?;
        let consent = Consent::new(&environment, &home, config);
        Ok(Self {
            environment,
            home,
            consent,
            spool_max,
        })
    }

    /// The destination to use: the one given (`--to`), else the environment's, else the remembered
    /// one, else the one that is built in.
    ///
    /// # Errors
    /// When what is configured can't be understood.
    pub(crate) fn chosen(&self, given: Option<&Target>) -> Result<Option<Chosen>, SettingsError> {
        if let Some(given) = given {
            let dir = self
                .environment
                .working_dir()
                .map_err(SettingsError::WorkingDir)?;
            return Ok(Some(Chosen::by_user(given.clone().absolute(&dir)?)));
        }
        if let Some(chosen) = Config::named_by(&self.environment)? {
            return Ok(Some(chosen));
        }
        match self.home.connection()? {
            Some(connection) => Ok(Some(Chosen::by_user(connection.target))),
            None => Ok(Config::built_in()?),
        }
    }

    /// Whether the configured destination waits for the notice to be shown.
    #[must_use]
    pub(crate) fn needs_notice(&self) -> bool {
        matches!(self.chosen(None), Ok(Some(chosen)) if chosen.notice_first)
            && !self.home.notice_shown()
    }

    /// Opens a destination with the token and the address configured for it. Contacts nobody.
    ///
    /// # Errors
    /// When it can't be used.
    pub(crate) fn destination(
        &self,
        target: &Target,
    ) -> Result<Box<dyn Destination>, SettingsError> {
        let remembered = self.remembered(target)?;
        Ok(self.config(remembered.as_ref()).open(target)?)
    }

    /// Whether `view` can read the configured destination by default.
    ///
    /// # Errors
    /// When what is configured can't be understood.
    pub(crate) fn is_viewable(&self, chosen: &Chosen) -> Result<bool, SettingsError> {
        let remembered = self.remembered(&chosen.target)?;
        // Nobody is contacted before the user has seen the notice.
        let may_ask = !chosen.notice_first || self.home.notice_shown();
        Ok(may_ask
            && self
                .config(remembered.as_ref())
                .is_viewable(&chosen.target)?)
    }

    /// What `connect` remembers: the destination, with the token and the address that the
    /// environment gives for it.
    ///
    /// # Errors
    /// When the configured token can't be read.
    pub(crate) fn new_connection(&self, target: Target) -> Result<Connection, SettingsError> {
        Ok(self.config(None).connection(target)?)
    }

    /// The configuration that a destination is opened with.
    pub(crate) fn config<'c>(&'c self, remembered: Option<&'c Connection>) -> Config<'c> {
        Config {
            environment: &self.environment,
            remembered,
        }
    }

    /// What `connect` remembered. A file that can't be used is an error only for a destination that
    /// needs it.
    ///
    /// # Errors
    /// When the file can't be used and this destination needs it.
    pub(crate) fn remembered(&self, target: &Target) -> Result<Option<Connection>, SettingsError> {
        match self.home.connection() {
            Err(error) if self.config(None).needs_remembered(target)? => Err(error.into()),
            remembered => Ok(remembered.ok().flatten()),
        }
    }
}
