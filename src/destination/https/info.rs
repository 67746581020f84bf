//! Describes collectors for help and messages: names, environment variables, examples, and advice
//! when one can't be read.

use crate::destination::info::{KindInfo, Variable};
use crate::destination::read_error::ReadError;

/// The collector to upload to.
pub(super) const ENDPOINT: &str = "JMO_TELEMETRY_ENDPOINT";
/// The collector to upload to where nobody chose a destination; it is read when the program is
/// compiled.
pub(super) const DEFAULT_ENDPOINT: &str = "JMO_TELEMETRY_DEFAULT_ENDPOINT";
/// What it was then.
pub(in crate::destination) const BUILT_IN: Option<&str> =
    option_env!("JMO_TELEMETRY_DEFAULT_ENDPOINT");
/// The maintainer's token, for reading.
pub(super) const TOKEN: &str = "JMO_TELEMETRY_COLLECTOR_TOKEN";
/// The file that holds that token.
pub(super) const TOKEN_FILE: &str = "JMO_TELEMETRY_COLLECTOR_TOKEN_FILE";

/// The description of collectors for help and messages.
pub(in crate::destination) const INFO: KindInfo = KindInfo {
    word: "collector",
    name: "collector",
    help: "a collector, by its URL; it needs no token",
    form: "https://…",
    source_form: "https://… (a collector; its maintainer's token is in JMO_TELEMETRY_COLLECTOR_TOKEN)",
    token_hint: None,
    configure_hint: None,
    connect_examples: &["jmo-telemetry connect collector https://telemetry.example.org"],
    flush_example: None,
    view_example: None,
    variables: &[
        Variable {
            name: ENDPOINT,
            help: "the URL of a collector to upload to; plain http only to this machine",
            for_flush: true,
        },
        Variable {
            name: TOKEN,
            help: "the maintainer's token, with which view reads a collector",
            for_flush: false,
        },
        Variable {
            name: TOKEN_FILE,
            help: "a file that holds this token; nobody else may read it (0600)",
            for_flush: false,
        },
    ],
};

/// What to do about a collector that can't be read.
pub(in crate::destination) fn read_advice(error: &ReadError) -> Option<&'static str> {
    match error {
        ReadError::Refused { status: 401, .. } => {
            Some("set JMO_TELEMETRY_COLLECTOR_TOKEN to the collector's STATS_TOKEN")
        }
        ReadError::Refused { .. } => {
            Some("there is no collector at this address; check that it is complete")
        }
        ReadError::Limited { .. } => None,
        ReadError::Later(_) => Some("try again when the collector can be reached"),
    }
}
