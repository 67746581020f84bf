//! `count-scan`: counts one scan, for a scanner that puts the frequency hint into its
//! `scan.started` event itself instead of leaving that to `record`.

use clap::Args as ClapArgs;

use super::exit::{Code, Failure};
use super::out::Out;
use crate::event::vocabulary::Vocabulary;
use crate::limits::SMALL_FILE_WAIT;
use crate::settings::Settings;

/// Count one scan and print its frequency hint; nothing is counted or printed while disabled
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        let mut hint = None;
        if settings.consent.now().enabled {
            hint = settings
                .home
                .count_scans(1, SMALL_FILE_WAIT)?
                .next()
                .map(Vocabulary::word);
        }
        if self.json {
            out.json(&serde_json::json!({ "scan_frequency_hint": hint }))?;
        } else if let Some(hint) = hint {
            out.line(hint)?;
        }
        Ok(Code::Done)
    }
}
