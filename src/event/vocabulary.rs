//! The closed vocabularies and buckets: the only words that an event can hold.

use serde::{Serialize, Serializer};

use super::table::Unit;

/// A type whose values are a fixed list of words.
pub trait Vocabulary: Sized + Copy + 'static {
    /// Every word, in the order in which it is shown.
    const WORDS: &'static [&'static str];
    /// The value that replaces a word outside the list; `None` makes such a word an error.
    const ELSE: Option<Self>;
    /// The word of [`Vocabulary::ELSE`].
    const OTHERWISE: Option<&'static str>;
    /// The word itself, as it is stored and sent.
    fn word(self) -> &'static str;
    /// The value of a word in the list.
    fn of(word: &str) -> Option<Self>;
}

/// A vocabulary of ranges of numbers: only the range is stored, never the number.
pub trait Bucket: Vocabulary {
    /// The field for the raw number, e.g. `duration_seconds`.
    const RAW_FIELD: &'static str;
    /// The unit of that number.
    const UNIT: Unit;
    /// The bucket of a number; a negative number counts as zero.
    fn holding(number: f64) -> Self;
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident $(else $other:ident)? { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = concat!("`", $word, "`")] $variant),+ }

        impl Vocabulary for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            const ELSE: Option<Self> = { #[allow(unused_mut, unused_assignments)] let mut other = None; $(other = Some(Self::$other);)? other };
            const OTHERWISE: Option<&'static str> = match Self::ELSE {
                Some(other) => Some(Self::WORDS[other as usize]),
                None => None,
            };
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

