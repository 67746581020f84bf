//! `consent.json`: what the user chose with `enable` or `disable`, and when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Home, HomeError};

/// What the user chose, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The choice.
    pub enabled: bool,
    /// Its date.
    pub at: DateTime<Utc>,
}

impl Home {
    /// The stored choice: `Ok(None)` when none was made, `Err` with a reason when the file can't be
    /// understood.
    ///
    /// # Errors
    /// A reason for people to read. It never repeats the content of the file.
    pub(crate) fn choice(&self) -> Result<Option<Choice>, String> {
        match self.read("consent.json") {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                format!(
                    "consent.json can't be understood (line {}, column {})",
                    error.line(),
                    error.column()
                )
            }),
            Err(error) => Err(format!("consent.json can't be read: {}", error.source)),
        }
    }

    /// Stores the choice.
    ///
    /// # Errors
    /// When the home can't be written.
    pub(crate) fn store_choice(&self, choice: &Choice) -> Result<(), HomeError> {
        let mut text = serde_json::to_vec(choice).expect("a choice serializes");
        text.push(b'\n');
        self.replace("consent.json", &text)
    }
}
