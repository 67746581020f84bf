//! Consent: a pure decision from plain data, and the code that gathers this data. Everything that
//! records or uploads asks here first (docs/design.md, P4).

pub(crate) mod jmo_yml;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::env::Environment;
use crate::files;
use crate::home::{Choice, Home};
use jmo_yml::{Problem, Setting};

/// If any of these is set and not empty, the program runs in a CI system.
pub const CI_VARIABLES: [&str; 9] = [
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "BUILD_ID",
    "CIRCLECI",
    "TRAVIS",
    "TF_BUILD",
    "BITBUCKET_PIPELINE_UUID",
];

/// The facts that the decision depends on.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `JMO_TELEMETRY_DISABLE`, if set.
    pub disable: Option<String>,
    /// `DO_NOT_TRACK`, if set.
    pub do_not_track: Option<String>,
    /// The first of [`CI_VARIABLES`] that is set.
    pub ci: Option<&'static str>,
    /// What `jmo.yml` says, and its path, if there is one.
    pub config: Option<(PathBuf, Result<Setting, String>)>,
    /// What `consent.json` says.
    pub choice: Option<Result<Choice, String>>,
}

/// The decision, and the rule that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether events may be recorded and sent.
    pub enabled: bool,
    /// The rule: a variable, `CI`, `jmo.yml`, `consent.json` or `default`.
    pub rule: &'static str,
    /// What was found, as text for people.
    pub reason: String,
}

impl Decision {
    fn no(rule: &'static str, reason: impl Into<String>) -> Self {
        Self {
            enabled: false,
            rule,
            reason: reason.into(),
        }
    }

    fn yes(rule: &'static str, reason: impl Into<String>) -> Self {
        Self {
            enabled: true,
            rule,
            reason: reason.into(),
        }
    }
}

/// Decides whether telemetry is enabled. The first rule that matches wins, except that a "no" in
/// either `jmo.yml` or `consent.json` wins over a "yes" in the other. Anything that can't be
/// understood is a "no".
///
/// ```
/// use jmo_telemetry::consent::{Facts, decide};
///
/// assert!(decide(&Facts::default()).enabled);
/// let facts = Facts { ci: Some("GITLAB_CI"), ..Facts::default() };
/// assert_eq!(decide(&facts).rule, "CI");
/// ```
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    if facts.disable.as_deref().is_some_and(means_disable) {
        return Decision::no("JMO_TELEMETRY_DISABLE", "JMO_TELEMETRY_DISABLE is set");
    }
    if facts
        .do_not_track
        .as_deref()
        .is_some_and(means_do_not_track)
    {
        return Decision::no("DO_NOT_TRACK", "DO_NOT_TRACK is set");
    }
    if let Some(variable) = facts.ci {
        return Decision::no("CI", format!("{variable} is set, so this is a CI run"));
    }
    let config = facts
        .config
        .as_ref()
        .and_then(|(path, said)| by_config(path, said));
    let choice = facts.choice.as_ref().map(by_choice);
    match (config, choice) {
        (Some(config), _) if !config.enabled => config,
        (_, Some(choice)) if !choice.enabled => choice,
        (Some(config), _) => config,
        (None, Some(choice)) => choice,
        (None, None) => Decision::yes("default", "nothing opts out"),
    }
}

/// True for `1`, `true`, `yes`, `on` and any unknown value; false for an empty value, `0`, `false`,
/// `no`, `off`.
fn means_disable(value: &str) -> bool {
    !["", "0", "false", "no", "off"].contains(&value.trim().to_ascii_lowercase().as_str())
}

fn means_do_not_track(value: &str) -> bool {
    ["1", "true"].contains(&value.trim().to_ascii_lowercase().as_str())
}

fn by_config(path: &Path, said: &Result<Setting, String>) -> Option<Decision> {
    let file = path.display();
    match said {
        Ok(Setting::Unset) => None,
        Ok(Setting::Enabled(place)) => Some(Decision::yes(
            "jmo.yml",
            format!("{file}, {place} enables it"),
        )),
        Ok(Setting::Disabled(place)) => Some(Decision::no(
            "jmo.yml",
            format!("{file}, {place} disables it"),
        )),
        Err(problem) => Some(Decision::no("jmo.yml", format!("{file}: {problem}"))),
    }
}

fn by_choice(choice: &Result<Choice, String>) -> Decision {
    match choice {
        Ok(Choice { enabled: true, at }) => Decision::yes(
            "consent.json",
            format!("you enabled it on {}", at.format("%Y-%m-%d")),
        ),
        Ok(Choice { enabled: false, at }) => Decision::no(
            "consent.json",
            format!("you disabled it on {}", at.format("%Y-%m-%d")),
        ),
        Err(problem) => Decision::no("consent.json", problem.as_str()),
    }
}

/// Where to find the facts. It can be asked repeatedly, and reads the files each time, because the
/// user may disable telemetry at any moment.
#[derive(Debug, Clone)]
pub struct Consent {
    environment: Environment,
    home: Home,
    config: PathBuf,
    config_is_asked_for: bool,
}

impl Consent {
    /// Finds the facts in this environment, this home, and `jmo.yml` (the one that the user names,
    /// else `./jmo.yml`).
    #[must_use]
    pub fn new(environment: &Environment, home: &Home, config: Option<&Path>) -> Self {
        Self {
            environment: environment.clone(),
            home: home.clone(),
            config: config.unwrap_or(Path::new("jmo.yml")).to_owned(),
            config_is_asked_for: config.is_some(),
        }
    }

    /// The decision at this moment.
    #[must_use]
    pub fn now(&self) -> Decision {
        decide(&self.facts())
    }

