//! `record`: one event from flags, or many from stdin.

mod flags;
pub(super) mod plain;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args as ClapArgs;
use serde::Serialize;
use uuid::Uuid;

use self::flags::FieldArgs;
use super::exit::{Code, Failure};
use super::out::Out;
use crate::consent::Consent;
use crate::event::{Draft, EventError};
use crate::json::Value;
use crate::limits::{
    INPUT_BUFFER_BYTES, INPUT_LINE_BYTES, RECORD_BATCH_BYTES, RECORD_BATCH_EVENTS,
};
use crate::record::{record, record_batches};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  record scan.started --mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1
  record scan.completed --mode cli --profile fast --duration 412s --succeeded 8 --failed 0 --findings 37
  record tool.failed --tool trivy --failure-type timeout --profile fast
  record wizard.completed --profile balanced --execution-mode docker --artifact makefile --duration 120s
  record report.generated --format json --format sarif --findings 120 --suppressions --compliance
  record policy.evaluated --policy pci-dss --violations 3 --evaluation-ms 75 --passed 1 --failed 2
  record --stdin < events.jsonl

One line of --stdin: {\"event\": …, \"version\": …, \"python_version\": …, \"metadata\": {…}}
`jmo-telemetry info` lists the fields of each event.";

/// Spool one event, or many from stdin; durable when it returns, silent on success
#[derive(Debug, Default, PartialEq, ClapArgs)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(super) struct Args {
    /// scan.started, scan.completed, tool.failed, wizard.completed, report.generated or
    /// policy.evaluated
    #[arg(value_name = "EVENT", required_unless_present = "stdin")]
    event: Option<String>,
    /// Read events from stdin, one JSON object a line
    #[arg(long, conflicts_with = "event")]
    stdin: bool,
    /// Start a flush in the background afterwards, and return at once
    #[arg(long)]
    flush: bool,
    /// Say what was recorded, as JSON
    #[arg(long)]
    json: bool,
    /// The scanner's version
    #[arg(long, value_name = "VERSION")]
    scanner_version: Option<String>,
    /// The scanner's Python, as 3.N
    #[arg(long, value_name = "VERSION")]
    python_version: Option<String>,
    #[command(flatten)]
    fields: FieldArgs,
}

/// What `record --json` says.
#[derive(Debug, Default, Serialize)]
struct Report {
    recorded: usize,
    event_ids: Vec<Uuid>,
    rejected: Vec<Rejected>,
    dropped_fields: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Rejected {
    line: usize,
    error: String,
}

impl Args {
    pub(super) fn run(
        self,
        settings: &Settings,
        config: Option<&Path>,
        out: &mut Out,
    ) -> Result<Code, Failure> {
        let (json, flush, stdin) = (self.json, self.flush, self.stdin);
        let mut report = Report::default();
        let mut dropped = BTreeMap::new();
        let code = if stdin {
            from_stdin(settings, json, &mut report, &mut dropped, out)?
        } else {
            report.event_ids = self.one(settings, &mut dropped)?;
            report.recorded = report.event_ids.len();
            Code::Done
        };
        for (field, times) in &dropped {
            out.say(format_args!(
                "warning: field {field} is not known and was left out{}",
                times_told(*times)
            ));
        }
        if json {
            report.dropped_fields = dropped.into_keys().collect();
            out.json(&report)?;
        }
        // An empty input asks for the flush alone.
        if flush && (stdin || report.recorded > 0) {
            start_flush(settings, config)?;
        }
        Ok(code)
    }

    /// Records the event of the flags. Who said no is not told what is wrong with an event that
    /// nobody wants, nor what was left out of it.
    fn one(
        mut self,
        settings: &Settings,
        dropped: &mut BTreeMap<String, usize>,
    ) -> Result<Vec<Uuid>, Failure> {
        let name = self.event.take().unwrap_or_default();
        let draft = match self.draft(&name, dropped) {
            Err(_) if !settings.consent.now().enabled => return Ok(Vec::new()),
            draft => draft?,
        };
        let ids = record(
            &settings.home,
            &settings.consent,
            vec![draft],
            settings.spool_max,
        )?;
        if ids.is_empty() {
            dropped.clear();
        }
        Ok(ids)
    }

