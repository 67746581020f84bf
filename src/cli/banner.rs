//! `banner`: the notice that is shown before anything is sent to a destination that the user did
//! not choose.

use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use super::exit::{Code, Failure};
use super::out::Out;
use crate::clock;
use crate::limits::BANNER_SCANS;
use crate::settings::Settings;
use crate::status::Status;

/// Show the notice on telemetry: on the first 3 scans, and always in Docker
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry banner --mode docker\n  jmo-telemetry banner --json"
)]
pub(super) struct Args {
    /// How the scanner was started
    #[arg(long, default_value = "cli")]
    mode: Mode,
    /// Print whether the notice is due, and its text, as JSON; this does not count as shown
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Cli,
    Wizard,
    Docker,
}

/// `banner --json`.
#[derive(Serialize)]
struct Banner {
    /// Whether the notice is due.
    shown: bool,
    can_leave: bool,
    destination: Option<String>,
    text: String,
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let enabled = settings.consent.now().enabled;
        let shown_elsewhere = settings.environment.get("JMO_TELEMETRY_SHOWN") == Some("1");
        let due = enabled && !shown_elsewhere && self.is_due(settings);
        if self.json {
            let status = Status::of(settings);
            let text = notice(&Status::after_notice(settings));
            out.json(&Banner {
                shown: due,
                can_leave: status.can_leave,
                destination: status.destination,
                text,
            })?;
            return Ok(Code::Done);
        }
        let shown_here = due && out.try_say(notice(&Status::after_notice(settings))).is_ok();
        if shown_here || enabled && shown_elsewhere {
            remember(settings, out);
        }
        Ok(Code::Done)
    }

    /// Whether the notice is due: on the first scans, and later as long as the destination requires
    /// it and it was never shown.
    fn is_due(&self, settings: &Settings) -> bool {
        self.mode == Mode::Docker
            || settings.home.scan_count() < BANNER_SCANS
            || settings.needs_notice()
    }
}

/// Records that the notice was shown. If that fails, it will be shown again.
fn remember(settings: &Settings, out: &mut Out) {
    if let Err(error) = settings.home.note_notice_shown(clock::now()) {
        out.say(format_args!("warning: {}", Failure::from(error).message()));
    }
}

/// The notice: what is recorded, what really happens to it, and how to opt out.
fn notice(status: &Status) -> String {
    let whereto = match (&status.destination, status.can_leave) {
        (Some(destination), true) => format!("They are uploaded to {destination}."),
        (Some(destination), false) => {
            format!("None of them can leave this machine now: {destination} can't be used.")
        }
        (None, _) => {
            "None of them can leave this machine: no destination is configured.".to_owned()
        }
    };
    format!(
        "JMo Security records anonymous usage events: which tools ran, how long a scan\n\
         took and how much it found (as ranges), and which tools failed. They hold no\n\
         names, paths, code or other free text.\n\
         {whereto}\n\
         See them:  jmo-telemetry info, jmo-telemetry spool list\n\
         Opt out:   jmo-telemetry disable, JMO_TELEMETRY_DISABLE=1, DO_NOT_TRACK=1,\n\
         \x20          or `telemetry: {{enabled: false}}` in jmo.yml. In CI it is off."
    )
}
