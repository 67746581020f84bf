//! The environment: the only place that reads it. Everything else gets an [`Environment`] as data.

use std::collections::HashMap;
use std::path::PathBuf;

/// Variables by name. Values that are not Unicode are kept with replacement characters, so that
/// "set" stays "set".
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        Self(
            std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The user's home directory.
    #[must_use]
    pub fn user_home(&self) -> Option<PathBuf> {
        std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
    }

    /// The working directory.
    ///
    /// # Errors
    /// When it was deleted or may not be read.
    pub fn working_dir(&self) -> std::io::Result<PathBuf> {
        std::env::current_dir()
    }

    /// This program.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn program(&self) -> std::io::Result<PathBuf> {
        std::env::current_exe()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}
