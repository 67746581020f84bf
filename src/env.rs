//! The environment: the only place that reads it. Everything else gets an [`Environment`] as data.

#![expect(clippy::disallowed_methods, reason = "this is the place that may ask")]

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

/// Variables by name.
#[derive(Debug, Clone, Default)]
pub struct Environment(Arc<[(OsString, Value)]>);

/// A variable's value, as text and as it is.
#[derive(Debug, Clone)]
struct Value {
    text: String,
    /// The value itself, where it is not Unicode and the text differs from it.
    other: Option<OsString>,
}

impl From<OsString> for Value {
    fn from(value: OsString) -> Self {
        match value.into_string() {
            Ok(text) => Self { text, other: None },
            Err(value) => Self {
                text: value.to_string_lossy().into_owned(),
                other: Some(value),
            },
        }
    }
}

/// The variable that holds the user's home directory.
const USER_HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable that is set and not empty. Parts that are not Unicode are replaced,
    /// so that such a variable still counts as set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(name).map(|value| value.text.as_str())
    }

    /// The value of a variable that is set and not empty, byte for byte: for paths.
    #[must_use]
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.value(name)
            .map(|value| value.other.as_deref().unwrap_or(OsStr::new(&value.text)))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(known, _)| is_same_name(known, name))?;
        (!value.text.is_empty()).then_some(value)
    }

    /// The same environment with one variable set.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let others = self
            .0
            .iter()
            .filter(|(known, _)| !is_same_name(known, name))
            .cloned();
        let one = (OsString::from(name), OsString::from(value).into());
        Self(others.chain([one]).collect())
    }

    /// The user's home directory, from the environment alone. Asking the system for it could load
    /// plug-ins of the C library, which a static program can't do.
    #[must_use]
    pub fn user_home(&self) -> Option<PathBuf> {
        self.get_os(USER_HOME).map(PathBuf::from)
    }

    /// The working directory.
    ///
    /// # Errors
    /// When it was deleted or can't be read.
    pub fn working_dir(&self) -> std::io::Result<PathBuf> {
        std::env::current_dir()
    }

    /// The directory for temporary files.
    #[must_use]
    pub fn temporary_dir(&self) -> PathBuf {
        std::env::temp_dir()
    }

    /// The path of this program.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn program(&self) -> std::io::Result<PathBuf> {
        std::env::current_exe()
    }
}

/// Windows ignores case in names: PATH is called `Path` there.
fn is_same_name(name: &OsStr, other: &str) -> bool {
    if cfg!(windows) {
        name.eq_ignore_ascii_case(other)
    } else {
        name == other
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into().into()))
                .collect(),
        )
    }
}
