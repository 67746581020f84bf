//! All printing goes through this module. Data goes to stdout, messages for people to stderr.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the place that may print"
)]

use std::io::{self, BufWriter, IsTerminal, Stderr, StdoutLock, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::exit::{Code, Failure};
use super::words;
use crate::limits::LONG_READ_BYTES;
use crate::terminal;
use crate::view::Progress;

/// The width of the names of rows.
const ROW_NAME: usize = 13;

pub(super) struct Out {
    data: BufWriter<StdoutLock<'static>>,
    talk: Stderr,
}

impl Out {
    pub(super) fn new() -> Self {
        Self {
            data: BufWriter::new(io::stdout().lock()),
            talk: io::stderr(),
        }
    }

    /// Whether stdout is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.data.get_ref().is_terminal()
    }

    /// Whether stderr is a terminal, so that a person reads it.
    pub(super) fn stderr_is_terminal(&self) -> bool {
        self.talk.is_terminal()
    }

    /// The width of the terminal; 80 when it is unknown.
    pub(super) fn columns(&self) -> usize {
        terminal_size::terminal_size_of(self.data.get_ref())
            .map_or(80, |(width, _)| usize::from(width.0))
    }

    /// Makes sure that all data is written, unless its reader has seen enough.
    pub(super) fn finish(&mut self, code: Code) -> Result<Code, Failure> {
        match self.data.flush() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stdout(error)),
            _ => Ok(code),
        }
    }

    /// The stream for data.
    pub(super) fn stream(&mut self) -> &mut impl Write {
        &mut self.data
    }

    /// A progress bar on stderr for a long read, shown only on a terminal.
    pub(super) fn progress(&self, what: &str) -> ReadBar {
        ReadBar {
            watched: self.stderr_is_terminal(),
            what: what.to_owned(),
            bar: None,
            behind: 0,
        }
    }

    /// Prints data as text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.data
            .write_all(text.as_bytes())
            .map_err(Failure::stdout)
    }

    /// Prints a line of data.
    pub(super) fn line(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.data, "{line}").map_err(Failure::stdout)
    }

    /// Prints a row of a name and a value. On a terminal, a long value continues below, aligned.
    pub(super) fn row(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let width = if self.is_terminal() {
            self.columns().saturating_sub(ROW_NAME + 1).max(20)
        } else {
            usize::MAX
        };
        let mut name = name;
        for line in words::wrap(value, width) {
            self.line(format_args!("{name:<ROW_NAME$} {line}"))?;
            name = "";
        }
        Ok(())
    }

    /// Prints one JSON object on a line of its own. Characters that are unsafe on a terminal are
    /// escaped.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(|error| Failure::stdout(error.into()))?;
        self.line(terminal::escaped(&json))
    }

    /// Prints a table: aligned on a terminal, separated by tabs otherwise.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        if self.is_terminal() {
            let mut table = Table::new();
            table
                .load_style(presets::NOTHING)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(u16::try_from(self.columns()).unwrap_or(u16::MAX));
            table.set_header(head).add_rows(rows);
            return self.line(table);
        }
        self.line(head.join("\t"))?;
        rows.iter().try_for_each(|row| self.line(row.join("\t")))
    }

    /// A progress bar for long work, shown only on a terminal.
    pub(super) fn progress_bar(&self) -> Bar {
        let bar = if self.stderr_is_terminal() {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}");
        Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Prints a sentence of data. On a terminal, lines break between words.
    pub(super) fn sentence(&mut self, sentence: impl std::fmt::Display) -> Result<(), Failure> {
        let text = sentence.to_string();
        if !self.is_terminal() {
            return self.line(text);
        }
        let lines = words::wrap(&text, self.columns());
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// Prints a message for people on stderr, after flushing the data that came before it. On a
    /// terminal, lines break between words. Errors are ignored, because there is no other place to
    /// report them.
    pub(super) fn say(&mut self, remark: impl std::fmt::Display) {
        let _ = self.try_say(remark);
    }

    /// Like [`Out::say`], for a message that must really have been written.
    pub(super) fn try_say(&mut self, remark: impl std::fmt::Display) -> io::Result<()> {
        let _ = self.data.flush();
        let width = terminal_size::terminal_size_of(&self.talk)
            .map_or(usize::MAX, |(width, _)| usize::from(width.0));
        for line in remark.to_string().split('\n').map(terminal::clean) {
            // A line that fits is printed as it is.
            let fits = line.width() <= width;
            let lines = if fits {
                vec![line]
            } else {
                words::wrap(&line, width)
            };
            writeln!(self.talk, "{}", lines.join("\n"))?;
        }
        Ok(())
    }

    /// Prints an error with its causes, and the hint.
    pub(super) fn failure(&mut self, failure: &Failure) {
        if failure.code == Code::Done {
            return;
        }
        self.say(format_args!("error: {}", failure.message()));
        if let Some(hint) = &failure.hint {
            self.say(format_args!("hint: {hint}"));
        }
    }

    /// Prints clap's help on stdout, or its usage error on stderr. The error does not repeat what
    /// the caller typed, because it may end up in a scanner's log.
    pub(super) fn usage(&mut self, mut error: clap::Error) -> Code {
        withhold(&mut error);
        match error.print() {
            _ if error.use_stderr() => Code::Usage,
            Ok(()) => Code::Done,
            Err(error) => Failure::stdout(error).code,
        }
    }
}

/// A progress bar. It disappears from the screen when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn show(&mut self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Removes the caller's own text from a usage error: every value, and every name that does not look
/// like a flag. The name of the option, its possible values and the advice stay.
fn withhold(error: &mut clap::Error) {
    const WITHHELD: &str = "…";
    let withheld = || ContextValue::String(WITHHELD.to_owned());
    let said = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    // clap reports an empty value as "none was supplied".
    if !said(error, ContextKind::InvalidValue).is_empty() {
        error.insert(ContextKind::InvalidValue, withheld());
    }
    let unknown = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return,
    };
    if !is_plain_name(&said(error, unknown)) {
        error.insert(unknown, withheld());
        // The tip "to pass it as a value, …" repeats the text.
        error.remove(ContextKind::Suggested);
    }
}

