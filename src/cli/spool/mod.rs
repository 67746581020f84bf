//! `spool …`: list, check and clean up the spool.

mod list;

use std::io::{self, BufRead, IsTerminal};

use clap::{Args as ClapArgs, Subcommand};

use self::list::{ListArgs, ShowArgs, find};
use super::exit::{Code, Failure};
use super::out::Out;
use super::words;
use crate::clock;
use crate::settings::Settings;
use crate::spool::{self, Caller, Deleted, Spool, Stats};

const EXAMPLES: &str = "\
Examples:
  jmo-telemetry spool list --state pending
  jmo-telemetry spool show 17
  jmo-telemetry spool check";

/// List, check and clean up the events on this machine
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, newest last
    List(ListArgs),
    /// Show one event: the line that is sent, its state, and its receipt or last error
    Show(ShowArgs),
    /// Show how many events there are in each state, and their size
    #[command(after_help = "Example:\n  jmo-telemetry spool stats")]
    Stats(JsonArgs),
    /// Check the database, and that every recorded event is accounted for
    #[command(after_help = "Example:\n  jmo-telemetry spool check")]
    Check(JsonArgs),
    /// Delete events that are too old or too many to keep
    #[command(after_help = "Example:\n  jmo-telemetry spool prune")]
    Prune(JsonArgs),
    /// Delete unsent events, or all events
    Purge(PurgeArgs),
    /// Queue held events, so that they are sent again
    Retry(RetryArgs),
}

#[derive(Debug, ClapArgs)]
struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(
    group = clap::ArgGroup::new("what").required(true),
    after_help = "Examples:\n  jmo-telemetry spool purge --pending\n  jmo-telemetry spool purge --all --yes"
)]
struct PurgeArgs {
    /// Delete unsent events: pending, sending and held ones
    #[arg(long, group = "what")]
    pending: bool,
    /// Delete all events
    #[arg(long, group = "what")]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry spool retry 17\n  jmo-telemetry spool retry ALL"
)]
struct RetryArgs {
    /// The event's number, or ALL for every held event
    #[arg(value_name = "SEQ|ALL", value_parser = which)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    One(i64),
    All,
}

fn which(text: &str) -> Result<Which, &'static str> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Which::All);
    }
    text.parse()
        .map(Which::One)
        .map_err(|_| "a number of `spool list`, or ALL")
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        match self.command {
            Command::List(args) => args.run(settings, out),
            Command::Show(args) => args.run(settings, out),
            Command::Stats(args) => stats(settings, args.json, out),
            Command::Check(args) => check(settings, args.json, out),
            Command::Prune(args) => prune(settings, args.json, out),
            Command::Purge(args) => args.run(settings, out),
            Command::Retry(args) => args.run(settings, out),
        }
    }
}

fn stats(settings: &Settings, json: bool, out: &mut Out) -> Result<Code, Failure> {
    let stats = Spool::read(&settings.home, Spool::stats)?;
    if json {
        out.json(&stats)?;
    } else {
        for (name, value) in counts(&stats) {
            out.line(format_args!("{name:<10} {value}"))?;
        }
    }
    Ok(Code::Done)
}

/// The counts by name, for people.
pub(super) fn counts(stats: &Stats) -> Vec<(&'static str, String)> {
    let dropped = stats
        .dropped
        .iter()
        .map(|(reason, n)| format!("{n} {reason}"))
        .collect::<Vec<_>>()
        .join(", ");
    vec![
        ("recorded", stats.recorded.to_string()),
        ("pending", stats.pending.to_string()),
        ("sending", stats.sending.to_string()),
        ("sent", stats.sent.to_string()),
        ("held", stats.held.to_string()),
        (
            "dropped",
            if dropped.is_empty() {
                "0".to_owned()
            } else {
                dropped
            },
        ),
        ("purged", stats.purged.to_string()),
        ("bytes", words::bytes(stats.bytes)),
        ("overflow", stats.overflow.to_string()),
    ]
}

fn check(settings: &Settings, json: bool, out: &mut Out) -> Result<Code, Failure> {
    let check = spool::check(&settings.home)?;
    if json {
        out.json(&check)?;
    } else if check.ok {
        out.line("ok")?;
    } else {
        check
            .problems
            .iter()
            .try_for_each(|problem| out.sentence(problem))?;
    }
    Ok(if check.ok { Code::Done } else { Code::Io })
}

fn prune(settings: &Settings, json: bool, out: &mut Out) -> Result<Code, Failure> {
    let deleted = Spool::write(&settings.home, Caller::Command, |writer| {
        writer.prune(clock::now(), settings.spool_max)
    })?;
    show_deleted(deleted, "not sent in time", json, out)
}

/// Prints what was deleted. `unsent` describes the unsent events among them.
fn show_deleted(
    deleted: Deleted,
    unsent: &str,
    json: bool,
    out: &mut Out,
) -> Result<Code, Failure> {
    if json {
        out.json(&deleted)?;
    } else {
        out.line(format_args!(
            "deleted {} ({} {unsent}, {} sent)",
            words::events((deleted.unsent + deleted.sent) as u64),
            deleted.unsent,
            deleted.sent
        ))?;
    }
    Ok(Code::Done)
}

impl PurgeArgs {
    fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let what = if self.all {
            "all events from the spool"
        } else {
            "all events that were not sent"
        };
        if !confirm(&format!("delete {what}?"), self.yes, out)? {
            return Ok(Code::Done);
        }
        let deleted = Spool::write(&settings.home, Caller::Command, |writer| {
            writer.purge(self.all)
        })?;
        tell_what_may_have_arrived(&deleted, out);
        show_deleted(deleted, "not sent", self.json, out)
    }
}

/// Says that deleted events may be at the destination, because they were being sent.
pub(super) fn tell_what_may_have_arrived(deleted: &Deleted, out: &mut Out) {
    if deleted.sending > 0 {
        let were = if deleted.sending == 1 { "was" } else { "were" };
        out.say(format_args!(
            "{} {were} being sent and may have arrived; `jmo-telemetry forget` deletes them at the destination, too",
            words::events(deleted.sending as u64)
        ));
    }
}

/// Asks the user for confirmation. Without a terminal, `--yes` is required.
pub(super) fn confirm(question: &str, yes: bool, out: &mut Out) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Code::Usage, "nothing was deleted")
            .hint("use --yes to delete without being asked"));
    }
    out.say(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Failure::stdin)?;
    let agreed = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    if !agreed {
        out.say("nothing was deleted");
    }
    Ok(agreed)
}

impl RetryArgs {
    fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let seq = match self.which {
            Which::One(seq) => Some(seq),
            Which::All => None,
        };
        let retried = Spool::write(&settings.home, Caller::Command, |writer| writer.retry(seq))?;
        if let (Some(seq), 0) = (seq, retried) {
            let state = find(settings, seq)?.state.word();
            out.say(format_args!(
                "event {seq} is {state}; only held events can be queued again"
            ));
        }
        if self.json {
            out.json(&serde_json::json!({ "retried": retried }))?;
        } else {
            out.line(format_args!(
                "queued again: {}",
                words::events(retried as u64)
            ))?;
        }
        Ok(Code::Done)
    }
}
