//! `--raw`: the events as JSONL, each line as it was collected.

use std::io::{self, Write};

use super::{Consumer, Event};
use crate::terminal;

/// Writes each event's line.
#[derive(Debug)]
pub(crate) struct Raw<W> {
    out: W,
    to_terminal: bool,
}

impl<W: Write> Raw<W> {
    /// Lines are written byte for byte. On a terminal, unsafe characters are escaped in a way that
    /// keeps the meaning of the JSON.
    pub(crate) fn new(out: W, to_terminal: bool) -> Self {
        Self { out, to_terminal }
    }
}

impl<W: Write> Consumer for Raw<W> {
    fn event(&mut self, _: &Event<'_>, line: &[u8]) -> io::Result<()> {
        if self.to_terminal {
            let text = String::from_utf8_lossy(line);
            self.out.write_all(terminal::escaped(&text).as_bytes())?;
        } else {
            self.out.write_all(line)?;
        }
        self.out.write_all(b"\n")
    }
}
