//! The one mouth: everything that is printed goes through here. stdout is data, stderr is talk.

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

/// The columns of the names of rows.
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

    /// Whether a person reads stdout.
    pub(super) fn is_terminal(&self) -> bool {
        self.data.get_ref().is_terminal()
    }

    /// Whether a person reads stderr; cron does not.
    pub(super) fn talks_to_a_person(&self) -> bool {
        self.talk.is_terminal()
    }

    /// How many columns a person sees; 80 when there is no telling.
    pub(super) fn columns(&self) -> usize {
        terminal_size::terminal_size_of(self.data.get_ref())
            .map_or(80, |(width, _)| usize::from(width.0))
    }

    /// Data as a stream.
    pub(super) fn stream(&mut self) -> &mut impl Write {
        &mut self.data
    }

    /// A bar on stderr that shows how far a long read is. Only a person gets to see it.
    pub(super) fn progress(&self, what: &str) -> ReadBar {
        ReadBar {
            watched: self.talks_to_a_person(),
            what: what.to_owned(),
            bar: None,
            behind: 0,
        }
    }

    /// Data as text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.data.write_all(text.as_bytes())?)
    }

    /// A line of data.
    pub(super) fn line(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        Ok(writeln!(self.data, "{line}")?)
    }

    /// A row of a name and a value; a person sees no line that is broken by the terminal.
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

    /// One JSON object on a line of its own, with escapes for what a terminal would obey.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(io::Error::from)?;
        self.line(terminal::escaped(&json))
    }

    /// A table: drawn for a person, tabs between the cells for a program.
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

    /// A bar for work that takes long, drawn only for a person.
    pub(super) fn progress_bar(&self) -> Bar {
        let bar = if self.talks_to_a_person() {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}");
        Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// A sentence of data. On a terminal it breaks between words.
    pub(super) fn sentence(&mut self, sentence: impl std::fmt::Display) -> Result<(), Failure> {
        let text = sentence.to_string();
        if !self.is_terminal() {
            return self.line(text);
        }
        let lines = words::wrap(&text, self.columns());
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// A remark for people, after the data that came before it. On a terminal it breaks between
    /// words. When it can't be written, there is nobody to tell.
    pub(super) fn say(&mut self, remark: impl std::fmt::Display) {
        let _ = self.try_say(remark);
    }

    /// The same, where it matters that it was written.
    pub(super) fn try_say(&mut self, remark: impl std::fmt::Display) -> io::Result<()> {
        let _ = self.data.flush();
        let width = terminal_size::terminal_size_of(&self.talk)
            .map_or(usize::MAX, |(width, _)| usize::from(width.0));
        for line in remark.to_string().split('\n').map(terminal::clean) {
            // A line that fits keeps its spaces.
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

    /// An error with its causes, each told once, and the way out.
    pub(super) fn failure(&mut self, failure: &Failure) {
        if failure.code == Code::Done {
            return;
        }
        self.say(format_args!("error: {}", failure.message()));
        if let Some(hint) = &failure.hint {
            self.say(format_args!("hint: {hint}"));
        }
    }

    /// What clap has to say: help on stdout, a usage error on stderr. What the caller wrote is not
    /// repeated; a scanner's log may keep what is printed here.
    pub(super) fn usage(&mut self, mut error: clap::Error) -> Code {
        withhold(&mut error);
        let _ = error.print();
        if error.use_stderr() {
            Code::Usage
        } else {
            Code::Done
        }
    }
}

/// A progress bar; it is gone from the screen when it is dropped.
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

/// Takes the caller's own words out of a usage error: every value, and every name that does not look
/// like the name of a flag. The option's own name, the words that it takes and the advice stay.
fn withhold(error: &mut clap::Error) {
    const WITHHELD: &str = "…";
    let withheld = || ContextValue::String(WITHHELD.to_owned());
    let said = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    // An empty value is told as "none was supplied".
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
        // "To pass it as a value, …" repeats it.
        error.remove(ContextKind::Suggested);
    }
}

/// `--lower-case`, `-x`, `word`: at most 40 letters and hyphens.
fn is_plain_name(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

/// A progress bar that appears when a read turns out to be long, and leaves nothing behind.
pub(super) struct ReadBar {
    watched: bool,
    what: String,
    bar: Option<ProgressBar>,
    /// Bytes that the bar was not told of yet.
    behind: u64,
}

impl ReadBar {
    fn show(&mut self, bar: ProgressBar, style: &str) {
        let style = ProgressStyle::with_template(style).expect("a template of our own");
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
        // The methods that must report a failure have flushed already.
        let _ = self.data.flush();
    }
}
