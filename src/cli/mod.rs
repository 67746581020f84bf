//! The command line. clap parses and validates the arguments, and `Settings` resolves them once.
//! Each command is one file with one `run`, which calls the library and prints the result through
//! `out`, the only module that prints.

mod banner;
mod completions;
mod connect;
mod consent;
mod count_scan;
mod exit;
mod flush;
mod forget;
mod info;
mod man;
mod out;
mod progress;
mod record;
mod reference;
mod schedule;
mod spool;
mod status;
mod view;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::env::Environment;
use crate::files;
use crate::settings::Settings;
use exit::{Code, Failure};
use out::Out;

/// Records anonymous usage events of JMo Security, uploads them later, and shows all of them.
#[derive(Debug, Parser)]
#[command(name = "jmo-telemetry", version, after_help = reference::short_help(), after_long_help = reference::long_help(), max_term_width = reference::COLUMNS)]
pub struct Cli {
    /// The scanner's configuration file, which can disable telemetry [default: ./jmo.yml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(Box<record::Args>),
    Flush(flush::Args),
    Connect(connect::Args),
    Disconnect(connect::DisconnectArgs),
    Spool(spool::Args),
    Schedule(schedule::Args),
    Status(status::Args),
    View(view::Args),
    Enable(consent::EnableArgs),
    Disable(consent::DisableArgs),
    Info(info::Args),
    Banner(banner::Args),
    Id(forget::IdArgs),
    #[command(hide = true)]
    CountScan(count_scan::Args),
    Forget(forget::Args),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the program with this process's arguments and returns its exit code.
#[must_use]
pub fn main(environment: Environment) -> u8 {
    files::keep_the_owners_rights();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut out = Out::new();
    let code = match parse(&arguments) {
        Ok(cli) => match run(cli, environment, &mut out).and_then(|code| out.finish(code)) {
            Ok(code) => code,
            Err(failure) => {
                out.failure(&failure);
                failure.code
            }
        },
        Err(error) if is_record(&arguments) => {
            record::refused(error, &arguments, environment, &mut out)
        }
        Err(error) => out.usage(error),
    };
    code as u8
}

// The command line of `record` alone: building the definitions of all the other commands takes
// longer than writing an event. (Not a doc comment, because clap would make it the first line of
// the help.)
#[derive(Debug, Parser)]
#[command(
    name = "jmo-telemetry record",
    bin_name = "jmo-telemetry record",
    max_term_width = reference::COLUMNS
)]
struct RecordCli {
    /// The scanner's configuration file, which can disable telemetry [default: ./jmo.yml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(flatten)]
    args: record::Args,
}

fn is_record(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|command| command == "record")
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    if !is_record(arguments) {
        return Cli::try_parse_from(arguments);
    }
    let (config, args) = match record::plain::read(&arguments[2..]) {
        Some(plain) => plain,
        None => {
            let RecordCli { config, args } = RecordCli::try_parse_from(&arguments[1..])?;
            (config, args)
        }
    };
    let command = Command::Record(Box::new(args));
    Ok(Cli { config, command })
}

fn run(cli: Cli, environment: Environment, out: &mut Out) -> Result<Code, Failure> {
    match cli.command {
        Command::Completions(args) => return args.run(out),
        Command::Man(args) => return args.run(out),
        _ => {}
    }
    let environment = match &cli.command {
        Command::Flush(args) => args.environment(environment),
        _ => environment,
    };
    let settings = Settings::resolve(environment, cli.config.as_deref())?;
    if let Err(error) = settings.home.claim()
        && !needs_no_home(&cli.command, &settings)
    {
        return Err(error.into());
    }
    match cli.command {
        Command::Record(args) => args.run(&settings, cli.config.as_deref(), out),
        Command::Flush(args) => args.run(&settings, out),
        Command::Connect(args) => args.run(&settings, out),
        Command::Disconnect(args) => args.run(&settings, out),
        Command::Spool(args) => args.run(&settings, out),
        Command::Schedule(args) => args.run(&settings, cli.config.as_deref(), out),
        Command::Status(args) => args.run(&settings, out),
        Command::View(args) => args.run(&settings, out),
        Command::Enable(args) => args.run(&settings, out),
        Command::Disable(args) => args.run(&settings, out),
        Command::Info(args) => args.run(&settings, out),
        Command::Banner(args) => args.run(&settings, out),
        Command::Id(args) => args.run(&settings, out),
        Command::CountScan(args) => args.run(&settings, out),
        Command::Forget(args) => args.run(&settings, out),
        Command::Completions(_) | Command::Man(_) => Ok(Code::Done),
    }
}

/// Whether a command goes on although the home can't be used: it needs no home, or it does nothing
/// anyway because the environment disables telemetry.
fn needs_no_home(command: &Command, settings: &Settings) -> bool {
    match command {
        Command::Info(_) => true,
        Command::Record(_) | Command::Flush(_) | Command::Banner(_) => {
            settings.consent.is_switched_off()
        }
        _ => false,
    }
}
