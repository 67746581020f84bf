//! The local spool: everything that this machine recorded, sent or not.

use super::{Pass, Source, ViewError};
use crate::home::Home;
use crate::spool::{self, Filter, Overflow};

/// The spool of a home.
#[derive(Debug)]
pub(super) struct SpoolSource {
    home: Home,
}

impl SpoolSource {
    /// The spool of this home.
    #[must_use]
    pub(super) fn new(home: Home) -> Self {
        Self { home }
    }
}

impl Source for SpoolSource {
    fn name(&self) -> String {
        "spool".to_owned()
    }

    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        spool::list(&self.home, &Filter::default(), |row| {
            pass.payload(row.payload.get())
        })?;
        if Overflow::of(&self.home).waits() {
            pass.incomplete("events in overflow.jsonl are not in the spool yet".to_owned());
        }
        Ok(())
    }
}
