//! The schedulers of this machine: what they hold of ours, and how it gets in and out.
//!
//! Whatever fails, what was there before is put back.

mod held;
mod written;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Job, ScheduleError, Scheduler, cron, launchd, run, schtasks, systemd};
use crate::env::Environment;
use crate::error::chain;
use crate::files;
use crate::home::Home;
use crate::home::lock::FileLock;
use crate::limits::SCHEDULER_WAIT;

use self::written::{Written, missing, read};

/// This machine, as one user has it.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    environment: &'a Environment,
    home: &'a Home,
}

/// What `install` would write, and what it would run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Plan {
    /// Whole files.
    pub files: Vec<PlannedFile>,
    /// The line of the crontab.
    pub crontab_line: Option<String>,
    /// Commands, run after the files are written.
    pub commands: Vec<Vec<String>>,
}

/// A file as it would be written.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedFile {
    /// Where.
    pub path: PathBuf,
    /// Its text.
    pub content: String,
}

/// A schedule of ours that a scheduler holds.
#[derive(Debug)]
pub(crate) struct Found {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// Where it stands: a file, or `crontab`.
    pub place: String,
    /// What it says; `None` when somebody changed it.
    pub job: Option<Job>,
    /// Whether the scheduler has it in force.
    pub active: bool,
}

/// What the schedulers hold, and which of them could not be asked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Schedules of ours.
    pub found: Vec<Found>,
    /// Those that could not be asked, and why.
    pub unknown: Vec<(Scheduler, ScheduleError)>,
}

impl<'a> Machine<'a> {
    /// The machine of this environment; touches nothing.
    #[must_use]
    pub(crate) fn new(environment: &'a Environment, home: &'a Home) -> Self {
        Self { environment, home }
    }

    /// Keeps others from changing the schedule meanwhile: two at once would each remove what the other one
    /// installed. There is one schedule per user, so the lock is on the user's home directory, where it
    /// leaves nothing behind. A system that can't lock a directory goes without.
    ///
    /// # Errors
    /// When another process changes the schedule and does not end.
    pub(crate) fn lock(&self) -> Result<Option<FileLock>, ScheduleError> {
        let Some(dir) = self.environment.user_home() else {
            return Ok(None);
        };
        match File::open(dir).and_then(|dir| FileLock::lock(dir, SCHEDULER_WAIT)) {
            Ok(None) => Err(ScheduleError::Busy),
            Ok(lock) => Ok(lock),
            Err(_) => Ok(None),
        }
    }

    /// The scheduler to use when nobody says which: the first that answers.
    ///
    /// # Errors
    /// When none does.
    pub(crate) fn preferred(&self) -> Result<Scheduler, ScheduleError> {
        let mut reasons = Vec::new();
        for scheduler in Scheduler::of_this_system() {
            match self.answers(*scheduler) {
                Ok(()) => return Ok(*scheduler),
                Err(error) if error.is_not_installed() => {
                    reasons.push(format!("{} is not installed", scheduler.name()));
                }
                Err(error) => reasons.push(chain(&error)),
            }
        }
        Err(ScheduleError::NoScheduler(reasons.join("; ")))
    }

    fn answers(&self, scheduler: Scheduler) -> Result<(), ScheduleError> {
        match scheduler {
            Scheduler::Systemd => run::succeed(&SYSTEMD_ANSWERS).map(drop),
            Scheduler::Cron => crontab().map(drop),
            Scheduler::Launchd => run::succeed(&["launchctl", "version"]).map(drop),
            Scheduler::Schtasks => run::succeed(&["schtasks", "/?"]).map(drop),
        }
    }

