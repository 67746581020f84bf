//! `--raw`: the events as JSONL, each line as it was collected.

use std::io::{self, Write};

use super::{Consumer, Event};

/// Writes each event's line.
#[derive(Debug)]
pub struct Raw<W>(pub W);

impl<W: Write> Consumer for Raw<W> {
    fn event(&mut self, _: &Event<'_>, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)?;
        self.0.write_all(b"\n")
    }
}
