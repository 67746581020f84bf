//! `record`: one event from flags, or many from stdin.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args as ClapArgs;
use serde::Serialize;
use uuid::Uuid;

use super::failure::{Code, Failure};
use super::out::Out;
use crate::event::fields::{Fields, Value};
use crate::event::{Draft, EVENT_NAMES, EventError};
use crate::limits::{INPUT_LINE_BYTES, RECORD_BATCH_BYTES};
use crate::record::record;
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
#[derive(Debug, ClapArgs)]
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

/// The fields of all events; which of them belong to which event is in [`FLAGS`].
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Fields")]
struct FieldArgs {
    /// cli, docker or wizard
    #[arg(long)]
    mode: Option<String>,
    /// fast, slim, balanced, deep, full; any other is custom
    #[arg(long)]
    profile: Option<String>,
    /// A tool; repeat for more
    #[arg(long)]
    tool: Vec<String>,
    /// How many repositories
    #[arg(long, value_name = "N")]
    repos: Option<i64>,
    /// How many container images
    #[arg(long, value_name = "N")]
    images: Option<i64>,
    /// How many web applications
    #[arg(long, value_name = "N")]
    urls: Option<i64>,
    /// How many infrastructure-as-code files
    #[arg(long, value_name = "N")]
    iac: Option<i64>,
    /// How many GitLab projects
    #[arg(long, value_name = "N")]
    gitlab: Option<i64>,
    /// How many Kubernetes clusters
    #[arg(long, value_name = "N")]
    k8s: Option<i64>,
    /// The scanner runs in CI
    #[arg(long)]
    ci_detected: bool,
    /// More than one kind of target [default: by the counts]
    #[arg(long)]
    multi_target: bool,
    /// Compliance mapping is used
    #[arg(long)]
    compliance: bool,
    /// How often this machine scans: first_time, weekly, daily [default: counted]
    #[arg(long, value_name = "HINT")]
    frequency: Option<String>,
    /// How long it took, e.g. 412s or 7m 30s; stored as a bucket
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    duration: Option<f64>,
    /// Tools that succeeded
    #[arg(long, value_name = "N")]
    succeeded: Option<i64>,
    /// Tools, or policies, that failed
    #[arg(long, value_name = "N")]
    failed: Option<i64>,
    /// How many findings; stored as a bucket
    #[arg(long, value_name = "N")]
    findings: Option<i64>,
    /// timeout, crash or non_zero_exit
    #[arg(long, value_name = "TYPE")]
    failure_type: Option<String>,
    /// The tool's exit code
    #[arg(long, value_name = "N")]
    exit_code: Option<i64>,
    /// docker or native
    #[arg(long, value_name = "MODE")]
    execution_mode: Option<String>,
    /// makefile, shell or gha
    #[arg(long)]
    artifact: Option<String>,
    /// A report format; repeat for more
    #[arg(long)]
    format: Vec<String>,
    /// Findings were suppressed
    #[arg(long)]
    suppressions: bool,
    /// A policy; repeat for more
    #[arg(long)]
    policy: Vec<String>,
    /// How many violations; stored as a bucket
    #[arg(long, value_name = "N")]
    violations: Option<i64>,
    /// How long the evaluation took; stored as a bucket
    #[arg(long, value_name = "MS")]
    evaluation_ms: Option<f64>,
    /// Policies that passed
    #[arg(long, value_name = "N")]
    passed: Option<i64>,
}

/// Seconds of `412`, `412s`, `7m 30s`.
fn seconds(text: &str) -> Result<f64, &'static str> {
    text.parse::<f64>()
        .ok()
        .or_else(|| {
            humantime::parse_duration(text)
                .ok()
                .map(|duration| duration.as_secs_f64())
        })
        .filter(|seconds| seconds.is_finite())
        .ok_or("a duration is a number with a unit, e.g. 412s or 7m 30s")
}

