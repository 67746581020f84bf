//! `destination.json`: the destination that `connect` remembered, for a flush by cron, which does
//! not have the user's environment. It may hold the token. So it has mode 0600 like every file of
//! the home, and a file with a token that others can read is refused.

use serde::{Deserialize, Serialize};

use super::{Home, HomeError};
use crate::destination::{Connection, Token};
use crate::files;

const NAME: &str = "destination.json";

/// Why the remembered destination can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// The file can't be read or written.
    #[error(transparent)]
    File(#[from] HomeError),
    /// The file is not one that `connect` wrote.
    #[error("failed to understand `{0}`; run `jmo-telemetry connect` again")]
    Malformed(String),
    /// Others can read the token.
    #[error("refused to use the token in `{0}`, which other users can read; run `chmod 600 {0}`")]
    Exposed(String),
}

/// The content of the file. Only here and in the header of a request is the token a plain string.
#[derive(Serialize, Deserialize)]
struct Stored {
    destination: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api: Option<String>,
}

impl Home {
    /// The remembered destination, if there is one.
    ///
    /// # Errors
    /// When the file can't be read or understood, or holds a token that others can read.
    pub(crate) fn connection(&self) -> Result<Option<Connection>, ConnectionError> {
        let Some(bytes) = self.read(NAME)? else {
            return Ok(None);
        };
        let path = self.file(NAME);
        let shown = path.display().to_string();
        let stored: Stored = serde_json::from_slice(&bytes)
            .map_err(|_| ConnectionError::Malformed(shown.clone()))?;
        let target = stored
            .destination
            .parse()
            .map_err(|_| ConnectionError::Malformed(shown.clone()))?;
        if stored.token.is_some() && files::readable_by_others(&path) {
            return Err(ConnectionError::Exposed(shown));
        }
        Ok(Some(Connection {
            target,
            token: stored.token.as_deref().and_then(Token::new),
            api: stored.api,
        }))
    }

    /// Remembers a destination.
    ///
    /// # Errors
    /// When the home can't be written.
    pub(crate) fn store_connection(&self, connection: &Connection) -> Result<(), HomeError> {
        let stored = Stored {
            destination: connection.target.to_string(),
            token: connection
                .token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            api: connection.api.clone(),
        };
        let mut text = serde_json::to_vec(&stored).expect("strings serialize");
        text.push(b'\n');
        self.replace(NAME, &text)
    }

    /// Forgets the destination. Returns whether there was one.
    ///
    /// # Errors
    /// When the file can't be deleted.
    pub(crate) fn forget_connection(&self) -> Result<bool, HomeError> {
        // A `connect` that was killed may have left the token in an unfinished copy.
        let path = self.file(NAME);
        files::remove_partials(&path).map_err(|source| HomeError {
            operation: "delete the copies of",
            path,
            source,
        })?;
        self.remove(NAME)
    }
}
