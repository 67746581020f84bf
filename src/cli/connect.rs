//! `connect` and `disconnect`: remember a destination, also for cron, which does not have the
//! user's environment.

use std::io::{self, IsTerminal, Read};

use clap::Args as ClapArgs;
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::words;
use crate::clock;
use crate::destination::verdict::Verdict;
use crate::destination::{Chosen, Connection, KINDS, Target, Token};
use crate::limits::REQUEST_TIMEOUT;
use crate::request::{AskError, Closed, Gate, Purpose};
use crate::settings::{Settings, SettingsError};

/// Remember where to upload events
///
/// Checks that the destination can be written, without changing anything in it. Every later flush
/// uses it, including those that cron starts.
#[derive(Debug, ClapArgs)]
#[command(after_help = examples(), arg_required_else_help = true)]
pub(super) struct Args {
    /// Show the remembered destination and change nothing
    #[arg(long)]
    show: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The kind of destination
    #[arg(value_parser = kinds(), requires = "place")]
    kind: Option<String>,
    /// Where it is: its id, URL or path
    place: Option<String>,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(KINDS.map(|kind| PossibleValue::new(kind.word).help(kind.help)))
}

fn examples() -> String {
    let kinds = KINDS.iter().flat_map(|kind| kind.connect_examples);
    kinds
        .chain(&["jmo-telemetry connect --show"])
        .fold("Examples:".to_owned(), |text, example| {
            format!("{text}\n  {example}")
        })
}

/// Forget where to upload events; unsent events stay in the spool
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  jmo-telemetry disconnect")]
pub(super) struct DisconnectArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    destination: Option<String>,
    token: bool,
    api: Option<String>,
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        if let (Some(kind), Some(place)) = (&self.kind, &self.place) {
            let dir = settings
                .environment
                .working_dir()
                .map_err(SettingsError::WorkingDir)?;
            let target = Target::of_kind(kind, place)
                .and_then(|target| target.absolute(&dir))
                .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
            connect(settings, target)?;
        }
        show(settings, self.json, out)?;
        Ok(Code::Done)
    }
}

fn show(settings: &Settings, json: bool, out: &mut Out) -> Result<(), Failure> {
    let connection = settings.home.connection().map_err(SettingsError::from)?;
    let shown = Shown {
        destination: connection.as_ref().map(|it| it.target.to_string()),
        token: connection.as_ref().is_some_and(|it| it.token.is_some()),
        api: connection.and_then(|it| it.api),
    };
    if json {
        return out.json(&shown);
    }
    match &shown.destination {
        None => out.line("no destination is remembered"),
        Some(destination) if shown.token => {
            out.sentence(format_args!("connected to {destination}, with a token"))
        }
        Some(destination) => out.sentence(format_args!("connected to {destination}")),
    }
}

fn connect(settings: &Settings, target: Target) -> Result<(), Failure> {
    let mut connection = settings.new_connection(target)?;
    if connection.lacks_token() {
        connection.token = Some(ask_for_token(&connection.target)?);
    }
    prove(settings, &connection)?;
    Ok(settings.home.store_connection(&connection)?)
}

/// Asks a person for the token without showing it, or reads it from stdin.
fn ask_for_token(target: &Target) -> Result<Token, Failure> {
    let text = if io::stdin().is_terminal() {
        match rpassword::prompt_password(format!("token for {target} (not shown): ")) {
            // Ctrl-D.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => String::new(),
            other => other.map_err(Failure::stdin)?,
        }
    } else {
        let mut text = String::new();
        io::stdin()
            .take(4096)
            .read_to_string(&mut text)
            .map_err(Failure::stdin)?;
        text
    };
    Token::new(&text).ok_or_else(|| {
        let error = if text.trim().is_empty() {
            "no token was given"
        } else {
            "this is not a token: it must be one line of visible ASCII characters"
        };
        Failure::new(Code::Configuration, error).hint(target.info().token_hint.unwrap_or_default())
    })
}

/// Checks that the destination exists and may be written, without changing anything.
fn prove(settings: &Settings, connection: &Connection) -> Result<(), Failure> {
    let mut destination = connection.open().map_err(SettingsError::from)?;
    let gate = Gate::new(
        &settings.home,
        &settings.consent,
        &Chosen::by_user(connection.target.clone()),
    );
    // Looking at a local destination sends nothing, so it needs no consent.
    let purpose = if destination.capabilities().uses_network {
        Purpose::Upload
    } else {
        Purpose::Read
    };
    let error = match gate.ask(purpose, destination.as_mut(), |destination| {
        destination.probe(REQUEST_TIMEOUT)
    }) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let text = format!("failed to connect to {}: {error}", connection.target);
    Err(match error {
        AskError::Closed(Closed::Disabled(_)) => {
            Failure::new(Code::Configuration, text).hint("enable it first, or connect later")
        }
        AskError::Unconfirmed(error) if matches!(error.verdict, Verdict::Refused(_)) => {
            let failure = Failure::new(Code::Configuration, text);
            match error.advice {
                Some(advice) => failure.hint(advice),
                None => failure,
            }
        }
        AskError::Closed(Closed::RateLimited(until)) => {
            let when = words::relative(until, clock::now());
            Failure::new(Code::TryLater, text).hint(format!("nothing was stored; try again {when}"))
        }
        AskError::Closed(_) | AskError::Unconfirmed(_) => Failure::new(Code::TryLater, text)
            .hint("nothing was stored; try again when the destination can be reached"),
    })
}

impl DisconnectArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let was = settings.home.forget_connection()?;
        if self.json {
            out.json(&serde_json::json!({ "disconnected": was }))?;
        } else {
            out.line(if was {
                "the destination is forgotten; events that were not sent stay in the spool"
            } else {
                "no destination was remembered"
            })?;
        }
        Ok(Code::Done)
    }
}
