//! Standard input: JSONL from a pipe.

use std::io;

use super::{Pass, Source, ViewError};

/// The standard input of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct StdinSource;

impl Source for StdinSource {
    fn name(&self) -> String {
        "stdin".to_owned()
    }

    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        pass.file("stdin", io::stdin().lock())
    }
}
