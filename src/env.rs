//! The environment: the only place that reads it. Everything else gets an [`Environment`] as data.

#![expect(clippy::disallowed_methods, reason = "this is the place that may ask")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables by name. Values that are not Unicode are kept with replacement characters, so that
/// "set" stays "set".
#[derive(Debug, Clone, Default)]
pub struct Environment(Arc<[(String, String)]>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |text: OsString| {
            text.into_string()
                .unwrap_or_else(|text| text.to_string_lossy().into_owned())
        };
        std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| is_same_name(known, name))
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The same environment with one variable set.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let others = self
            .0
            .iter()
            .filter(|(known, _)| !is_same_name(known, name));
        others
            .cloned()
            .chain([(name.to_owned(), value.to_owned())])
            .collect()
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

    /// Where programs put files that nobody keeps.
    #[must_use]
    pub fn temporary_dir(&self) -> PathBuf {
        std::env::temp_dir()
    }

    /// This program.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn program(&self) -> std::io::Result<PathBuf> {
        std::env::current_exe()
    }
}

/// Windows does not tell capitals in names apart: PATH is called `Path` there.
fn is_same_name(name: &str, other: &str) -> bool {
    if cfg!(windows) {
        name.eq_ignore_ascii_case(other)
    } else {
        name == other
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