    /// What installing this job would write and run; touches nothing.
    ///
    /// # Errors
    /// When the place of a file is not known.
    pub(crate) fn plan(&self, scheduler: Scheduler, job: &Job) -> Result<Plan, ScheduleError> {
        let file = |path, content| PlannedFile { path, content };
        let commands = |commands: &[&[&str]]| {
            let words = |command: &&[&str]| command.iter().map(|&word| word.to_owned()).collect();
            commands.iter().map(words).collect()
        };
        Ok(match scheduler {
            Scheduler::Systemd => {
                let dir = self.unit_dir()?;
                Plan {
                    files: vec![
                        file(
                            dir.join(systemd::SERVICE),
                            systemd::service(job, folders_for(&dir)),
                        ),
                        file(dir.join(systemd::TIMER), systemd::timer(job)),
                    ],
                    commands: commands(&SYSTEMD_START),
                    ..Plan::default()
                }
            }
            Scheduler::Cron => Plan {
                // Without a crontab command it is the line for a user without a crontab.
                crontab_line: cron::find(&cron::with(
                    crontab().unwrap_or_default().as_deref(),
                    job,
                ))
                .map(|found| found.line + "\n"),
                commands: commands(&[&WRITE_CRONTAB]),
                ..Plan::default()
            },
            Scheduler::Launchd => {
                let path = self.agent()?;
                let shown = path.display().to_string();
                let domain = domain();
                Plan {
                    files: vec![file(path, launchd::plist(job))],
                    commands: commands(&[
                        &["launchctl", "bootout", &service_target()],
                        &["launchctl", "bootstrap", &domain, &shown],
                    ]),
                    ..Plan::default()
                }
            }
            Scheduler::Schtasks => {
                let path = self.home.file(schtasks::FILE);
                let (shown, name) = (path.display().to_string(), self.task_name());
                Plan {
                    files: vec![file(path, schtasks::task(job))],
                    commands: commands(&[&[
                        "schtasks", "/create", "/tn", &name, "/xml", &shown, "/f",
                    ]]),
                    ..Plan::default()
                }
            }
        })
    }

    /// Schedules a job with this scheduler, in place of what it holds of ours.
    ///
    /// # Errors
    /// When that fails; what was there before is there again.
    pub(crate) fn install(&self, scheduler: Scheduler, job: &Job) -> Result<(), ScheduleError> {
        if !Scheduler::of_this_system().contains(&scheduler) {
            return Err(ScheduleError::OtherSystem(scheduler.name()));
        }
        if scheduler == Scheduler::Cron {
            let before = crontab()?;
            let after = cron::with(before.as_deref(), job);
            return if before.as_ref() == Some(&after) {
                Ok(())
            } else {
                self.write_crontab(&after)
            };
        }
        self.answers(scheduler)?;
        let plan = self.plan(scheduler, job)?;
        let mut written = Written::default();
        let result = plan
            .files
            .iter()
            .try_for_each(|file| {
                let content = match scheduler {
                    Scheduler::Schtasks => schtasks::file(&file.content),
                    _ => file.content.clone().into_bytes(),
                };
                written.write(&file.path, &content)
            })
            .and_then(|()| {
                if scheduler == Scheduler::Launchd {
                    // Fails where it is not loaded yet.
                    run::output(&["launchctl", "bootout", &service_target()])?;
                }
                let skipped = usize::from(scheduler == Scheduler::Launchd);
                plan.commands.iter().skip(skipped).try_for_each(|command| {
                    let words: Vec<_> = command.iter().map(String::as_str).collect();
                    run::succeed(&words).map(drop)
                })
            });
        if result.is_err() {
            written.undo();
            self.reload(scheduler);
        }
        result
    }

    /// After a failure: lets a scheduler read the files that are there again.
    fn reload(&self, scheduler: Scheduler) {
        // The first failure is the one that is told.
        match scheduler {
            Scheduler::Systemd => {
                let had_one = self
                    .unit_dir()
                    .is_ok_and(|dir| dir.join(systemd::TIMER).exists());
                let commands: &[&[&str]] = if had_one {
                    &SYSTEMD_START
                } else {
                    &[&SYSTEMD_STOP, &SYSTEMD_RELOAD]
                };
                for command in commands {
                    let _ = run::output(command);
                }
            }
            Scheduler::Launchd => {
                if let Ok(agent) = self.agent()
                    && agent.exists()
                {
                    let agent = agent.display().to_string();
                    let _ = run::output(&["launchctl", "bootstrap", &domain(), &agent]);
                }
            }
            Scheduler::Cron | Scheduler::Schtasks => {}
        }
    }