    /// Whether the environment alone disables telemetry, whatever the files say.
    #[must_use]
    pub fn is_switched_off(&self) -> bool {
        !decide(&self.environment()).enabled
    }

    /// What the environment says.
    fn environment(&self) -> Facts {
        let variable = |name| self.environment.get(name).map(str::to_owned);
        Facts {
            disable: variable("JMO_TELEMETRY_DISABLE"),
            do_not_track: variable("DO_NOT_TRACK"),
            ci: CI_VARIABLES
                .into_iter()
                .find(|name| self.environment.get(name).is_some()),
            ..Facts::default()
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            config: self.config().map(|said| (self.config.clone(), said)),
            choice: self.home.choice().transpose(),
            ..self.environment()
        }
    }

    fn config(&self) -> Option<Result<Setting, String>> {
        match files::read_given(&self.config, jmo_yml::MAX_BYTES as u64) {
            Ok(text) => Some(
                jmo_yml::telemetry_enabled(&text).map_err(|problem: Problem| problem.to_string()),
            ),
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && !self.config_is_asked_for
                    // A dangling symbolic link counts as a file that can't be read.
                    && self.config.symlink_metadata().is_err() =>
            {
                None
            }
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                Some(Err(Problem::TooLarge.to_string()))
            }
            Err(error) => Some(Err(format!("can't be read ({error})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choice(enabled: bool) -> Option<Result<Choice, String>> {
        Some(Ok(Choice {
            enabled,
            at: "2026-11-22T10:00:00Z".parse().expect("a time"),
        }))
    }

    fn config(said: Result<Setting, String>) -> Option<(PathBuf, Result<Setting, String>)> {
        Some((PathBuf::from("jmo.yml"), said))
    }

    fn place() -> jmo_yml::Place {
        jmo_yml::Place {
            line: 3,
            column: 12,
        }
    }

    #[test]
    fn telemetry_is_enabled_by_default() {
        assert_eq!(
            decide(&Facts::default()),
            Decision::yes("default", "nothing opts out")
        );
    }

    #[test]
    fn the_first_rule_that_matches_names_itself() {
        let all = Facts {
            disable: Some("YES".into()),
            do_not_track: Some("1".into()),
            ci: Some("GITLAB_CI"),
            config: config(Ok(Setting::Disabled(place()))),
            choice: choice(false),
        };
        assert_eq!(decide(&all).rule, "JMO_TELEMETRY_DISABLE");
        let next = Facts {
            disable: Some("off".into()),
            ..all
        };
        assert_eq!(decide(&next).rule, "DO_NOT_TRACK");
        let next = Facts {
            do_not_track: Some("0".into()),
            ..next
        };
        assert_eq!(
            decide(&next),
            Decision::no("CI", "GITLAB_CI is set, so this is a CI run")
        );
        let next = Facts { ci: None, ..next };
        assert_eq!(decide(&next).rule, "jmo.yml");
        let next = Facts {
            config: None,
            ..next
        };
        assert_eq!(decide(&next).rule, "consent.json");
    }

    #[test]
    fn a_no_in_either_file_wins() {
        let both = |said, enabled| {
            decide(&Facts {
                config: config(Ok(said)),
                choice: choice(enabled),
                ..Facts::default()
            })
        };
        assert_eq!(
            (
                both(Setting::Enabled(place()), false).enabled,
                both(Setting::Enabled(place()), false).rule
            ),
            (false, "consent.json")
        );
        assert_eq!(
            (
                both(Setting::Disabled(place()), true).enabled,
                both(Setting::Disabled(place()), true).rule
            ),
            (false, "jmo.yml")
        );
        assert_eq!(
            (
                both(Setting::Enabled(place()), true).enabled,
                both(Setting::Enabled(place()), true).rule
            ),
            (true, "jmo.yml")
        );
        assert_eq!(both(Setting::Unset, true).rule, "consent.json");
    }

    #[test]
    fn anything_that_cannot_be_understood_is_a_no() {
        let facts = Facts {
            config: config(Err("line 2".into())),
            choice: choice(true),
            ..Facts::default()
        };
        assert!(!decide(&facts).enabled);
        assert!(
            !decide(&Facts {
                choice: Some(Err("torn".into())),
                ..Facts::default()
            })
            .enabled
        );
        assert!(
            !decide(&Facts {
                disable: Some("please".into()),
                ..Facts::default()
            })
            .enabled
        );
    }

    proptest! {
        #[test]
        fn no_further_fact_turns_a_no_into_a_yes(
            disable in proptest::option::of("[01a-z]{0,5}"), track in proptest::option::of("[01a-z]{0,5}"), ci: bool,
            said in 0usize..4, chosen in 0usize..4,
        ) {
            let config = [None, config(Ok(Setting::Unset)), config(Ok(Setting::Enabled(place()))), config(Ok(Setting::Disabled(place())))][said].clone();
            let chosen = [None, choice(true), choice(false), Some(Err("torn".into()))][chosen].clone();
            let facts = Facts { disable, do_not_track: track, ci: ci.then_some("CI"), config, choice: chosen };
            let alone = [
                Facts { disable: facts.disable.clone(), ..Facts::default() },
                Facts { do_not_track: facts.do_not_track.clone(), ..Facts::default() },
                Facts { ci: facts.ci, ..Facts::default() },
                Facts { config: facts.config.clone(), ..Facts::default() },
                Facts { choice: facts.choice.clone(), ..Facts::default() },
            ];
            prop_assert_eq!(decide(&facts).enabled, alone.iter().all(|fact| decide(fact).enabled));
        }
    }
}
