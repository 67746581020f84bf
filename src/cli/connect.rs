//! `connect` and `disconnect`: remember a destination, for cron, which has no environment.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use crate::destination::{self, Reply};
use crate::destination::{Target, Token};
use crate::home::Route;
use crate::limits::REQUEST_TIMEOUT;
use crate::request;
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  connect gist 0123456789abcdef0123456789abcdef < token.txt
  connect dir /var/spool/jmo-telemetry
  connect --show";

/// Remember where uploads go
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct Args {
    /// Show what is remembered
    #[arg(long)]
    show: bool,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    to: Option<To>,
}

#[derive(Debug, Subcommand)]
enum To {
    /// A Gist; its owner's token comes from the environment, the token file or stdin
    Gist {
        /// The last part of its URL
        id: String,
    },
    /// A directory
    Dir {
        /// Its path
        path: PathBuf,
    },
}

/// Forget where uploads go; what was not sent stays in the spool
#[derive(Debug, ClapArgs)]
pub(super) struct DisconnectArgs {
    /// As JSON
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
        if let Some(to) = self.to {
            connect(settings, to)?;
        }
        show(settings, self.json, out)?;
        Ok(Code::Done)
    }
}

fn show(settings: &Settings, json: bool, out: &mut Out) -> Result<(), Failure> {
    let route = settings
        .home
        .route()
        .map_err(crate::settings::SettingsError::from)?;
    let shown = Shown {
        destination: route.as_ref().map(|route| route.target.to_string()),
        token: route.as_ref().is_some_and(|route| route.token.is_some()),
        api: route.and_then(|route| route.api),
    };
    if json {
        return out.json(&shown);
    }
    match &shown.destination {
        None => out.line("not connected"),
        Some(destination) if shown.token => {
            out.line(format_args!("connected to {destination}, with a token"))
        }
        Some(destination) => out.line(format_args!("connected to {destination}")),
    }
}

fn connect(settings: &Settings, to: To) -> Result<(), Failure> {
    let usage = |error| Failure::new(Code::Usage, error);
    let route = match to {
        To::Dir { path } => {
            let dir = settings.environment.working_dir()?;
            Route {
                target: Target::Dir(dir.join(path)),
                token: None,
                api: None,
            }
        }
        To::Gist { id } => Route {
            target: Target::gist(&id).map_err(|error| usage(error.to_string()))?,
            token: Some(token(settings)?),
            api: settings.given_api().map(str::to_owned),
        },
    };
    let decision = settings.consent.now();
    if !decision.enabled && matches!(route.target, Target::Gist(_)) {
        let error = format!(
            "telemetry is disabled ({}), so the Gist can't be asked",
            decision.reason
        );
        return Err(
            Failure::new(Code::Configuration, error).hint("enable it first, or connect later")
        );
    }
    prove(settings, &route)?;
    Ok(settings.home.store_route(&route)?)
}

/// The token from the environment or the token file; else from stdin, unless a person sits there.
fn token(settings: &Settings) -> Result<Token, Failure> {
    if let Some(token) = settings.given_token()? {
        return Ok(token);
    }
    let mut text = String::new();
    if !io::stdin().is_terminal() {
        io::stdin().take(4096).read_to_string(&mut text)?;
    }
    Token::new(&text).ok_or_else(|| {
        Failure::new(Code::Configuration, "no token was given").hint(
            "pass the Gist owner's token on stdin (connect gist ID < token.txt), in JMO_TELEMETRY_GITHUB_TOKEN, or in the \
             file that JMO_TELEMETRY_GITHUB_TOKEN_FILE names",
        )
    })
}

/// Finds out whether the destination exists and may be written, and changes nothing in it.
fn prove(settings: &Settings, route: &Route) -> Result<(), Failure> {
    let mut destination =
        destination::open(&route.target, route.token.clone(), route.api.as_deref())
            .map_err(|error| Failure::new(Code::Configuration, error))?;
    let reply = request::ask(&settings.home, destination.as_mut(), |destination| {
        destination.probe(REQUEST_TIMEOUT)
    });
    let Reply::Unproven { answer, error } = reply else {
        return Ok(());
    };
    let failure = |code| {
        Failure::new(
            code,
            format!("failed to connect to {}: {error}", route.target),
        )
    };
    Err(match answer.map(|answer| answer.status) {
        Some(401) => failure(Code::Configuration).hint("the token is not valid; make a new one with the scope `gist`"),
        Some(403) => failure(Code::Configuration).hint("the token may not write Gists; it needs the scope `gist`"),
        Some(404 | 410) => failure(Code::Configuration)
            .hint("the Gist does not exist, or the token is not its owner's: only the owner can write a Gist"),
        _ => failure(Code::TryLater).hint("nothing was stored; try again when the destination can be reached"),
    })
}

impl DisconnectArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let was = settings.home.forget_route()?;
        if self.json {
            out.json(&serde_json::json!({ "disconnected": was }))?;
        } else {
            out.line(if was {
                "disconnected; what was not sent stays in the spool"
            } else {
                "not connected"
            })?;
        }
        Ok(Code::Done)
    }
}
