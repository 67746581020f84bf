//! `spool list` and `spool show`: list events, or show one.

use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use crate::cli::exit::{Code, Failure};
use crate::cli::out::Out;
use crate::cli::words;
use crate::clock;
use crate::destination::segment::Receipt;
use crate::event::event_names;
use crate::limits::LIST_LIMIT;
use crate::settings::Settings;
use crate::spool::{self, Filter, Row, State};

const LIST_EXAMPLES: &str = "\
Examples:
  jmo-telemetry spool list
  jmo-telemetry spool list --state held
  jmo-telemetry spool list --limit 0 --json | jq -r .event | sort | uniq -c";

#[derive(Debug, ClapArgs)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArgs {
    /// Only events in this state
    #[arg(long)]
    state: Option<StateArg>,
    /// Only this event
    #[arg(long, value_parser = PossibleValuesParser::new(event_names()))]
    event: Option<String>,
    /// Only the newest N events; 0 for all
    #[arg(long, value_name = "N", default_value_t = LIST_LIMIT)]
    limit: u32,
    /// Print one JSON object per line
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
pub(super) struct ShowArgs {
    /// The event's number, as `spool list` shows it
    seq: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
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
            // Without aligned columns, rows can be printed before the widest one is known.
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

/// The last column: where the event was sent, or how often that was tried and why it failed.
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
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
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
pub(super) fn find(settings: &Settings, seq: i64) -> Result<Row, Failure> {
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
    receipt: Option<&'a Receipt>,
}
