//! Describes Gists for help and messages: names, environment variables, examples, and advice when
//! one can't be read.

use crate::destination::info::{KindInfo, Variable};
use crate::destination::read_error::ReadError;

/// The Gist's id.
pub(super) const ID: &str = "JMO_TELEMETRY_GIST_ID";
/// Its owner's token.
pub(super) const TOKEN: &str = "JMO_TELEMETRY_GITHUB_TOKEN";
/// The file that holds the token.
pub(super) const TOKEN_FILE: &str = "JMO_TELEMETRY_GITHUB_TOKEN_FILE";
/// The API's base URL.
pub(super) const API: &str = "JMO_TELEMETRY_GITHUB_API";

/// The description of Gists for help and messages.
pub(in crate::destination) const INFO: KindInfo = KindInfo {
    word: "gist",
    name: "Gist",
    help: "a Gist, by its id or URL; its owner's token comes from the environment, stdin or a prompt",
    form: "gist:ID",
    source_form: "gist (the configured one), gist:ID",
    token_hint: Some(
        "type it when asked, pass it on stdin (connect gist ID < token.txt), in JMO_TELEMETRY_GITHUB_TOKEN, or in the \
         file that JMO_TELEMETRY_GITHUB_TOKEN_FILE names",
    ),
    configure_hint: Some(
        "use --from gist:ID, JMO_TELEMETRY_GIST_ID or `jmo-telemetry connect gist ID`",
    ),
    connect_examples: &[
        "jmo-telemetry connect gist 0123456789abcdef    # asks for the token",
        "jmo-telemetry connect gist https://gist.github.com/me/0123456789abcdef < token",
    ],
    flush_example: None,
    view_example: Some("jmo-telemetry view --from gist:0123456789abcdef --since 30d"),
    variables: &[
        Variable {
            name: ID,
            help: "the Gist to upload to",
            for_flush: true,
        },
        Variable {
            name: TOKEN,
            help: "the token of the Gist's owner",
            for_flush: true,
        },
        Variable {
            name: TOKEN_FILE,
            help: "a file that holds this token; nobody else may read it (0600)",
            for_flush: true,
        },
        Variable {
            name: API,
            help: "the API's base URL, for GitHub Enterprise Server; plain http only to this machine",
            for_flush: true,
        },
    ],
};

/// What to do about a Gist that can't be read.
pub(in crate::destination) fn read_advice(error: &ReadError) -> Option<&'static str> {
    match error {
        ReadError::Refused { status: 401, .. } => {
            Some("the token is not valid; make a new one, or unset it: reading a Gist needs none")
        }
        ReadError::Refused {
            status: 403,
            with_token: true,
            ..
        } => Some("the token may not read this Gist; unset it: reading a Gist needs none"),
        ReadError::Refused { .. } => {
            Some("there is no such Gist; its id is the last part of its URL")
        }
        ReadError::Limited {
            with_token: true, ..
        } => None,
        ReadError::Limited { .. } => Some(
            "with a token in JMO_TELEMETRY_GITHUB_TOKEN, GitHub allows 5,000 requests an hour instead of 60",
        ),
        ReadError::Later(_) => Some("try again when GitHub can be reached"),
    }
}
