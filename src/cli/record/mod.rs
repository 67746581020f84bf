//! `record`: one event from flags, or many from stdin.

mod background;
mod flags;
pub(super) mod plain;
mod report;
mod stdin;

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args as ClapArgs, Command, FromArgMatches};

use self::flags::Given;
pub(super) use self::flags::example;
use self::report::{Rejected, Report};
use super::exit::{Code, Failure};
use super::out::Out;
use super::words;
use crate::clock::Deadline;
use crate::env::Environment;
use crate::event::{Draft, EVENTS, EventError, EventSpec, event_names};
use crate::json::Value;
use crate::limits::RECORD_WAIT;
use crate::record::{preview, stamp, store};
use crate::settings::Settings;

const ABOUT: &str = "Record an event: it is on disk when the command returns and is uploaded later";

/// The arguments of `record`.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Args {
    what: What,
    options: Options,
}

#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
enum What {
    Nothing,
    Event(Given),
    Stdin,
    /// An event and `--stdin`, which is an error.
    Both,
}

#[derive(Debug, ClapArgs)]
struct StdinArg {
    /// Read events from stdin, one JSON object per line
    #[arg(long)]
    stdin: bool,
}

/// The options of every event.
#[derive(Debug, Default, ClapArgs)]
#[cfg_attr(test, derive(PartialEq))]
struct Options {
    /// Start an upload in the background afterwards, and return at once
    #[arg(long, global = true)]
    flush: bool,
    /// Check the event, print the line that would be recorded, and record nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Print what was recorded as JSON
    #[arg(long, global = true)]
    json: bool,
    /// The version of the scanner, such as 1.0.2
    #[arg(long, global = true, value_name = "VERSION")]
    scanner_version: Option<String>,
    /// The version of the scanner's Python, such as 3.12
    #[arg(long, global = true, value_name = "VERSION")]
    python_version: Option<String>,
}

fn examples() -> String {
    let events: Vec<_> = EVENTS
        .iter()
        .map(|event| words::example(&example(event)))
        .collect();
    format!(
        "Examples:\n  {}\n  jmo-telemetry record --stdin < events.jsonl\n\n\
         With --stdin a line is {{\"event\": …, \"version\": …, \"python_version\": …,\n\
         \"metadata\": {{…}}}}. See `jmo-telemetry record EVENT --help` for the flags of an\n\
         event, and `jmo-telemetry info` for the fields of its metadata.",
        events.join("\n  ")
    )
}

