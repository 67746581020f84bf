//! The single pass over a source. Each line is read as an event. If it is in the period and was not
//! counted before, it is added to the summary and the last events, and passed to the consumer.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use chrono::{DateTime, NaiveDate, Utc};

use super::event::Event;
use super::lines::{Line, each_line};
use super::period::Period;
use super::summary::{Summary, Tally};
use super::{Consumer, Progress, ViewError};
use crate::limits::{VIEW_NOTES, VIEW_RECENT};
use crate::terminal::clean;

/// One of the last events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recent {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its name.
    pub event: String,
    /// The scanner's version.
    pub version: String,
    /// The platform.
    pub platform: String,
    /// A short description.
    pub about: String,
}

/// The result of a pass.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The numbers.
    pub summary: Summary,
    /// The last events, oldest first.
    pub recent: Vec<Recent>,
    /// Notes about the numbers.
    pub notes: Vec<Note>,
}

/// A note about the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// One line without characters that are unsafe on a terminal.
    pub text: String,
    /// Whether it says that the source has more than was counted.
    pub incomplete: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.incomplete {
            "incomplete"
        } else {
            "note"
        };
        write!(f, "{kind}: {}", self.text)
    }
}

/// A pass in progress. A [`Source`](super::Source) feeds it.
pub(crate) struct Pass<'p> {
    period: Period,
    consumer: &'p mut dyn Consumer,
    progress: &'p mut dyn Progress,
    tally: Tally,
    seen: HashSet<u128>,
    recent: Vec<Recent>,
    undated: u64,
    notes: Vec<Note>,
    /// The number of notes that are not kept.
    more_notes: u64,
}

impl<'p> Pass<'p> {
    pub(super) fn new(
        period: Period,
        consumer: &'p mut dyn Consumer,
        progress: &'p mut dyn Progress,
    ) -> Self {
        Self {
            period,
            consumer,
            progress,
            tally: Tally::default(),
            seen: HashSet::new(),
            recent: Vec::with_capacity(VIEW_RECENT + 1),
            undated: 0,
            notes: Vec::new(),
            more_notes: 0,
        }
    }

    /// Announces how many bytes will be read.
    pub(crate) fn expect(&mut self, bytes: u64) {
        self.progress.expect(bytes);
    }

    /// Notes that something from the source is missing in the numbers, and why.
    pub(crate) fn incomplete(&mut self, why: String) {
        self.tally.summary.incomplete = true;
        self.keep(why, true);
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, text: String) {
        self.keep(text, false);
    }

    fn keep(&mut self, text: String, incomplete: bool) {
        if self.notes.len() == VIEW_NOTES {
            self.more_notes += 1;
        } else {
            let text = clean(&text);
            self.notes.push(Note { text, incomplete });
        }
    }

    /// The first day from which events are wanted.
    pub(super) fn since_day(&self) -> Option<NaiveDate> {
        self.period.since_day()
    }

    /// The receiver of progress.
    pub(super) fn progress(&mut self) -> &mut dyn Progress {
        self.progress
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// When it can't be read (the error names `name`), or the consumer can't write.
    pub(crate) fn file(&mut self, name: &str, content: impl Read) -> Result<(), ViewError> {
        // A large buffer, because a line that is entirely in the buffer need not be copied.
        self.lines(name, BufReader::with_capacity(256 * 1024, content))
    }

    /// Like [`file`](Self::file), for content that is already in memory.
    pub(super) fn lines(&mut self, name: &str, content: impl BufRead) -> Result<(), ViewError> {
        enum Failed {
            Reading(io::Error),
            Taking(ViewError),
        }
        impl From<io::Error> for Failed {
            fn from(error: io::Error) -> Self {
                Self::Reading(error)
            }
        }
        each_line(content, |line| self.line(&line).map_err(Failed::Taking)).map_err(|failed| {
            match failed {
                Failed::Taking(error) => error,
                Failed::Reading(source) => ViewError::Read {
                    path: name.into(),
                    source,
                },
            }
        })
    }

    /// Reads one payload.
    ///
    /// # Errors
    /// When the consumer can't write.
    pub(crate) fn payload(&mut self, payload: &str) -> Result<(), ViewError> {
        self.line(&Line::Whole(payload.as_bytes()))
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), ViewError> {
        let Line::Whole(line) = line else {
            self.tally.summary.malformed += 1;
            return Ok(());
        };
        self.progress.advance(line.len() as u64 + 1);
        // Ignore blanks around a line, and the byte order mark that some editors write at the start
        // of a file.
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        let Some(event) = Event::read(line) else {
            self.tally.summary.malformed += 1;
            return Ok(());
        };
        match event.at() {
            Some(at) if !self.period.contains(at) => return Ok(()),
            None if !self.period.is_everything() => {
                self.undated += 1;
                return Ok(());
            }
            Some(_) | None => {}
        }
        if event.event_id().is_some_and(|id| !self.seen.insert(id)) {
            self.tally.summary.duplicates += 1;
            return Ok(());
        }
        self.tally.count(&event);
        self.remember(&event);
        self.consumer.event(&event, line).map_err(ViewError::Write)
    }

    /// Keeps the event if it is one of the last ones.
    fn remember(&mut self, event: &Event<'_>) {
        let Some(at) = event.at() else { return };
        if self.recent.len() == VIEW_RECENT && at < self.recent[0].at {
            return;
        }
        let owned = |text: Option<Cow<'_, str>>| text.unwrap_or_default().into_owned();
        let place = self.recent.partition_point(|recent| recent.at <= at);
        self.recent.insert(
            place,
            Recent {
                at,
                event: event.name().to_owned(),
                version: owned(event.text("version")),
                platform: owned(event.platform()),
                about: about(event),
            },
        );
        if self.recent.len() > VIEW_RECENT {
            self.recent.remove(0);
        }
    }

    pub(super) fn finish(mut self) -> Collected {
        let last = |text| Note {
            text,
            incomplete: false,
        };
        if self.more_notes > 0 {
            let text = format!("{} more notes are not shown", self.more_notes);
            self.notes.push(last(text));
        }
        if self.undated > 0 {
            let undated = self.undated;
            let text = format!("{undated} without a usable timestamp left out of the period");
            self.notes.push(last(text));
        }
        Collected {
            summary: self.tally.finish(),
            recent: self.recent,
            notes: self.notes,
        }
    }
}

/// "cli fast 5 tools", "trivy timeout fast".
fn about(event: &Event<'_>) -> String {
    let failure = event.failed_tool().map(|tool| {
        let how = event.detail("failure_type").unwrap_or_default();
        format!("{tool} {how}").trim_end().to_owned()
    });
    let counted = |count: Option<Cow<'_, str>>, of| count.map(|count| format!("{count} {of}"));
    let tools = match event.tools().count() {
        0 => None,
        1 => Some("1 tool".to_owned()),
        count => Some(format!("{count} tools")),
    };
    let parts = [
        failure,
        event.detail("mode").map(Into::into),
        event.profile().map(Into::into),
        tools,
        event.duration().map(Into::into),
        counted(event.findings(), "findings"),
        counted(event.detail("violations_bucket"), "violations"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
