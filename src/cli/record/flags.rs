//! The flags of `record`, and which of them is which field of which event.

use clap::Args as ClapArgs;

use crate::cli::exit::{Code, Failure};
use crate::event::{EVENT_NAMES, EventError};
use crate::json::{Object, Value};

/// The fields of all events; which of them belong to which event is in [`FLAGS`].
#[derive(Debug, Default, PartialEq, ClapArgs)]
#[command(next_help_heading = "Fields")]
pub(super) struct FieldArgs {
    /// cli, docker or wizard
    #[arg(long)]
    pub(super) mode: Option<String>,
    /// fast, slim, balanced, deep, full; any other is custom
    #[arg(long)]
    pub(super) profile: Option<String>,
    /// A tool; repeat for more
    #[arg(long)]
    pub(super) tool: Vec<String>,
    /// How many repositories
    #[arg(long, value_name = "N")]
    pub(super) repos: Option<i64>,
    /// How many container images
    #[arg(long, value_name = "N")]
    pub(super) images: Option<i64>,
    /// How many web applications
    #[arg(long, value_name = "N")]
    pub(super) urls: Option<i64>,
    /// How many infrastructure-as-code files
    #[arg(long, value_name = "N")]
    pub(super) iac: Option<i64>,
    /// How many GitLab projects
    #[arg(long, value_name = "N")]
    pub(super) gitlab: Option<i64>,
    /// How many Kubernetes clusters
    #[arg(long, value_name = "N")]
    pub(super) k8s: Option<i64>,
    /// The scanner runs in CI
    #[arg(long)]
    pub(super) ci_detected: bool,
    /// More than one kind of target [default: by the counts]
    #[arg(long)]
    pub(super) multi_target: bool,
    /// Compliance mapping is used
    #[arg(long)]
    pub(super) compliance: bool,
    /// How often this machine scans: first_time, weekly, daily [default: counted]
    #[arg(long, value_name = "HINT")]
    pub(super) frequency: Option<String>,
    /// How long it took, e.g. 412s or 7m 30s; stored as a bucket
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(super) duration: Option<f64>,
    /// Tools that succeeded
    #[arg(long, value_name = "N")]
    pub(super) succeeded: Option<i64>,
    /// Tools, or policies, that failed
    #[arg(long, value_name = "N")]
    pub(super) failed: Option<i64>,
    /// How many findings; stored as a bucket
    #[arg(long, value_name = "N")]
    pub(super) findings: Option<i64>,
    /// timeout, crash or non_zero_exit
    #[arg(long, value_name = "TYPE")]
    pub(super) failure_type: Option<String>,
    /// The tool's exit code
    #[arg(long, value_name = "N")]
    pub(super) exit_code: Option<i64>,
    /// docker or native
    #[arg(long, value_name = "MODE")]
    pub(super) execution_mode: Option<String>,
    /// makefile, shell or gha
    #[arg(long)]
    pub(super) artifact: Option<String>,
    /// A report format; repeat for more
    #[arg(long)]
    pub(super) format: Vec<String>,
    /// Findings were suppressed
    #[arg(long)]
    pub(super) suppressions: bool,
    /// A policy; repeat for more
    #[arg(long)]
    pub(super) policy: Vec<String>,
    /// How many violations; stored as a bucket
    #[arg(long, value_name = "N")]
    pub(super) violations: Option<i64>,
    /// How long the evaluation took; stored as a bucket
    #[arg(long, value_name = "MS")]
    pub(super) evaluation_ms: Option<f64>,
    /// Policies that passed
    #[arg(long, value_name = "N")]
    pub(super) passed: Option<i64>,
}

/// Seconds of `412`, `412s`, `7m 30s`.
pub(super) fn seconds(text: &str) -> Result<f64, &'static str> {
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
    pub(super) fn metadata(self, name: &str) -> Result<Object<'static>, Failure> {
        let column = EVENT_NAMES
            .iter()
            .position(|event| *event == name)
            .ok_or(EventError::Unknown)?;
        let mut metadata = Object::default();
        let mut targets = Object::default();
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
            metadata.put("target_types", Value::Object(targets));
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
