//! Settings: what the arguments and the environment come to, resolved once before any work.

use std::path::Path;
use std::str::FromStr;

use bytesize::ByteSize;

use crate::consent::Consent;
use crate::destination::{self, Destination, GistReader, UploadError};
use crate::destination::{Target, TargetError, Token};
use crate::env::Environment;
use crate::files;
use crate::home::{Home, NoHome, RouteError};
use crate::limits::{SMALL_FILE_BYTES, SPOOL_MAX_BYTES};

/// Everything a command needs to know of where it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The environment as it was at the start.
    pub environment: Environment,
    /// The home.
    pub home: Home,
    /// Whom to ask for consent.
    pub consent: Consent,
    /// The spool's size limit in bytes.
    pub spool_max: u64,
}

/// Something in the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No home.
    #[error(transparent)]
    Home(#[from] NoHome),
    /// `JMO_TELEMETRY_SPOOL_MAX` is no size.
    #[error("JMO_TELEMETRY_SPOOL_MAX must be a size such as 64MiB or 2GiB")]
    SpoolMax,
    /// `JMO_TELEMETRY_GIST_ID` is no id.
    #[error("JMO_TELEMETRY_GIST_ID is not usable: {0}")]
    GistId(#[source] TargetError),
    /// The remembered destination can't be used.
    #[error(transparent)]
    Route(#[from] RouteError),
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
    /// The working directory is gone.
    #[error("failed to find the working directory")]
    WorkingDir(#[source] std::io::Error),
    /// The destination can't be used with what is known about it.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Settings {
    /// Resolves the environment, and `--config`.
    ///
    /// # Errors
    /// When there is no home, or a variable makes no sense.
    pub fn resolve(environment: Environment, config: Option<&Path>) -> Result<Self, SettingsError> {
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

    /// The destination that is configured: the one given (`--to`), else the environment's Gist,
    /// else the remembered one.
    ///
    /// # Errors
    /// When what is configured can't be understood.
    pub fn target(&self, given: Option<&Target>) -> Result<Option<Target>, SettingsError> {
        if let Some(given) = given {
            let dir = self
                .environment
                .working_dir()
                .map_err(SettingsError::WorkingDir)?;
            return Ok(Some(given.clone().absolute(&dir)));
        }
        if let Some(id) = self.environment.get("JMO_TELEMETRY_GIST_ID") {
            return Target::gist(id.trim())
                .map(Some)
                .map_err(SettingsError::GistId);
        }
        Ok(self.home.route()?.map(|route| route.target))
    }

    /// Opens a destination with the token and the API that belong to it; contacts nobody.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn destination(&self, target: &Target) -> Result<Box<dyn Destination>, SettingsError> {
        if let Target::Dir(_) = target {
            return Ok(destination::open(target, None, None)?);
        }
        let given = self.given_token()?;
        let (token, api) = self.remembered(target, given.is_some())?;
        let api = self.given_api().or(api.as_deref());
        Ok(destination::open(target, given.or(token), api)?)
    }

    /// The remembered token and API, which belong to the remembered destination alone; a broken
    /// memory matters only where it is needed.
    fn remembered(
        &self,
        target: &Target,
        has_token: bool,
    ) -> Result<(Option<Token>, Option<String>), SettingsError> {
        let route = self.home.route();
        let route = if has_token {
            route.ok().flatten()
        } else {
            route?
        };
        let route = route.filter(|route| route.target == *target);
        Ok(route.map_or((None, None), |route| (route.token, route.api)))
    }

    /// A Gist to read from, with the token if there is one for it, and the API that belongs to it;
    /// contacts nobody.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn gist_reader(&self, id: &str) -> Result<GistReader, SettingsError> {
        let given = self.given_token()?;
        let target = Target::gist(id).map_err(SettingsError::GistId)?;
        let (token, api) = self.remembered(&target, given.is_some())?;
        Ok(GistReader::new(
            id,
            given.or(token).as_ref(),
            self.given_api().or(api.as_deref()),
        )?)
    }

    /// The token of the environment: `JMO_TELEMETRY_GITHUB_TOKEN`, else the file that
    /// `…_TOKEN_FILE` names.
    ///
    /// # Errors
    /// When the file can't be read, or others can read it.
    pub fn given_token(&self) -> Result<Option<Token>, SettingsError> {
        if let Some(token) = self.environment.get("JMO_TELEMETRY_GITHUB_TOKEN") {
            return Ok(Token::new(token));
        }
        let Some(path) = self.environment.get("JMO_TELEMETRY_GITHUB_TOKEN_FILE") else {
            return Ok(None);
        };
        let read = files::read_given(Path::new(path), SMALL_FILE_BYTES);
        let text = read.map_err(|source| SettingsError::TokenFile {
            path: path.to_owned(),
            source,
        })?;
        if files::readable_by_others(Path::new(path)) {
            return Err(SettingsError::TokenExposed(path.to_owned()));
        }
        Ok(std::str::from_utf8(&text).ok().and_then(Token::new))
    }

    /// The API that the environment names, if it names one.
    #[must_use]
    pub fn given_api(&self) -> Option<&str> {
        self.environment.get("JMO_TELEMETRY_GITHUB_API")
    }
}
