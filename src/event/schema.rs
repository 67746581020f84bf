//! The declaration of every event: the one place that defines its name and its fields.
//!
//! An event is `Type = "name", "an example of its flags" { fields }`, and a field is `name: Type =
//! "--flag <VALUE>"` with its description above it. The type of a field defines which input it
//! accepts, which values it can hold, and whether it is required (see [`super::fields`]). The Rust
//! types, the subcommands of `record` with their flags and help, `info`, the JSON Schema and
//! `docs/events.md` are all generated from this. To add a field, add its line here, with its type in
//! [`super::fields::Later`].

use serde::Serialize;

#[allow(unused_imports, reason = "for the first field that comes later")]
use super::fields::Later;
use super::fields::{
    Bucketed, Count, Counted, Derived, Dropped, ExitCode, Field, FieldError, OrZero, Taken,
    all_read, left_over, wrong,
};
use super::table::{EventSpec, FieldSpec, Kind};
use super::vocabulary::{
    Artifact, Bucket as _, DurationBucket, EvaluationTimeBucket, ExecutionMode, FailureType,
    FindingsBucket, Format, Mode, Policy, Profile, ScanFrequency, TargetsBucket, Tool,
    ViolationsBucket,
};
use crate::json::{Object, Value};

/// A struct whose fields are read by name, each according to its type.
macro_rules! fields {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $help:literal])+ $field:ident : $type:ty $(= $flag:literal)?),+ $(,)?
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct $name { $(
            $(#[doc = $help])+
            #[serde(skip_serializing_if = "Field::is_left_out")]
            pub $field: $type
        ),+ }

        impl $name {
            /// Its fields.
            pub(crate) const FIELDS: &'static [FieldSpec] = &[$(FieldSpec {
                name: stringify!($field),
                help: concat!($($help),+).trim_ascii(),
                flag: fields!(@optional $($flag)?),
                kind: <$type as Field>::KIND,
                required: <$type as Field>::REQUIRED,
                later: <$type as Field>::LATER,
            }),+];

            /// Takes its fields out of `object`, or returns everything that is wrong with them.
            fn take_all(object: &mut Object<'_>, dropped: &mut Vec<String>) -> Result<Self, Vec<FieldError>> {
                $(let $field = <$type as Field>::take(object, stringify!($field), dropped);)+
                match ($($field),+ ,) {
                    ($(Ok($field)),+ ,) => Ok(Self { $($field),+ }),
                    ($($field),+ ,) => Err(all_read([$($field.err()),+])),
                }
            }
        }
    };
    (@optional) => { None };
    (@optional $flag:literal) => { Some($flag) };
}

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $event:literal, $example:literal { $($fields:tt)+ })+) => {
        $(fields! { $(#[doc = $doc])+ $name { $($fields)+ } })+

        /// What happened. The JSON form of the variant's content is the event's `metadata`.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Event { $(#[doc = concat!("`", $event, "`")] $name($name)),+ }

        /// Every event.
        pub(crate) static EVENTS: &[EventSpec] = &[$(EventSpec {
            name: $event,
            help: concat!($($doc),+).trim_ascii(),
            example: $example,
            fields: $name::FIELDS,
        }),+];

        impl Event {
            /// The event's name.
            #[must_use]
            pub(crate) fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $event),+ }
            }

            /// Reads the metadata of the event called `name`; `None` when there is no such event.
            pub(super) fn take(
                name: &str,
                metadata: &mut Object<'_>,
                dropped: &mut Vec<String>,
            ) -> Option<Result<Self, Vec<FieldError>>> {
                match name {
                    $($event => Some($name::take_all(metadata, dropped).map(Self::$name)),)+
                    _ => None,
                }
            }
        }
    };
}