/// Whether this looks like `--lower-case`, `-x` or `word`: at most 40 letters and hyphens.
fn is_plain_name(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

/// A progress bar that appears only when a read turns out to be long, and disappears at the end.
pub(super) struct ReadBar {
    watched: bool,
    what: String,
    bar: Option<ProgressBar>,
    /// Bytes that the bar does not show yet.
    behind: u64,
}

impl ReadBar {
    fn show(&mut self, bar: ProgressBar, style: &str) {
        let style = ProgressStyle::with_template(style).expect("a valid template");
        bar.set_style(style);
        bar.set_message(self.what.clone());
        bar.tick();
        self.bar = Some(bar);
    }
}

impl Progress for ReadBar {
    fn expect(&mut self, bytes: u64) {
        if self.watched && bytes > LONG_READ_BYTES && self.bar.is_none() {
            self.show(
                ProgressBar::new(bytes),
                "{msg} {bar:30} {binary_bytes} of {binary_total_bytes}, {eta} left",
            );
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.behind += bytes;
        if !self.watched || self.behind < LONG_READ_BYTES / 64 {
            return;
        }
        match &self.bar {
            Some(bar) => bar.inc(std::mem::take(&mut self.behind)),
            None if self.behind > LONG_READ_BYTES / 16 => {
                self.show(ProgressBar::new_spinner(), "{spinner} {msg} {binary_bytes}");
            }
            None => {}
        }
    }
}

impl Drop for ReadBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // After a failure; otherwise `finish` has flushed, and reported what went wrong.
        let _ = self.data.flush();
    }
}