    fn draft(self, name: &str, dropped: &mut BTreeMap<String, usize>) -> Result<Draft, Failure> {
        let text = |text: Option<String>| text.map(|text| Value::Text(text.into()));
        let metadata = self.fields.metadata(name)?;
        let mut names = Vec::new();
        let draft = Draft::read(
            name,
            text(self.scanner_version),
            text(self.python_version),
            metadata,
            &mut names,
        )?;
        count(dropped, names);
        Ok(draft)
    }
}

fn count(dropped: &mut BTreeMap<String, usize>, names: Vec<String>) {
    for name in names {
        *dropped.entry(name).or_default() += 1;
    }
}

fn times_told(times: usize) -> String {
    if times == 1 {
        String::new()
    } else {
        format!(" ({times} times)")
    }
}

/// Records events to the end of the input, a bounded batch at a time.
fn from_stdin(
    settings: &Settings,
    json: bool,
    report: &mut Report,
    dropped: &mut BTreeMap<String, usize>,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut code = Code::Done;
    let mut failed = None;
    let input = Input::new(&settings.consent);
    let (home, consent) = (&settings.home, &settings.consent);
    record_batches(home, consent, input, settings.spool_max, |ids, heard| {
        report.recorded += ids.len();
        if json {
            report.event_ids.extend(ids);
        }
        for (field, times) in heard.dropped {
            *dropped.entry(field).or_default() += times;
        }
        for Rejected { line, error } in &heard.rejected {
            code = Code::BadEvent;
            out.say(format_args!("error: line {line}: {error}"));
        }
        if json {
            report.rejected.extend(heard.rejected);
        }
        failed = heard.failed;
    })?;
    failed.map_or(Ok(code), |error| Err(error.into()))
}

/// What else there is to say about the lines of a batch.
#[derive(Default)]
struct Heard {
    dropped: BTreeMap<String, usize>,
    rejected: Vec<Rejected>,
    failed: Option<io::Error>,
}

/// stdin in bounded batches. After a "no" the rest is read and not kept, so that whoever writes to
/// us is not cut off.
struct Input<'s> {
    lines: BufReader<Stdin>,
    number: usize,
    consent: &'s Consent,
    ended: bool,
}

impl<'s> Input<'s> {
    fn new(consent: &'s Consent) -> Self {
        Self {
            lines: BufReader::with_capacity(INPUT_BUFFER_BYTES, io::stdin()),
            number: 0,
            consent,
            ended: false,
        }
    }

    /// Reads up to the next batch, or the end.
    fn read(&mut self, drafts: &mut Vec<Draft>, heard: &mut Heard) -> io::Result<()> {
        let enabled = self.consent.now().enabled;
        let mut line = Vec::new();
        let mut bytes = 0;
        while bytes < RECORD_BATCH_BYTES && drafts.len() < RECORD_BATCH_EVENTS {
            line.clear();
            if read_line(&mut self.lines, &mut line)? == 0 {
                self.ended = true;
                break;
            }
            self.number += 1;
            bytes += line.len();
            if !enabled || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read_draft(&line) {
                Ok(read) => {
                    count(&mut heard.dropped, read.dropped);
                    drafts.push(read.draft);
                }
                Err(error) => heard.rejected.push(Rejected {
                    line: self.number,
                    error: error.to_string(),
                }),
            }
        }
        Ok(())
    }
}

impl Iterator for Input<'_> {
    type Item = (Vec<Draft>, Heard);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let (mut drafts, mut heard) = Default::default();
        if let Err(error) = self.read(&mut drafts, &mut heard) {
            self.ended = true;
            heard.failed = Some(error);
        }
        Some((drafts, heard))
    }
}

/// Reads one line without its end; of a line that is too long, only so much that this can be seen.
/// Gives 0 at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let read = input
        .by_ref()
        .take(INPUT_LINE_BYTES as u64 + 1)
        .read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > INPUT_LINE_BYTES {
        input.skip_until(b'\n')?;
    }
    Ok(read)
}

fn read_draft(line: &[u8]) -> Result<crate::event::Read, EventError> {
    if line.len() > INPUT_LINE_BYTES {
        Err(EventError::TooLong)
    } else {
        Draft::from_json(line)
    }
}

/// Starts a flush of its own session that inherits nothing, and does not wait for it.
fn start_flush(settings: &Settings, config: Option<&Path>) -> Result<(), Failure> {
    let program = settings.environment.program()?;
    let mut command = Command::new(program);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
        .args(["flush", "--detached"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // The event is safe, and the next flush takes it; not being able to start one now is nobody's
    // trouble.
    let _ = command.spawn();
    Ok(())
}