events! {
    /// A scan begins
    ScanStarted = "scan.started",
    "--mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1" {
        /// How the scanner was started
        mode: Mode = "--mode <MODE>",
        /// The profile of the scan
        profile: Profile = "--profile <PROFILE>",
        /// The tools that will run; repeat the flag or join them with commas
        tools: Vec<Tool> = "--tool <TOOL>",
        /// How many targets of each kind
        target_types: TargetTypes,
        /// The scanner runs in CI
        ci_detected: bool = "--ci-detected",
        /// There is more than one kind of target; by default the counts say so
        multi_target_scan: Derived<bool> = "--multi-target",
        /// Compliance mapping is used
        compliance_usage: bool = "--compliance",
        /// How many targets there are, as a range; by default the sum of the counts
        total_targets_bucket: Derived<Bucketed<TargetsBucket>> = "--total-targets <N>",
        /// How often this machine scans; by default the program counts
        scan_frequency_hint: Option<ScanFrequency> = "--frequency <HINT>",
    }

    /// A scan ends
    ScanCompleted = "scan.completed",
    "--mode cli --profile fast --duration 412s --succeeded 8 --failed 0 --findings 37" {
        /// How the scanner was started
        mode: Mode = "--mode <MODE>",
        /// The profile of the scan
        profile: Profile = "--profile <PROFILE>",
        /// How long it took, e.g. 412s or 7m30s; stored as a range
        duration_bucket: Bucketed<DurationBucket> = "--duration <TIME>",
        /// How many tools succeeded
        tools_succeeded: Count = "--succeeded <N>",
        /// How many tools failed
        tools_failed: Count = "--failed <N>",
        /// How many findings there are; stored as a range
        total_findings_bucket: Bucketed<FindingsBucket> = "--findings <N>",
    }

    /// A tool fails
    ToolFailed = "tool.failed",
    "--tool trivy --failure-type timeout --profile fast" {
        /// The tool
        tool: Tool = "--tool <TOOL>",
        /// How it failed
        failure_type: FailureType = "--failure-type <TYPE>",
        /// Its exit code
        exit_code: Option<ExitCode> = "--exit-code <N>",
        /// The profile of the scan
        profile: Profile = "--profile <PROFILE>",
    }

    /// The wizard ends
    WizardCompleted = "wizard.completed",
    "--profile balanced --execution-mode docker --artifact makefile --duration 120s" {
        /// The profile that was chosen
        profile_selected: Profile = "--profile <PROFILE>",
        /// How the scan runs
        execution_mode: ExecutionMode = "--execution-mode <MODE>",
        /// What the wizard wrote for the next time
        artifact_generated: Option<Artifact> = "--artifact <ARTIFACT>",
        /// How long the wizard took, e.g. 120s or 2m; stored as a range
        duration_bucket: Bucketed<DurationBucket> = "--duration <TIME>",
    }

    /// Reports are written
    ReportGenerated = "report.generated",
    "--format json --format sarif --findings 120 --suppressions --compliance" {
        /// The formats of the reports; repeat the flag or join them with commas
        output_formats: Vec<Format> = "--format <FORMAT>",
        /// How many findings there are; stored as a range
        findings_bucket: Bucketed<FindingsBucket> = "--findings <N>",
        /// Some findings are suppressed
        suppressions_used: bool = "--suppressions",
        /// Compliance mapping is used
        compliance_enabled: bool = "--compliance",
    }

    /// Policies are evaluated
    PolicyEvaluated = "policy.evaluated",
    "--policy pci-dss --violations 3 --evaluation-ms 75 --passed 1 --failed 2" {
        /// How many policies there are; by default as many as are named
        policy_count: Derived<Count> = "--policy-count <N>",
        /// How many violations there are; stored as a range
        violations_bucket: Bucketed<ViolationsBucket> = "--violations <N>",
        /// How long the evaluation took, in milliseconds; stored as a range
        evaluation_time_bucket: Bucketed<EvaluationTimeBucket> = "--evaluation-ms <MS>",
        /// The policies; repeat the flag or join them with commas
        policies: Counted<Policy> = "--policy <POLICY>",
        /// How many policies passed
        passed_count: Count = "--passed <N>",
        /// How many policies failed
        failed_count: Count = "--failed <N>",
    }
}

