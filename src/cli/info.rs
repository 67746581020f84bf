//! `info` and `banner`: what is collected, made from the event types themselves so that it can't
//! drift from what is sent, and the notice that says so on the first scans.

use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use super::status::Status;
use crate::clock;
use crate::event::{Draft, EVENT_NAMES, Event, FieldInfo, Payload, Stamp, event_id};
use crate::limits::BANNER_SCANS;
use crate::settings::Settings;

/// What the envelope adds to each event.
const ENVELOPE: [(&str, &str); 7] = [
    ("event", "the event's name"),
    ("version", "the scanner's version"),
    ("platform", "Linux, macOS or Windows"),
    ("python_version", "the scanner's Python, 3.N"),
    (
        "anonymous_id",
        "a random number made on this machine; `jmo-telemetry id --reset` makes a new one",
    ),
    ("timestamp", "when, UTC"),
    (
        "event_id",
        "a random number, so that no event is counted twice",
    ),
];

/// What no field can hold.
const NEVER: [&str; 6] = [
    "names, paths or URLs of repositories, images, files or hosts",
    "findings, secrets, code, or any text from a scan",
    "user names, e-mail addresses, IP addresses, host names",
    "configuration values or environment variables",
    "error messages or stack traces",
    "exact durations or numbers of findings: only ranges",
];

/// One input line for each event; the example that `info` shows is what becomes of it.
const EXAMPLES: [&str; 6] = [
    r#"{"event":"scan.started","version":"1.0.2","python_version":"3.11","metadata":{"mode":"cli","profile":"balanced","tools":["trivy","semgrep"],"target_types":{"repos":3,"images":1},"scan_frequency_hint":"weekly"}}"#,
    r#"{"event":"scan.completed","version":"1.0.2","python_version":"3.11","metadata":{"mode":"cli","profile":"fast","duration_seconds":412,"tools_succeeded":8,"tools_failed":0,"findings":37}}"#,
    r#"{"event":"tool.failed","version":"1.0.2","python_version":"3.11","metadata":{"tool":"trivy","failure_type":"timeout","profile":"fast"}}"#,
    r#"{"event":"wizard.completed","version":"1.0.2","python_version":"3.11","metadata":{"profile_selected":"balanced","execution_mode":"docker","artifact_generated":"makefile","duration_seconds":120}}"#,
    r#"{"event":"report.generated","version":"1.0.2","python_version":"3.11","metadata":{"output_formats":["json","sarif"],"findings":120,"suppressions_used":true,"compliance_enabled":true}}"#,
    r#"{"event":"policy.evaluated","version":"1.0.2","python_version":"3.11","metadata":{"policies":["pci-dss"],"violations":3,"evaluation_ms":75,"passed_count":1,"failed_count":2}}"#,
];

/// Say what is and is not collected, with an example of each event
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Info {
    events: Vec<EventInfo>,
    every_event: Vec<FieldInfo>,
    never: [&'static str; 6],
    opt_out: [&'static str; 4],
}

#[derive(Serialize)]
struct EventInfo {
    event: &'static str,
    metadata: Vec<FieldInfo>,
    example: Box<serde_json::value::RawValue>,
}

/// Every way to opt out.
const OPT_OUT: [&str; 4] = [
    "run `jmo-telemetry disable`",
    "set JMO_TELEMETRY_DISABLE=1",
    "set DO_NOT_TRACK=1",
    "write `telemetry: {enabled: false}` into jmo.yml",
];

fn info() -> Info {
    let at = clock::now();
    let stamp = Stamp {
        anonymous_id: uuid::Uuid::new_v4(),
        at,
        frequency: None,
        event_id: event_id(at, [0; 10]),
    };
    let event = |event: &'static str, line: &str| EventInfo {
        event,
        metadata: Event::describe(event),
        example: {
            let draft = Draft::from_json(line.as_bytes())
                .expect("the examples are events")
                .draft;
            let payload = Payload::new(draft, &stamp).as_str().to_owned();
            serde_json::value::RawValue::from_string(payload).expect("a payload is JSON")
        },
    };
    Info {
        events: EVENT_NAMES
            .into_iter()
            .zip(EXAMPLES)
            .map(|(name, line)| event(name, line))
            .collect(),
        every_event: ENVELOPE
            .into_iter()
            .map(|(name, values)| FieldInfo {
                name,
                values: values.to_owned(),
            })
            .collect(),
        never: NEVER,
        opt_out: OPT_OUT,
    }
}

impl Args {
    pub(super) fn run(self, _: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let info = info();
        if self.json {
            out.json(&info)?;
            return Ok(Code::Done);
        }
        for event in &info.events {
            out.line(event.event)?;
            for field in &event.metadata {
                out.line(format_args!("  {}: {}", field.name, field.values))?;
            }
            out.line(format_args!("  example: {}\n", event.example))?;
        }
        out.line("with every event")?;
        for field in &info.every_event {
            out.line(format_args!("  {}: {}", field.name, field.values))?;
        }
        out.line("\nnever collected")?;
        for what in info.never {
            out.line(format_args!("  {what}"))?;
        }
        out.line("\nhow to opt out")?;
        for way in info.opt_out {
            out.line(format_args!("  {way}"))?;
        }
        out.line("  in CI telemetry is off by itself")?;
        Ok(Code::Done)
    }
}

/// Show the notice, on the first 3 scans and always in docker
#[derive(Debug, ClapArgs)]
pub(super) struct BannerArgs {
    /// How the scanner was started
    #[arg(long, default_value = "cli")]
    mode: BannerMode,
    /// As JSON on stdout, whether it would be shown and what it says
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BannerMode {
    Cli,
    Wizard,
    Docker,
}

#[derive(Serialize)]
struct Banner {
    shown: bool,
    can_leave: bool,
    destination: Option<String>,
    text: String,
}

impl BannerArgs {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let shown_already = settings.environment.get("JMO_TELEMETRY_SHOWN") == Some("1");
        let new_here = self.mode == BannerMode::Docker || settings.home.scan_count() < BANNER_SCANS;
        let shown = settings.consent.now().enabled && !shown_already && new_here;
        if !shown && !self.json {
            return Ok(Code::Done);
        }
        let status = Status::of(settings);
        let text = notice(&status);
        if shown {
            out.say(&text);
        }
        if self.json {
            out.json(&Banner {
                shown,
                can_leave: status.can_leave,
                destination: status.destination,
                text,
            })?;
        }
        Ok(Code::Done)
    }
}

/// The notice: what really happens to events on this machine, and every way to stop it.
fn notice(status: &Status) -> String {
    let where_to = match (&status.destination, status.can_leave) {
        (Some(destination), true) => format!("They are uploaded to {destination}."),
        (Some(destination), false) => {
            format!("None of them can leave this machine now: {destination} can't be used.")
        }
        (None, _) => {
            "None of them can leave this machine: no destination is configured.".to_owned()
        }
    };
    format!(
        "JMo Security keeps anonymous usage counts: which tools ran, how long (as a range), whether they failed.\n\
         Never names, paths, findings or any text. {where_to}\n\
         What is kept:   jmo-telemetry info, jmo-telemetry spool list\n\
         To opt out:     jmo-telemetry disable, or JMO_TELEMETRY_DISABLE=1, or DO_NOT_TRACK=1,\n\
         \x20               or `telemetry: {{enabled: false}}` in jmo.yml. In CI it is off."
    )
}
