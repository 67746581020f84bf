//! The spool as plain data. Each function does what `src/spool` does in SQL, in one transaction.
//! `None` stands for a process that was killed before a transaction was committed.

mod assign;
mod reconcile;
mod segments;

use std::collections::BTreeSet;

use super::rules::{Event, Name, PAYLOAD, Rules, Safeguard, event, id};
use crate::destination::segment::{self, Receipt, SegmentFile};
use crate::destination::{RemoteFile, Seen};
use crate::spool::{BatchLimits, State};

/// The events of a file, in their order.
pub(super) type Lines = Vec<Event>;

/// The number of steps before the process is killed; `None` if it is not killed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life(pub(super) Option<usize>);

impl Life {
    /// Takes one step. `None` when the process is killed right before it.
    pub(super) fn lives(&mut self) -> Option<()> {
        match &mut self.0 {
            None => Some(()),
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(())
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) event: Event,
    pub(super) state: State,
    pub(super) segment: Option<Name>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Segment {
    pub(super) name: Name,
    pub(super) sealed: bool,
    pub(super) stale: bool,
    pub(super) confirmed: Option<Lines>,
    /// Everything that was sent since then, or is about to be.
    pub(super) attempted: Vec<Lines>,
}

/// The content of a segment as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct File {
    pub(super) name: Name,
    pub(super) lines: Lines,
    pub(super) unconfirmed: usize,
}

impl File {
    /// The same in the program's own type.
    pub(super) fn as_sent(&self, rules: &Rules) -> SegmentFile {
        SegmentFile {
            id: 0,
            name: rules.text(self.name),
            content: content(&self.lines),
            events: self.lines.len(),
            unconfirmed: self.unconfirmed,
        }
    }
}

/// The result of one assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) files: Vec<File>,
    pub(super) stale: Vec<Name>,
}

/// What was done with a segment whose content was rejected.
#[derive(Debug, PartialEq)]
pub(super) enum Halved {
    Smaller,
    Alone,
    Settled,
}

/// What is on the disk of a home: the database and `overflow.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Spool {
    /// Sorted by `seq`.
    pub(super) rows: Vec<Row>,
    /// In the order of creation.
    pub(super) segments: Vec<Segment>,
    pub(super) overflow: Lines,
    /// Whether the last attempt to deliver failed.
    pub(super) failed: bool,
}

impl Spool {
    pub(super) fn record(&mut self, event: Event) {
        self.rows.push(Row {
            event,
            state: State::Pending,
            segment: None,
        });
    }

    /// Whether any events wait for a flush.
    pub(super) fn waits(&self) -> bool {
        !self.overflow.is_empty() || self.rows.iter().any(is_waiting)
    }

    /// Imports the overflow: its events become rows, and then it is emptied (`import.rs`).
    pub(super) fn import(&mut self, rules: &Rules, life: &mut Life) -> Option<()> {
        if self.overflow.is_empty() {
            return Some(());
        }
        life.lives()?;
        for event in self.overflow.clone() {
            let known = self.rows.iter().any(|row| row.event == event);
            if !known || !rules.has(Safeguard::ImportsOnce) {
                self.record(event);
            }
        }
        life.lives()?;
        self.overflow.clear();
        Some(())
    }

    pub(super) fn file(&self, name: Name) -> File {
        let rows = || self.rows.iter().filter(|row| row.segment == Some(name));
        File {
            name,
            lines: rows().map(|row| row.event).collect(),
            unconfirmed: rows().filter(|row| row.state == State::Sending).count(),
        }
    }

    fn segment(&mut self, name: Name) -> &mut Segment {
        let found = self
            .segments
            .iter_mut()
            .find(|segment| segment.name == name);
        found.expect("a segment of this spool")
    }

    /// The files that may be written again, and the events that may be sent or are in these files.
    pub(super) fn unsettled(&self) -> (BTreeSet<Name>, BTreeSet<Event>) {
        let files: BTreeSet<_> = self.unfinished().into_iter().collect();
        let is_wanted = |row: &&Row| {
            matches!(row.state, State::Pending | State::Held)
                || row.segment.is_some_and(|name| files.contains(&name))
        };
        let events = self
            .rows
            .iter()
            .filter(is_wanted)
            .map(|row| row.event)
            .collect();
        (files, events)
    }

    fn under_way(&mut self, name: Name) -> impl Iterator<Item = &mut Row> {
        let is_under_way =
            move |row: &&mut Row| row.segment == Some(name) && row.state == State::Sending;
        self.rows.iter_mut().filter(is_under_way)
    }

    /// Makes held events pending again (`Writer::retry`).
    pub(super) fn retry(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.state == State::Held) {
            row.state = State::Pending;
        }
    }
}

fn is_waiting(row: &Row) -> bool {
    matches!(row.state, State::Pending | State::Sending)
}

fn content(lines: &[Event]) -> String {
    lines.iter().map(|event| format!("{event}\n")).collect()
}

fn sha256(lines: &[Event]) -> String {
    segment::sha256(content(lines).as_bytes())
}

/// A file as a look shows it.
pub(super) fn remote_file(lines: &[Event]) -> RemoteFile {
    RemoteFile {
        receipt: Receipt {
            bytes: lines.len() * PAYLOAD,
            sha256: sha256(lines),
            url: String::new(),
            rejected: Vec::new(),
        },
        events: lines.iter().copied().map(id).collect(),
        has_more: false,
    }
}

fn lines_of(file: &RemoteFile) -> Lines {
    file.events.iter().map(event).collect()
}