fields! {
    /// How many targets of each kind; a kind that is not named counts 0.
    TargetTypes {
        /// How many repositories
        repos: OrZero = "--repos <N>",
        /// How many container images
        images: OrZero = "--images <N>",
        /// How many web applications
        urls: OrZero = "--urls <N>",
        /// How many infrastructure-as-code files
        iac: OrZero = "--iac <N>",
        /// How many GitLab projects
        gitlab: OrZero = "--gitlab <N>",
        /// How many Kubernetes clusters
        k8s: OrZero = "--k8s <N>",
    }
}

impl EventSpec {
    /// The event with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        EVENTS.iter().find(|event| event.name == name)
    }
}

/// The names of all events.
pub(crate) fn event_names() -> impl Iterator<Item = &'static str> {
    EVENTS.iter().map(|event| event.name)
}

impl Field for TargetTypes {
    const KIND: Kind = Kind::Counts(Self::FIELDS);
    const REQUIRED: bool = true;

    fn read(value: Value<'_>, name: &'static str, dropped: Dropped<'_>) -> Taken<Self> {
        let Value::Object(mut counts) = value else {
            return Err(wrong(name, "an object of counts"));
        };
        let read =
            Self::take_all(&mut counts, dropped).map_err(|mut errors| errors.swap_remove(0))?;
        dropped.extend(left_over(&counts).map(|field| format!("{name}.{field}")));
        Ok(read)
    }
}

impl TargetTypes {
    fn counts(&self) -> [Count; 6] {
        [
            self.repos,
            self.images,
            self.urls,
            self.iac,
            self.gitlab,
            self.k8s,
        ]
        .map(|count| count.0)
    }
}

impl Event {
    /// Fills in the values that are derived from other fields.
    pub(super) fn derive(&mut self) {
        match self {
            Self::ScanStarted(event) => event.derive(),
            Self::PolicyEvaluated(event) => event.derive(),
            _ => {}
        }
    }
}

impl ScanStarted {
    fn derive(&mut self) {
        let counts = self.target_types.counts();
        self.multi_target_scan
            .0
            .get_or_insert(counts.iter().filter(|count| **count > 0).count() > 1);
        let total = counts.iter().map(|count| f64::from(*count)).sum();
        self.total_targets_bucket
            .0
            .get_or_insert(Bucketed(TargetsBucket::holding(total)));
    }
}

impl PolicyEvaluated {
    fn derive(&mut self) {
        self.policy_count.0.get_or_insert(self.policies.named);
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "what the macro makes is public everywhere")]
mod tests {
    use super::super::json_schema;
    use super::*;

    fields! {
        /// Metadata with a field that came after the first release.
        Grown {
            /// One of the first release
            tools_failed: Count = "--failed <N>",
            /// One that came later
            findings_bucket: Later<Bucketed<FindingsBucket>> = "--findings <N>",
        }
    }

    fn grown(line: &str) -> Result<Grown, Vec<FieldError>> {
        let mut object = serde_json::from_str(line).expect("an object");
        Grown::take_all(&mut object, &mut Vec::new())
    }

    #[test]
    fn a_line_from_before_a_field_came_stays_what_it_is() {
        for line in [
            r#"{"tools_failed":1}"#,
            r#"{"tools_failed":1,"findings_bucket":"10-100"}"#,
        ] {
            let again = serde_json::to_string(&grown(line).expect("reads")).expect("JSON");
            assert_eq!(again, line);
        }
    }

    #[test]
    fn a_field_that_came_later_follows_the_rules_of_its_type_where_it_is_given() {
        let word = grown(r#"{"tools_failed":1,"findings_bucket":"10-100"}"#);
        assert_eq!(grown(r#"{"tools_failed":1,"findings":37}"#), word);
        assert!(grown(r#"{"tools_failed":1,"findings_bucket":null}"#).is_err());
        assert!(grown(r#"{"findings_bucket":"10-100"}"#).is_err());
    }

    #[test]
    fn the_schema_lets_a_line_be_without_a_field_that_came_later() {
        let schema = serde_json::to_value(json_schema::fields(Grown::FIELDS)).expect("JSON");
        assert_eq!(schema["required"], serde_json::json!(["tools_failed"]));
        assert!(schema["properties"]["findings_bucket"]["enum"].is_array());
        assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    }
}