impl ClapArgs for Args {
    fn augment_args(command: Command) -> Command {
        let command = StdinArg::augment_args(command);
        Options::augment_args(command)
            .about(ABOUT)
            .long_about(None::<&str>)
            .after_help(examples())
            .override_usage("jmo-telemetry record <EVENT> [OPTIONS]\n       jmo-telemetry record --stdin [OPTIONS]")
            .subcommand_value_name("EVENT")
            .subcommand_help_heading("Events")
            .disable_help_subcommand(true)
            .subcommands(EVENTS.iter().map(flags::command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let StdinArg { stdin } = StdinArg::from_arg_matches(matches)?;
        let event = matches.subcommand();
        let options = Options::from_arg_matches(event.map_or(matches, |(_, matches)| matches))?;
        let event = event.and_then(|(name, matches)| {
            EventSpec::named(name).map(|event| Given::from_matches(event, matches))
        });
        let what = match (event, stdin) {
            (Some(_), true) => What::Both,
            (Some(given), false) => What::Event(given),
            (None, true) => What::Stdin,
            (None, false) => What::Nothing,
        };
        Ok(Self { what, options })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args {
    pub(super) fn run(
        self,
        settings: &Settings,
        config: Option<&Path>,
        out: &mut Out,
    ) -> Result<Code, Failure> {
        self.refuse_useless_flags()?;
        let Self { what, options } = self;
        let mut report = Report::new(options.json);
        let (recorded, has_input) = match what {
            What::Event(given) => (one(given, &options, settings, &mut report, out), false),
            _ => {
                let recorded = stdin::record(settings, options.dry_run, &mut report, out);
                report.warn_of_fields(out);
                (recorded, true)
            }
        };
        report.warn_of_drops(settings.spool_max, out);
        // Also after a failure half-way, because the events before it are recorded.
        report.print(out)?;
        let code = recorded?;
        // An empty input means that only the flush was wanted.
        if options.flush && (has_input || report.has_recorded()) {
            background::start_flush(settings, config);
        }
        Ok(code)
    }

    /// Refuses flags that would have no effect, because they are mistakes.
    fn refuse_useless_flags(&self) -> Result<(), Failure> {
        let usage = |error: &str| Err(Failure::new(Code::Usage, error));
        let Options {
            flush,
            dry_run,
            scanner_version,
            python_version,
            ..
        } = &self.options;
        match self.what {
            What::Nothing => {
                let names: Vec<_> = event_names().collect();
                let hint = format!("name one of {}, or use --stdin", names.join(", "));
                Err(Failure::new(Code::Usage, "no event is named").hint(hint))
            }
            What::Both => {
                usage("--stdin reads events from the input; it can't be combined with an event")
            }
            What::Stdin if scanner_version.is_some() => usage(
                "--scanner-version has no effect with --stdin: each line has its own `version`",
            ),
            What::Stdin if python_version.is_some() => usage(
                "--python-version has no effect with --stdin: each line has its own `python_version`",
            ),
            _ if *flush && *dry_run => {
                usage("--flush has no effect with --dry-run, which records nothing")
            }
            _ => Ok(()),
        }
    }
}

/// Records the event that the flags describe. While telemetry is disabled, errors in the event are
/// reported only with `--dry-run`.
fn one(
    given: Given,
    options: &Options,
    settings: &Settings,
    report: &mut Report,
    out: &mut Out,
) -> Result<Code, Failure> {
    if !options.dry_run && !settings.consent.now().enabled {
        return Ok(Code::Done);
    }
    let text = |text: &Option<String>| text.clone().map(Value::text);
    let mut dropped = Vec::new();
    let draft = Draft::read(
        given.event.name,
        text(&options.scanner_version),
        text(&options.python_version),
        given.metadata(),
        &mut dropped,
    );
    let draft = draft.map_err(|error| {
        let error = error.in_flags();
        let line = None;
        report.reject(
            Rejected {
                line,
                error: error.clone(),
            },
            out,
        );
        Failure::new(Code::BadEvent, error)
    })?;
    for field in dropped {
        report.leave_out(field, 1);
    }
    report.warn_of_changes(&given, out);
    if options.dry_run {
        report.show(&preview(&settings.home, vec![draft]), out)?;
        return Ok(Code::Done);
    }
    let (home, consent) = (&settings.home, &settings.consent);
    let deadline = Deadline::after(RECORD_WAIT);
    let payloads = stamp(home, vec![draft], deadline)?;
    report.recorded(store(
        home,
        consent,
        &payloads,
        settings.spool_max,
        deadline,
    )?);
    Ok(Code::Done)
}

/// A draft from an event's example.
pub(super) fn example_draft(event: &'static EventSpec) -> Draft {
    let words = event.example.split(' ');
    let command = flags::command(event).no_binary_name(true);
    let matches = command.get_matches_from(words);
    let given = Given::from_matches(event, &matches);
    let version = |text: &'static str| Some(Value::text(text));
    let (scanner, python) = (version("1.0.2"), version("3.12"));
    Draft::read(
        event.name,
        scanner,
        python,
        given.metadata(),
        &mut Vec::new(),
    )
    .expect("an example is an event")
}

/// Reports clap's error for a command line of `record`. While telemetry is disabled, errors in the
/// event are not reported.
pub(super) fn refused(
    error: clap::Error,
    arguments: &[OsString],
    environment: Environment,
    out: &mut Out,
) -> Code {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let event = arguments
        .iter()
        .find_map(|argument| EventSpec::named(argument.to_str()?));
    let is_unknown = error.kind() == ErrorKind::InvalidSubcommand;
    let is_event = is_unknown || event.is_some();
    if error.use_stderr() && is_event && !has("--dry-run") && !is_enabled(arguments, environment) {
        let _ = Report::new(has("--json")).print(out);
        return Code::Done;
    }
    if is_unknown {
        out.failure(&EventError::Unknown.into());
        return Code::BadEvent;
    }
    let unknown_flag = error.kind() == ErrorKind::UnknownArgument;
    let code = out.usage(error);
    if let (true, Some(event)) = (unknown_flag, event) {
        let flags: Vec<_> = event
            .flags()
            .filter_map(|(field, _)| field.long())
            .collect();
        out.say(format_args!(
            "hint: the flags of {} are --{}",
            event.name,
            flags.join(", --")
        ));
    } else if unknown_flag && has("--stdin") {
        out.say("hint: with --stdin, each line contains the fields of its event");
    }
    code
}

fn is_enabled(arguments: &[OsString], environment: Environment) -> bool {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    let config = words.find_map(|word| word.strip_prefix("--config"));
    let config = match config {
        Some("") => words.next(),
        other => other.and_then(|joined| joined.strip_prefix('=')),
    };
    let settings = Settings::resolve(environment, config.map(Path::new));
    settings.map_or(true, |settings| settings.consent.now().enabled)
}
