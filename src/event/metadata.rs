//! The metadata of the six events: each field with its type, which is also its rule.

use serde::Serialize;

use super::fields::{Bucketed, Count, Derived, Field, FieldError, left_over};
use super::vocabulary::{
    Artifact, Bucket as _, DurationBucket, EvaluationTimeBucket, ExecutionMode, FailureType,
    FindingsBucket, Format, Mode, Policy, Profile, ScanFrequency, TargetsBucket, Tool,
    ViolationsBucket,
};
use crate::json::{Object, Value};

/// One field of an event, for `info`.
#[derive(Debug, Clone, Serialize)]
pub struct FieldInfo {
    /// The field's name.
    pub name: &'static str,
    /// The values it can have.
    pub values: String,
}

/// A struct whose fields are read by name, each by the rules of its type, so that reading, storing
/// and describing an event can't drift apart.
macro_rules! metadata {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),+ }

        impl $name {
            pub(super) fn read(fields: &mut Object<'_>, dropped: &mut Vec<String>) -> Result<Self, FieldError> {
                Ok(Self { $($field: <$type as Field>::take(fields, stringify!($field), dropped)?),+ })
            }
            pub(super) fn describe() -> Vec<FieldInfo> {
                vec![$(FieldInfo { name: stringify!($field), values: <$type as Field>::describe() }),+]
            }
        }
    };
}

metadata! {
    /// How many targets of each kind; a kind that is not named counts 0.
    TargetTypes {
        /// Repositories.
        repos: OrZero,
        /// Container images.
        images: OrZero,
        /// Web applications.
        urls: OrZero,
        /// Infrastructure-as-code files.
        iac: OrZero,
        /// GitLab projects.
        gitlab: OrZero,
        /// Kubernetes clusters.
        k8s: OrZero,
    }
}

metadata! {
    /// A scan began.
    ScanStarted {
        /// How the scanner was started.
        mode: Mode,
        /// The profile.
        profile: Profile,
        /// The tools that will run.
        tools: Vec<Tool>,
        /// Targets by kind.
        target_types: TargetTypes,
        /// Whether the scanner thinks it runs in CI.
        ci_detected: bool,
        /// More than one kind of target; worked out from `target_types` when not given.
        multi_target_scan: Derived<bool>,
        /// Whether compliance mapping is used.
        compliance_usage: bool,
        /// All targets; worked out from `target_types` when not given.
        total_targets_bucket: Derived<Bucketed<TargetsBucket>>,
        /// How often this machine scans; filled in from `scan-count` unless the caller brings it.
        scan_frequency_hint: Option<ScanFrequency>,
    }
}

metadata! {
    /// A scan ended.
    ScanCompleted {
        /// How the scanner was started.
        mode: Mode,
        /// The profile.
        profile: Profile,
        /// How long it took.
        duration_bucket: Bucketed<DurationBucket>,
        /// Tools that succeeded.
        tools_succeeded: Count,
        /// Tools that failed.
        tools_failed: Count,
        /// Findings.
        total_findings_bucket: Bucketed<FindingsBucket>,
    }
}

metadata! {
    /// A tool failed.
    ToolFailed {
        /// The tool.
        tool: Tool,
        /// How it failed.
        failure_type: FailureType,
        /// Its exit code, if it had one.
        exit_code: Option<i64>,
        /// The profile.
        profile: Profile,
    }
}

metadata! {
    /// The wizard ended.
    WizardCompleted {
        /// The profile that was chosen.
        profile_selected: Profile,
        /// How the scan runs.
        execution_mode: ExecutionMode,
        /// What was written for reuse.
        artifact_generated: Option<Artifact>,
        /// How long the wizard took.
        duration_bucket: Bucketed<DurationBucket>,
    }
}

metadata! {
    /// Reports were written.
    ReportGenerated {
        /// Their formats.
        output_formats: Vec<Format>,
        /// Findings.
        findings_bucket: Bucketed<FindingsBucket>,
        /// Whether findings were suppressed.
        suppressions_used: bool,
        /// Whether compliance mapping is used.
        compliance_enabled: bool,
    }
}

metadata! {
    /// Policies were evaluated.
    PolicyEvaluated {
        /// How many policies; the length of the list when not given.
        policy_count: Derived<Count>,
        /// Violations.
        violations_bucket: Bucketed<ViolationsBucket>,
        /// How long it took.
        evaluation_time_bucket: Bucketed<EvaluationTimeBucket>,
        /// The policies.
        policies: Vec<Policy>,
        /// Policies that passed.
        passed_count: Count,
        /// Policies that failed.
        failed_count: Count,
    }
}

/// A count that is 0 when it is not given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OrZero(pub Count);

impl Field for OrZero {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        dropped: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        match Count::take(fields, name, dropped) {
            Err(FieldError::Missing(_)) => Ok(Self(0)),
            other => other.map(Self),
        }
    }
    fn describe() -> String {
        Count::describe()
    }
}

impl Field for TargetTypes {
    fn take(
        fields: &mut Object<'_>,
        name: &'static str,
        dropped: &mut Vec<String>,
    ) -> Result<Self, FieldError> {
        match fields.take(name).ok_or(FieldError::Missing(name))? {
            Value::Object(mut counts) => {
                let read = Self::read(&mut counts, dropped)?;
                dropped.extend(left_over(&counts).map(|field| format!("{name}.{field}")));
                Ok(read)
            }
            _ => Err(FieldError::Wrong {
                name,
                expected: "an object of counts".to_owned(),
            }),
        }
    }
    fn describe() -> String {
        let kinds: Vec<_> = Self::describe().into_iter().map(|kind| kind.name).collect();
        format!("counts of {}", kinds.join(", "))
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

impl ScanStarted {
    pub(super) fn derive(&mut self) {
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
    pub(super) fn derive(&mut self) {
        let listed = Count::try_from(self.policies.len()).unwrap_or(Count::MAX);
        self.policy_count.0.get_or_insert(listed);
    }
}