/// Which flag is which field of which event: `(flag, [field in each of EVENT_NAMES])`, "" where it
/// does not belong.
const FLAGS: [(&str, [&str; 6]); 27] = [
    ("--mode", ["mode", "mode", "", "", "", ""]),
    (
        "--profile",
        ["profile", "profile", "profile", "profile_selected", "", ""],
    ),
    ("--tool", ["tools", "", "tool", "", "", ""]),
    ("--repos", ["repos", "", "", "", "", ""]),
    ("--images", ["images", "", "", "", "", ""]),
    ("--urls", ["urls", "", "", "", "", ""]),
    ("--iac", ["iac", "", "", "", "", ""]),
    ("--gitlab", ["gitlab", "", "", "", "", ""]),
    ("--k8s", ["k8s", "", "", "", "", ""]),
    ("--ci-detected", ["ci_detected", "", "", "", "", ""]),
    ("--multi-target", ["multi_target_scan", "", "", "", "", ""]),
    (
        "--compliance",
        ["compliance_usage", "", "", "", "compliance_enabled", ""],
    ),
    ("--frequency", ["scan_frequency_hint", "", "", "", "", ""]),
    (
        "--duration",
        ["", "duration_seconds", "", "duration_seconds", "", ""],
    ),
    ("--succeeded", ["", "tools_succeeded", "", "", "", ""]),
    ("--failed", ["", "tools_failed", "", "", "", "failed_count"]),
    ("--findings", ["", "findings", "", "", "findings", ""]),
    ("--failure-type", ["", "", "failure_type", "", "", ""]),
    ("--exit-code", ["", "", "exit_code", "", "", ""]),
    ("--execution-mode", ["", "", "", "execution_mode", "", ""]),
    ("--artifact", ["", "", "", "artifact_generated", "", ""]),
    ("--format", ["", "", "", "", "output_formats", ""]),
    ("--suppressions", ["", "", "", "", "suppressions_used", ""]),
    ("--policy", ["", "", "", "", "", "policies"]),
    ("--violations", ["", "", "", "", "", "violations"]),
    ("--evaluation-ms", ["", "", "", "", "", "evaluation_ms"]),
    ("--passed", ["", "", "", "", "", "passed_count"]),
];

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

impl FieldArgs {
    /// The flags that were given, with their values.
    fn given(self) -> Vec<(&'static str, Value<'static>)> {
        let text = |text: Option<String>| text.map(|text| Value::Text(text.into()));
        let number = |number: Option<i64>| number.map(Value::Integer);
        let float = |number: Option<f64>| number.map(Value::Float);
        let flag = |flag: bool| flag.then_some(Value::Bool(true));
        let list = |words: Vec<String>| {
            (!words.is_empty()).then(|| {
                Value::List(
                    words
                        .into_iter()
                        .map(|word| Value::Text(word.into()))
                        .collect(),
                )
            })
        };
        let all = [
            ("--mode", text(self.mode)),
            ("--profile", text(self.profile)),
            ("--tool", list(self.tool)),
            ("--repos", number(self.repos)),
            ("--images", number(self.images)),
            ("--urls", number(self.urls)),
            ("--iac", number(self.iac)),
            ("--gitlab", number(self.gitlab)),
            ("--k8s", number(self.k8s)),
            ("--ci-detected", flag(self.ci_detected)),
            ("--multi-target", flag(self.multi_target)),
            ("--compliance", flag(self.compliance)),
            ("--frequency", text(self.frequency)),
            ("--duration", float(self.duration)),
            ("--succeeded", number(self.succeeded)),
            ("--failed", number(self.failed)),
            ("--findings", number(self.findings)),
            ("--failure-type", text(self.failure_type)),
            ("--exit-code", number(self.exit_code)),
            ("--execution-mode", text(self.execution_mode)),
            ("--artifact", text(self.artifact)),
            ("--format", list(self.format)),
            ("--suppressions", flag(self.suppressions)),
            ("--policy", list(self.policy)),
            ("--violations", number(self.violations)),
            ("--evaluation-ms", float(self.evaluation_ms)),
            ("--passed", number(self.passed)),
        ];
        all.into_iter()
            .filter_map(|(flag, value)| Some((flag, value?)))
            .collect()
    }

