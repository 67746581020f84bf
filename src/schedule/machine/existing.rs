//! Finds and removes our schedule in the schedulers.

use std::fs;

use super::written::{delete, read};
use super::{
    Findings, Found, Machine, SYSTEMD_RELOAD, SYSTEMD_STOP, crontab, service_target, wanted,
};
use crate::schedule::{ScheduleError, Scheduler, cron, launchd, run, schtasks, systemd};

impl Machine<'_> {
    /// Our schedules in all schedulers of this system.
    #[must_use]
    pub(crate) fn find(&self) -> Findings {
        let mut findings = Findings::default();
        for scheduler in Scheduler::of_this_system() {
            match self.find_in(*scheduler) {
                Ok(found) => findings.found.extend(found),
                Err(error) if error.is_not_installed() => {}
                Err(error) => findings.unknown.push((*scheduler, error)),
            }
        }
        findings
    }

    fn find_in(&self, scheduler: Scheduler) -> Result<Option<Found>, ScheduleError> {
        match scheduler {
            Scheduler::Systemd => self.find_units(),
            Scheduler::Cron => Ok(crontab()?.and_then(|crontab| {
                let found = cron::find(&crontab)?;
                Some(Found {
                    scheduler,
                    place: "crontab".to_owned(),
                    job: found.job,
                    active: true,
                })
            })),
            Scheduler::Launchd => {
                let path = self.agent()?;
                let Some(plist) = read(&path)? else {
                    return Ok(None);
                };
                let loaded = run::output(&["launchctl", "print", &service_target()])?;
                Ok(Some(Found {
                    scheduler,
                    place: path.display().to_string(),
                    job: launchd::read(&String::from_utf8_lossy(&plist)),
                    active: loaded.status.success(),
                }))
            }
            Scheduler::Schtasks => self.find_task(),
        }
    }

    fn find_units(&self) -> Result<Option<Found>, ScheduleError> {
        let dir = self.unit_dir()?;
        let service = read(&dir.join(systemd::SERVICE))?;
        let timer = read(&dir.join(systemd::TIMER))?;
        if service.is_none() && timer.is_none() {
            return Ok(None);
        }
        let text =
            |file: Option<Vec<u8>>| String::from_utf8_lossy(&file.unwrap_or_default()).into_owned();
        Ok(Some(Found {
            scheduler: Scheduler::Systemd,
            place: dir.join(systemd::TIMER).display().to_string(),
            job: systemd::read(&text(service), &text(timer)),
            active: fs::symlink_metadata(wanted(&dir)).is_ok(),
        }))
    }

    /// Finds the task through the file in the home, because asking Task Scheduler takes long.
    fn find_task(&self) -> Result<Option<Found>, ScheduleError> {
        let Some(file) = read(&self.home.file(schtasks::FILE))? else {
            return Ok(None);
        };
        let place = self.task_name();
        let query = run::output(&["schtasks", "/query", "/tn", &place])?;
        Ok(Some(Found {
            scheduler: Scheduler::Schtasks,
            place,
            job: schtasks::text(&file).and_then(|text| schtasks::read(&text)),
            active: query.status.success(),
        }))
    }

    /// Removes the task even if the home and the file in it were deleted, or the home is a
    /// different one.
    fn remove_task(&self) -> Result<bool, ScheduleError> {
        let (name, path) = (self.task_name(), self.home.file(schtasks::FILE));
        let had_file = read(&path)?.is_some();
        let query = run::output(&["schtasks", "/query", "/tn", &name, "/xml"])?;
        // The output is UTF-16 or the console's character set. Without zero bytes, the name is the
        // same in both.
        let printed: Vec<u8> = query.stdout.into_iter().filter(|byte| *byte != 0).collect();
        let is_ours = had_file || String::from_utf8_lossy(&printed).contains("jmo-telemetry");
        if query.status.success() && is_ours {
            run::succeed(&["schtasks", "/delete", "/tn", &name, "/f"])?;
        }
        delete(&path)?;
        Ok(is_ours)
    }

    /// Removes our schedule from a scheduler. Returns whether there was one.
    ///
    /// # Errors
    /// When it can't be removed.
    pub(crate) fn remove(&self, scheduler: Scheduler) -> Result<bool, ScheduleError> {
        match scheduler {
            Scheduler::Systemd => self.remove_units(),
            Scheduler::Cron => self.remove_line(),
            Scheduler::Launchd => self.remove_agent(),
            Scheduler::Schtasks => self.remove_task(),
        }
    }

    fn remove_agent(&self) -> Result<bool, ScheduleError> {
        let agent = self.agent()?;
        if read(&agent)?.is_none() {
            return Ok(false);
        }
        // Fails if the agent is not loaded.
        run::output(&["launchctl", "bootout", &service_target()])?;
        delete(&agent)?;
        Ok(true)
    }

    fn remove_units(&self) -> Result<bool, ScheduleError> {
        if self.find_units()?.is_none() {
            return Ok(false);
        }
        let dir = self.unit_dir()?;
        let service = dir.join(systemd::SERVICE);
        let folders = systemd::folders(&String::from_utf8_lossy(
            &read(&service)?.unwrap_or_default(),
        ));
        // If no systemd user manager is running, there is nothing to stop, and the link is just a file.
        let _ = run::output(&SYSTEMD_STOP);
        let wanted = wanted(&dir);
        if fs::symlink_metadata(&wanted).is_ok() {
            delete(&wanted)?;
            if let Some(wants) = wanted.parent() {
                // Fails if anything else is in it.
                let _ = fs::remove_dir(wants);
            }
        }
        delete(&dir.join(systemd::TIMER))?;
        delete(&service)?;
        let _ = run::output(&SYSTEMD_RELOAD);
        if let Ok(stamp) = self.stamp() {
            delete(&stamp)?;
        }
        for folder in dir.ancestors().take(folders) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// Removes our line from the crontab.
    fn remove_line(&self) -> Result<bool, ScheduleError> {
        let crontab = crontab()?.unwrap_or_default();
        if cron::find(&crontab).is_none() {
            return Ok(false);
        }
        match cron::without(&crontab) {
            Some(crontab) => self.write_crontab(&crontab)?,
            None => run::succeed(&["crontab", "-r"]).map(drop)?,
        }
        Ok(true)
    }
}
