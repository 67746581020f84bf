//! `spool …`: see, check and clean the spool.

use std::io::{self, BufRead, IsTerminal};

use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::words;
use crate::clock;
use crate::event::event_names;
use crate::limits::LIST_LIMIT;
use crate::settings::Settings;
use crate::spool::{self, Caller, Filter, Row, Spool, State, Stats};

const EXAMPLES: &str = "\
Examples:
  jmo-telemetry spool list --state pending
  jmo-telemetry spool show 17
  jmo-telemetry spool check";

const LIST_EXAMPLES: &str = "\
Examples:
  jmo-telemetry spool list
  jmo-telemetry spool list --state held
  jmo-telemetry spool list --limit 0 --json | jq -r .event | sort | uniq -c";

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
    /// Delete events that are too old, or too many, to be kept
    #[command(after_help = "Example:\n  jmo-telemetry spool prune")]
    Prune(JsonArgs),
    /// Delete the events that were not sent, or all events
    Purge(PurgeArgs),
    /// Queue events that were held, so that they are sent again
    Retry(RetryArgs),
}

#[derive(Debug, ClapArgs)]
struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// Only events in this state
    #[arg(long)]
    state: Option<StateArg>,
    /// Only events of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(event_names()))]
    event: Option<String>,
    /// Only the newest N events; 0 for all
    #[arg(long, value_name = "N", default_value_t = LIST_LIMIT)]
    limit: u32,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArg {
    Pending,
    Sending,
    Sent,
    Held,
}

impl From<StateArg> for State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Pending => Self::Pending,
            StateArg::Sending => Self::Sending,
            StateArg::Sent => Self::Sent,
            StateArg::Held => Self::Held,
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry spool show 17\n  jmo-telemetry spool show 17 --json | jq .state"
)]
struct ShowArgs {
    /// The event's number, as `spool list` shows it
    seq: i64,
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
    /// Delete the events that were not sent: pending, sending and held ones
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

impl ListArgs {
    fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let filter = Filter {
            state: self.state.map(State::from),
            event: self.event,
            limit: (self.limit > 0).then_some(self.limit),
            ..Filter::default()
        };
        if self.json {
            spool::list(&settings.home, &filter, |row| out.json(&row))?;
            return Ok(Code::Done);
        }
        const HEAD: [&str; 5] = ["seq", "age", "event", "state", "attempts or receipt"];
        let now = clock::now();
        if !out.is_terminal() {
            // Nobody needs columns, so nothing has to be held until the widest row is known.
            out.line(HEAD.join("\t"))?;
            spool::list(&settings.home, &filter, |row| {
                out.line(cells(&row, now).join("\t"))
            })?;
            return Ok(Code::Done);
        }
        let mut rows = Vec::new();
        spool::list::<Failure>(&settings.home, &filter, |row| {
            rows.push(cells(&row, now).to_vec());
            Ok(())
        })?;
        out.table(&HEAD, &rows)?;
        Ok(Code::Done)
    }
}

fn cells(row: &Row, now: DateTime<Utc>) -> [String; 5] {
    [
        row.seq.to_string(),
        words::relative(row.recorded_at, now),
        row.event.clone(),
        row.state.word().to_owned(),
        progress(row),
    ]
}

/// The last column: where it went, or how often it was tried and why it is not there.
fn progress(row: &Row) -> String {
    let tried = match row.attempts {
        0 => "not tried yet".to_owned(),
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    };
    match (row.state, &row.segment, &row.last_error) {
        (State::Sent, Some(segment), _) => segment.clone(),
        (_, _, Some(error)) => format!("{tried}, {error}"),
        _ => tried,
    }
}

impl ShowArgs {
    fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let row = find(settings, self.seq)?;
        if self.json {
            out.json(&Shown {
                row: &row,
                receipt: row.receipt.as_ref(),
            })?;
            return Ok(Code::Done);
        }
        out.line(row.payload.get())?;
        out.say(format_args!("state: {}", row.state.word()));
        if let Some(receipt) = &row.receipt {
            out.say(format_args!(
                "receipt: {} at {} ({} bytes, sha256 {})",
                row.segment.as_deref().unwrap_or_default(),
                receipt.url,
                receipt.bytes,
                receipt.sha256
            ));
        }
        if let Some(error) = &row.last_error {
            out.say(format_args!("last error: {error}"));
        }
        Ok(Code::Done)
    }
}

/// The event with this number.
fn find(settings: &Settings, seq: i64) -> Result<Row, Failure> {
    let mut found = None;
    let filter = Filter {
        seq: Some(seq),
        ..Filter::default()
    };
    spool::list::<Failure>(&settings.home, &filter, |row| {
        found = Some(row);
        Ok(())
    })?;
    found.ok_or_else(|| {
        Failure::new(Code::BadEvent, format!("no event {seq} in the spool"))
            .hint("`jmo-telemetry spool list` shows the numbers")
    })
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    row: &'a Row,
    receipt: Option<&'a crate::destination::segment::Receipt>,
}

fn stats(settings: &Settings, json: bool, out: &mut Out) -> Result<Code, Failure> {
    let stats = Spool::read(&settings.home, Spool::stats)?;
    if json {
        out.json(&stats)?;
    } else {
        for (name, value) in told(&stats) {
            out.line(format_args!("{name:<10} {value}"))?;
        }
    }
    Ok(Code::Done)
}

/// The numbers by their names, for people.
pub(super) fn told(stats: &Stats) -> Vec<(&'static str, String)> {
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
            .try_for_each(|problem| out.line(problem))?;
    }
    Ok(if check.ok { Code::Done } else { Code::Io })
}

fn prune(settings: &Settings, json: bool, out: &mut Out) -> Result<Code, Failure> {
    let deleted = Spool::write(&settings.home, Caller::Command, |writer| {
        writer.prune(clock::now(), settings.spool_max)
    })?;
    if json {
        out.json(&deleted)?;
    } else {
        out.line(format_args!(
            "deleted {} ({} not sent in time, {} sent)",
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
        if self.json {
            out.json(&deleted)?;
        } else {
            out.line(format_args!(
                "deleted {} ({} not sent, {} sent)",
                words::events((deleted.unsent + deleted.sent) as u64),
                deleted.unsent,
                deleted.sent
            ))?;
        }
        Ok(Code::Done)
    }
}

/// Asks a person, and gives the answer; a program has to say `--yes`.
pub(super) fn confirm(question: &str, yes: bool, out: &mut Out) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Code::Usage, "nothing was deleted")
            .hint("say --yes to delete without being asked"));
    }
    out.say(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
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