    /// The metadata of the event called `name`.
    fn metadata(self, name: &str) -> Result<Fields<'static>, Failure> {
        let column = EVENT_NAMES
            .iter()
            .position(|event| *event == name)
            .ok_or(EventError::Unknown)?;
        let mut metadata = Fields::default();
        let mut targets = Fields::default();
        // A list that is not given is an empty one.
        for field in ["tools", "output_formats", "policies"] {
            if FLAGS.iter().any(|(_, fields)| fields[column] == field) {
                metadata.put(field, Value::List(Vec::new()));
            }
        }
        for (flag, value) in self.given() {
            let field = FLAGS
                .iter()
                .find(|(known, _)| *known == flag)
                .map_or("", |(_, fields)| fields[column]);
            match (field, value) {
                ("", _) => return Err(misplaced(flag, name, column)),
                ("repos" | "images" | "urls" | "iac" | "gitlab" | "k8s", value) => {
                    targets.put(field, value)
                }
                ("tool", Value::List(mut tools)) if tools.len() == 1 => {
                    metadata.put(field, tools.remove(0))
                }
                ("tool", _) => {
                    return Err(Failure::new(
                        Code::Usage,
                        format!("{name} takes one --tool"),
                    ));
                }
                (_, value) => metadata.put(field, value),
            }
        }
        if name == "scan.started" {
            metadata.put("target_types", Value::Map(targets));
        }
        Ok(metadata)
    }
}

fn misplaced(flag: &str, name: &str, column: usize) -> Failure {
    let fitting: Vec<_> = FLAGS
        .iter()
        .filter(|(_, fields)| !fields[column].is_empty())
        .map(|(flag, _)| *flag)
        .collect();
    Failure::new(Code::Usage, format!("{flag} is not a field of {name}"))
        .hint(format!("its fields are {}", fitting.join(" ")))
}

impl Args {
    pub(super) fn run(
        mut self,
        settings: &Settings,
        config: Option<&Path>,
        out: &mut Out,
    ) -> Result<Code, Failure> {
        let (json, flush, stdin) = (self.json, self.flush, self.stdin);
        let mut report = Report::default();
        let mut dropped = BTreeMap::new();
        let code = if stdin {
            from_stdin(settings, json, &mut report, &mut dropped, out)?
        } else if !settings.consent.now().enabled {
            // Who said no is not told what is wrong with an event that nobody wants.
            Code::Done
        } else {
            let name = self.event.take().unwrap_or_default();
            let draft = self.draft(&name, &mut dropped)?;
            report.event_ids = record(
                &settings.home,
                &settings.consent,
                vec![draft],
                settings.spool_max,
            )?;
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
        if flush && report.recorded > 0 {
            start_flush(settings, config)?;
        }
        Ok(code)
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

/// Reads events to the end, a bounded batch at a time. After a "no" the rest is read and not kept,
/// so that whoever writes to us is not cut off.
fn from_stdin(
    settings: &Settings,
    json: bool,
    report: &mut Report,
    dropped: &mut BTreeMap<String, usize>,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut input = io::stdin().lock();
    let mut batch = Batch::default();
    let mut line = Vec::new();
    let mut code = Code::Done;
    let mut enabled = settings.consent.now().enabled;
    for number in 1.. {
        line.clear();
        if read_line(&mut input, &mut line)? == 0 {
            break;
        }
        if !enabled || line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match read_draft(&line) {
            Ok(read) => {
                count(dropped, read.dropped);
                batch.drafts.push(read.draft);
                batch.bytes += line.len();
            }
            Err(error) => {
                code = Code::BadEvent;
                out.say(format_args!("error: line {number}: {error}"));
                if json {
                    report.rejected.push(Rejected {
                        line: number,
                        error: error.to_string(),
                    });
                }
            }
        }
        if batch.bytes >= RECORD_BATCH_BYTES {
            batch.record(settings, json, report)?;
            enabled = settings.consent.now().enabled;
        }
    }
    batch.record(settings, json, report)?;
    Ok(code)
}

#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    bytes: usize,
}

impl Batch {
    fn record(
        &mut self,
        settings: &Settings,
        json: bool,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let ids = record(
            &settings.home,
            &settings.consent,
            std::mem::take(&mut self.drafts),
            settings.spool_max,
        )?;
        self.bytes = 0;
        report.recorded += ids.len();
        if json {
            report.event_ids.extend(ids);
        }
        Ok(())
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