    /// Replaces the user's crontab. The command takes the end of its input for the end of the crontab, so
    /// it gets a file that is complete before it starts: a pipe would end early when we are killed.
    fn write_crontab(&self, crontab: &[u8]) -> Result<(), ScheduleError> {
        let dir = self.environment.temporary_dir();
        let input = files::unnamed_in(&dir, crontab)
            .or_else(|_| files::unnamed_in(self.home.dir(), crontab))
            .map_err(|source| ScheduleError::File {
                operation: "write the new crontab into",
                path: dir,
                source,
            })?;
        run::succeed_reading(&WRITE_CRONTAB, input).map(drop)
    }

    fn user_home(&self) -> Result<PathBuf, ScheduleError> {
        self.environment
            .user_home()
            .ok_or(ScheduleError::NoUserHome)
    }

    /// A directory of the user's that a variable may name.
    fn user_dir(&self, variable: &str, default: &str) -> Result<PathBuf, ScheduleError> {
        match self.environment.get(variable).map(PathBuf::from) {
            Some(dir) if dir.is_absolute() => Ok(dir),
            _ => Ok(self.user_home()?.join(default)),
        }
    }

    /// Where the user's units are.
    fn unit_dir(&self) -> Result<PathBuf, ScheduleError> {
        Ok(self
            .user_dir("XDG_CONFIG_HOME", ".config")?
            .join("systemd/user"))
    }

    /// Where systemd keeps when the timer last fired.
    fn stamp(&self) -> Result<PathBuf, ScheduleError> {
        let dir = self.user_dir("XDG_DATA_HOME", ".local/share")?;
        Ok(dir
            .join("systemd/timers")
            .join(format!("stamp-{}", systemd::TIMER)))
    }

    /// The launchd agent's file.
    fn agent(&self) -> Result<PathBuf, ScheduleError> {
        Ok(self
            .user_home()?
            .join("Library/LaunchAgents")
            .join(launchd::FILE))
    }

    fn task_name(&self) -> String {
        schtasks::task_name(self.environment.get("USERNAME").unwrap_or("user"))
    }
}

const SYSTEMD_ANSWERS: [&str; 4] = ["systemctl", "--user", "show", "--property=Version"];
const SYSTEMD_RELOAD: [&str; 3] = ["systemctl", "--user", "daemon-reload"];
const SYSTEMD_STOP: [&str; 5] = ["systemctl", "--user", "disable", "--now", systemd::TIMER];
/// Restarted, so that a changed interval holds from now on.
const SYSTEMD_START: [&[&str]; 3] = [
    &SYSTEMD_RELOAD,
    &["systemctl", "--user", "enable", systemd::TIMER],
    &["systemctl", "--user", "restart", systemd::TIMER],
];
const WRITE_CRONTAB: [&str; 2] = ["crontab", "-"];

/// launchd's domain of the user who sits at the machine.
fn domain() -> String {
    #[cfg(unix)]
    let uid = nix::unistd::getuid().as_raw();
    #[cfg(not(unix))]
    let uid = 0;
    format!("gui/{uid}")
}

fn service_target() -> String {
    format!("{}/{}", domain(), launchd::LABEL)
}

/// The link that makes the timer start with the session.
fn wanted(unit_dir: &Path) -> PathBuf {
    unit_dir.join("timers.target.wants").join(systemd::TIMER)
}

/// How many folders have to be made for the units, or were made for those that are there.
fn folders_for(unit_dir: &Path) -> usize {
    match read(&unit_dir.join(systemd::SERVICE)) {
        Ok(Some(service)) => systemd::folders(&String::from_utf8_lossy(&service)),
        _ => missing(unit_dir),
    }
}

/// The user's crontab; `None` when there is none. That the command failed is another thing.
fn crontab() -> Result<Option<Vec<u8>>, ScheduleError> {
    const LIST: [&str; 2] = ["crontab", "-l"];
    let output = run::output(&LIST)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    // The second is BusyBox's.
    let none = said.contains("no crontab for")
        || said.contains("can't open") && said.contains("no such file");
    if none && output.status.code() == Some(1) {
        Ok(None)
    } else {
        Err(run::failed(&LIST, &output))
    }
}
