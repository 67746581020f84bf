//! A regular flush by the machine's scheduler: a systemd user timer, a crontab line, a launchd
//! agent, or a task of Windows' Task Scheduler.
//!
//! For each of them, a pure function renders a [`Job`] in the scheduler's own format, and its
//! inverse reads the job back: [`systemd`], [`cron`], [`launchd`], [`schtasks`]. [`machine`] writes
//! the files, and only `run` starts other programs.
//!
//! There is one schedule per user. It runs `flush --scheduled`, which stores the time of the run
//! ([`last_run`]), because most schedulers don't tell.

pub(crate) mod cron;
mod error;
mod every;
pub(crate) mod last_run;
pub(crate) mod launchd;
pub(crate) mod machine;
mod program;
mod run;
pub(crate) mod schtasks;
mod spread;
pub(crate) mod systemd;
mod xml;

use serde::Serialize;

pub(crate) use error::ScheduleError;
pub(crate) use every::Every;
pub(crate) use machine::Machine;

use crate::env::Environment;
use crate::home::Home;

/// The supported schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheduler {
    /// A systemd user timer
    Systemd,
    /// A line of the user's crontab
    Cron,
    /// A launchd agent (macOS)
    Launchd,
    /// A task of Task Scheduler (Windows)
    Schtasks,
}

impl Scheduler {
    /// Its name for `--with`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Cron => "cron",
            Self::Launchd => "launchd",
            Self::Schtasks => "schtasks",
        }
    }

    /// The schedulers that this system can have, the preferred one first.
    #[must_use]
    pub(crate) fn of_this_system() -> &'static [Self] {
        if cfg!(windows) {
            &[Self::Schtasks]
        } else if cfg!(target_os = "macos") {
            &[Self::Launchd, Self::Cron]
        } else {
            &[Self::Systemd, Self::Cron]
        }
    }
}

/// What to run, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Job {
    /// The absolute path of this program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The interval.
    #[serde(serialize_with = "every::as_text")]
    pub every: Every,
    /// The time of the first run of a day, in minutes after midnight; less than the interval.
    pub offset: u32,
}

impl Job {
    /// The flush of this home with this program.
    ///
    /// # Errors
    /// When the program will not stay where it is, or a path can't be written into a schedule.
    pub(crate) fn of(
        environment: &Environment,
        home: &Home,
        config: Option<&std::path::Path>,
        every: Every,
    ) -> Result<Self, ScheduleError> {
        let program = plain(&program::stable_path(environment)?)?;
        let mut arguments = vec!["flush".to_owned(), "--scheduled".to_owned()];
        let dir = absolute(home.dir())?;
        if !program::is_default_home(environment, &dir) {
            arguments.extend(["--home".to_owned(), plain(&dir)?]);
        }
        if let Some(config) = config {
            arguments.extend(["--config".to_owned(), plain(&absolute(config)?)?]);
        }
        Ok(Self {
            program,
            arguments,
            every,
            offset: spread::offset(environment, &dir, every),
        })
    }

    /// The home that it flushes, if that is not the default one.
    #[must_use]
    pub(crate) fn home(&self) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == "--home")?;
        self.arguments.get(at + 1).map(String::as_str)
    }
}

fn absolute(path: &std::path::Path) -> Result<std::path::PathBuf, ScheduleError> {
    std::path::absolute(path).map_err(|source| ScheduleError::File {
        operation: "find",
        path: path.to_owned(),
        source,
    })
}

/// A path as text on one line, the only form that fits into a schedule.
fn plain(path: &std::path::Path) -> Result<String, ScheduleError> {
    path.to_str()
        .filter(|text| !text.chars().any(char::is_control))
        .map(str::to_owned)
        .ok_or_else(|| ScheduleError::NotPlain(path.to_owned()))
}

/// Jobs for the property tests of the renderers, with any text that a path can contain and a
/// schedule can express.
#[cfg(test)]
pub(crate) mod arbitrary {
    use proptest::prelude::*;

    use super::{Every, Job};

    fn word() -> impl Strategy<Value = String> {
        // Characters with a special meaning for a scheduler are chosen more often.
        let special = prop::sample::select(
            [
                " ", "%", "$", "'", "\"", "\\", "#", "&", "<", ">", ";", "--", "é", "{", "*", "!",
                "`", "~", "]]>", "\\\\", "%%", "$$", "%h", "${HOME}", "$HOME", "\\n", "-->",
            ]
            .as_slice(),
        )
        .prop_map(str::to_owned);
        prop::collection::vec(prop_oneof![special, "[^\\p{C}]{1,3}"], 0..6)
            .prop_map(|parts| parts.concat())
    }

    /// Any job.
    pub(crate) fn job() -> impl Strategy<Value = Job> {
        let minutes = prop::sample::select(Every::ALL.as_slice());
        (
            word(),
            prop::collection::vec(word(), 0..4),
            minutes,
            any::<u32>(),
        )
            .prop_map(|(program, arguments, minutes, offset)| Job {
                program: format!("/opt/{program}/jmo-telemetry"),
                arguments,
                every: Every::minutes(minutes).expect("one that is allowed"),
                offset: offset % minutes,
            })
    }
}