macro_rules! bucket {
    ($(#[$doc:meta])* $name:ident from $raw:literal in $unit:ident { $($variant:ident = $word:literal if $holds:expr),+ ; $last:ident = $last_word:literal }) => {
        vocabulary! { $(#[$doc])* $name { $($variant = $word,)+ $last = $last_word } }
        impl Bucket for $name {
            const RAW_FIELD: &'static str = $raw;
            const UNIT: Unit = Unit::$unit;
            fn holding(number: f64) -> Self {
                $(if ($holds)(number) { return Self::$variant; })+
                Self::$last
            }
        }
    };
}

vocabulary! {
    /// How the scanner was started.
    Mode { Cli = "cli", Docker = "docker", Wizard = "wizard" }
}

vocabulary! {
    /// The scan profile; a profile that the user defined is `custom`.
    Profile else Custom {
        Fast = "fast", Slim = "slim", Balanced = "balanced", Deep = "deep", Full = "full", Custom = "custom",
    }
}

vocabulary! {
    /// A tool that the scanner can run; an unknown one is `other`.
    Tool else Other {
        Trufflehog = "trufflehog", Noseyparker = "noseyparker", Semgrep = "semgrep",
        SemgrepSecrets = "semgrep-secrets", Bandit = "bandit", Syft = "syft", Trivy = "trivy",
        TrivyRbac = "trivy-rbac", Checkov = "checkov", CheckovCicd = "checkov-cicd", Hadolint = "hadolint",
        Zap = "zap", Nuclei = "nuclei", Prowler = "prowler", Kubescape = "kubescape", Akto = "akto",
        Scancode = "scancode", Cdxgen = "cdxgen", Gosec = "gosec", OsvScanner = "osv-scanner", Yara = "yara",
        Grype = "grype", Horusec = "horusec", DependencyCheck = "dependency-check", Falco = "falco",
        Aflplusplus = "afl++", Mobsf = "mobsf", Lynis = "lynis", Opa = "opa", Shellcheck = "shellcheck",
        Shfmt = "shfmt", Ruff = "ruff", Falcoctl = "falcoctl", Gitleaks = "gitleaks", Tfsec = "tfsec",
        Other = "other",
    }
}

vocabulary! {
    /// A policy that ships with the scanner; a policy that the user defined is `custom`.
    Policy else Custom {
        ZeroSecrets = "zero-secrets", OwaspTop10 = "owasp-top-10", PciDss = "pci-dss",
        ProductionHardening = "production-hardening", HipaaCompliance = "hipaa-compliance", Custom = "custom",
    }
}

vocabulary! {
    /// A report format; an unknown one is `other`.
    Format else Other {
        Json = "json", Md = "md", Yaml = "yaml", Html = "html", SimpleHtml = "simple-html", Sarif = "sarif",
        Csv = "csv", Other = "other",
    }
}

vocabulary! {
    /// How a tool failed.
    FailureType { Timeout = "timeout", Crash = "crash", NonZeroExit = "non_zero_exit" }
}

vocabulary! {
    /// How the wizard ran the scan.
    ExecutionMode { Docker = "docker", Native = "native" }
}

vocabulary! {
    /// What the wizard wrote for reuse.
    Artifact { Makefile = "makefile", Shell = "shell", Gha = "gha" }
}

vocabulary! {
    /// How often this machine scans, guessed from `scan-count`.
    ScanFrequency { FirstTime = "first_time", Weekly = "weekly", Daily = "daily" }
}

vocabulary! {
    /// The operating system.
    Platform { Linux = "Linux", MacOs = "macOS", Windows = "Windows" }
}

bucket! {
    /// A duration in seconds.
    DurationBucket from "duration_seconds" in Seconds {
        UnderFive = "<5min" if |n| n < 300.0,
        FiveToFifteen = "5-15min" if |n| n < 900.0,
        FifteenToThirty = "15-30min" if |n| n < 1800.0;
        OverThirty = ">30min"
    }
}

bucket! {
    /// A count of findings; each range includes its upper bound.
    FindingsBucket from "findings" in Things {
        None = "0" if |n| n <= 0.0,
        ToTen = "1-10" if |n| n <= 10.0,
        ToHundred = "10-100" if |n| n <= 100.0,
        ToThousand = "100-1000" if |n| n <= 1000.0;
        OverThousand = ">1000"
    }
}

bucket! {
    /// A count of scan targets; `1` also holds 0.
    TargetsBucket from "total_targets" in Things {
        One = "1" if |n| n <= 1.0,
        ToFive = "2-5" if |n| n <= 5.0,
        ToTen = "6-10" if |n| n <= 10.0,
        ToFifty = "11-50" if |n| n <= 50.0;
        OverFifty = ">50"
    }
}

bucket! {
    /// A count of policy violations; each range includes its upper bound.
    ViolationsBucket from "violations" in Things {
        None = "0" if |n| n <= 0.0,
        ToFive = "1-5" if |n| n <= 5.0,
        ToTwenty = "5-20" if |n| n <= 20.0,
        ToHundred = "20-100" if |n| n <= 100.0;
        OverHundred = ">100"
    }
}

bucket! {
    /// An evaluation time in milliseconds.
    EvaluationTimeBucket from "evaluation_ms" in Milliseconds {
        UnderFifty = "<50ms" if |n| n < 50.0,
        ToHundred = "50-100ms" if |n| n < 100.0,
        ToFiveHundred = "100-500ms" if |n| n < 500.0;
        OverFiveHundred = ">500ms"
    }
}

impl ScanFrequency {
    /// The hint for the `count`-th scan, counted from 1: the first, the 2nd to 10th, or a later one.
    #[must_use]
    pub(crate) fn of_scan(count: u64) -> Self {
        match count {
            0 | 1 => Self::FirstTime,
            2..=10 => Self::Weekly,
            _ => Self::Daily,
        }
    }
}

impl Platform {
    /// The platform this program was built for.
    #[must_use]
    pub(crate) const fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_vendor = "apple") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_its_own_value() {
        fn check<V: Vocabulary>() {
            for word in V::WORDS {
                assert_eq!(V::of(word).map(V::word), Some(*word));
            }
            assert!(V::of("no such word").is_none());
        }
        check::<Mode>();
        check::<Profile>();
        check::<Tool>();
        check::<Policy>();
        check::<Format>();
        check::<ScanFrequency>();
        check::<DurationBucket>();
    }

    #[test]
    fn a_number_falls_into_the_documented_bucket() {
        let duration = |n| DurationBucket::holding(n).word();
        assert_eq!(
            [duration(-1.0), duration(299.9), duration(300.0)],
            ["<5min", "<5min", "5-15min"]
        );
        assert_eq!(
            [duration(899.0), duration(900.0), duration(1800.0)],
            ["5-15min", "15-30min", ">30min"]
        );
        let findings = |n| FindingsBucket::holding(n).word();
        assert_eq!(
            [findings(-3.0), findings(0.0), findings(1.0)],
            ["0", "0", "1-10"]
        );
        assert_eq!(
            [
                findings(10.0),
                findings(11.0),
                findings(1000.0),
                findings(1001.0)
            ],
            ["1-10", "10-100", "100-1000", ">1000"]
        );
        let targets = |n| TargetsBucket::holding(n).word();
        assert_eq!(
            [
                targets(0.0),
                targets(1.0),
                targets(2.0),
                targets(50.0),
                targets(51.0)
            ],
            ["1", "1", "2-5", "11-50", ">50"]
        );
        let violations = |n| ViolationsBucket::holding(n).word();
        assert_eq!(
            [
                violations(0.0),
                violations(5.0),
                violations(6.0),
                violations(101.0)
            ],
            ["0", "1-5", "5-20", ">100"]
        );
        let time = |n| EvaluationTimeBucket::holding(n).word();
        assert_eq!(
            [time(49.9), time(50.0), time(100.0), time(500.0)],
            ["<50ms", "50-100ms", "100-500ms", ">500ms"]
        );
    }

    #[test]
    fn the_hint_follows_the_count_of_scans() {
        let hint = |n| ScanFrequency::of_scan(n).word();
        assert_eq!(
            [hint(1), hint(2), hint(10), hint(11)],
            ["first_time", "weekly", "weekly", "daily"]
        );
    }
}
