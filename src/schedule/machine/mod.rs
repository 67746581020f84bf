//! The schedulers of this machine: finds, installs and removes our schedule.
//!
//! If anything fails, the previous state is restored.

mod existing;
mod written;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Job, ScheduleError, Scheduler, cron, launchd, run, schtasks, systemd};
use crate::env::Environment;
use crate::error::chain;
use crate::files::{self, FileLock};
use crate::home::Home;
use crate::limits::SCHEDULER_WAIT;

use self::written::{Written, missing, read};

/// This machine, from the point of view of one user.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    environment: &'a Environment,
    home: &'a Home,
}

/// What `install` would write and run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Plan {
    /// The files to write.
    pub files: Vec<PlannedFile>,
    /// The line for the crontab.
    pub crontab_line: Option<String>,
    /// The commands to run after the files are written.
    pub commands: Vec<Vec<String>>,
}

/// A file as it would be written.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its text.
    pub content: String,
}

/// Our schedule in a scheduler.
#[derive(Debug)]
pub(crate) struct Found {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// Where it is: a file, or `crontab`.
    pub place: String,
    /// The job in it; `None` when somebody has changed it.
    pub job: Option<Job>,
    /// Whether it is active in the scheduler.
    pub active: bool,
}

/// Our schedules in all schedulers, and the schedulers that could not be asked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Our schedules.
    pub found: Vec<Found>,
    /// The schedulers that could not be asked, and why.
    pub unknown: Vec<(Scheduler, ScheduleError)>,
}

impl<'a> Machine<'a> {
    /// The machine with this environment. Changes nothing.
    #[must_use]
    pub(crate) fn new(environment: &'a Environment, home: &'a Home) -> Self {
        Self { environment, home }
    }

    /// Locks out other processes that change the schedule, since two at once would each remove what
    /// the other one installed. There is one schedule per user, so the lock is on the user's home
    /// directory, where it leaves no file behind. Where a directory can't be locked, there is no
    /// lock.
    ///
    /// # Errors
    /// When another process is changing the schedule and does not end.
    pub(crate) fn lock(&self) -> Result<Option<FileLock>, ScheduleError> {
        let Some(dir) = self.environment.user_home() else {
            return Ok(None);
        };
        match File::open(dir).and_then(|dir| FileLock::lock_directory(dir, SCHEDULER_WAIT)) {
            Ok(None) => Err(ScheduleError::Busy),
            Ok(lock) => Ok(lock),
            Err(_) => Ok(None),
        }
    }

    /// The scheduler to use by default: the first one that works.
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

    /// What installing this job would write and run. Changes nothing.
    ///
    /// # Errors
    /// When the path of a file can't be determined.
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
                // If the crontab can't be read, the plan is that for a user without one.
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

    /// Schedules a job with this scheduler, replacing our earlier schedule in it.
    ///
    /// # Errors
    /// When that fails. The previous state is then restored.
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
                    // Fails if the agent is not loaded yet.
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

    /// After a failure, makes a scheduler read the restored files.
    fn reload(&self, scheduler: Scheduler) {
        // Errors are ignored, because the first failure is the one that is reported.
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

    /// A directory of the user, which a variable can name.
    fn user_dir(&self, variable: &str, default: &str) -> Result<PathBuf, ScheduleError> {
        match self.environment.get(variable).map(PathBuf::from) {
            Some(dir) if dir.is_absolute() => Ok(dir),
            _ => Ok(self.user_home()?.join(default)),
        }
    }

    /// The directory of the user's units.
    fn unit_dir(&self) -> Result<PathBuf, ScheduleError> {
        Ok(self
            .user_dir("XDG_CONFIG_HOME", ".config")?
            .join("systemd/user"))
    }

    /// The file in which systemd stores when the timer last ran.
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
/// Restarts the timer, so that a changed interval takes effect at once.
const SYSTEMD_START: [&[&str]; 3] = [
    &SYSTEMD_RELOAD,
    &["systemctl", "--user", "enable", systemd::TIMER],
    &["systemctl", "--user", "restart", systemd::TIMER],
];
const WRITE_CRONTAB: [&str; 2] = ["crontab", "-"];

/// launchd's domain for the logged-in user.
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

/// The link that starts the timer with the user's session.
fn wanted(unit_dir: &Path) -> PathBuf {
    unit_dir.join("timers.target.wants").join(systemd::TIMER)
}

/// How many folders must be created for the units, or were created for the existing ones.
fn folders_for(unit_dir: &Path) -> usize {
    match read(&unit_dir.join(systemd::SERVICE)) {
        Ok(Some(service)) => systemd::folders(&String::from_utf8_lossy(&service)),
        _ => missing(unit_dir),
    }
}

/// The user's crontab; `None` when there is none, which is different from a failure of the command.
fn crontab() -> Result<Option<Vec<u8>>, ScheduleError> {
    const LIST: [&str; 2] = ["crontab", "-l"];
    let output = run::output(&LIST)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    // The second message is that of BusyBox.
    let none = said.contains("no crontab for")
        || said.contains("can't open") && said.contains("no such file");
    if none && output.status.code() == Some(1) {
        Ok(None)
    } else {
        Err(run::failed(&LIST, &output))
    }
}
