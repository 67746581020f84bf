//! The spool as plain data. Each function does what `src/spool` does in SQL, in one transaction.
//! `None` stands for a process that was killed before a transaction was committed.

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

    /// Builds a request (`assign.rs`).
    pub(super) fn assign(
        &mut self,
        rules: &Rules,
        day: u8,
        limits: BatchLimits,
        (taken, aside): (&BTreeSet<Name>, &BTreeSet<i64>),
        life: &mut Life,
    ) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut unfinished = self
            .unfinished()
            .into_iter()
            .filter(|name| !aside.contains(&name.id()));
        let mut events = limits.events;
        while batch.files.len() < limits.segments {
            let next = unfinished.next();
            let first = self
                .rows
                .iter()
                .find(|row| row.state == State::Pending)
                .map(|row| row.event);
            if next.is_none() && (events == 0 || first.is_none()) {
                break;
            }
            life.lives()?;
            let started = next.is_none();
            let name = match (next, first) {
                (Some(name), _) => name,
                (None, Some(first)) => self.start_segment(rules, first, day, taken),
                (None, None) => break,
            };
            let file = self.fill(name, &mut events, &limits);
            let segment = self.segment(name);
            if started || file.unconfirmed > 0 || (segment.stale && !file.lines.is_empty()) {
                if !segment.attempted.contains(&file.lines) {
                    segment.attempted.push(file.lines.clone());
                }
                batch.files.push(file);
            } else if segment.stale {
                batch.stale.push(name);
            }
        }
        Some(batch)
    }

    /// Segments with `sending` rows first, then the open ones.
    fn unfinished(&self) -> Vec<Name> {
        let (under_way, others): (Vec<_>, Vec<_>) = self
            .segments
            .iter()
            .partition(|segment| self.is_under_way(segment.name));
        let open = others
            .into_iter()
            .filter(|segment| !segment.sealed || segment.stale);
        under_way
            .into_iter()
            .chain(open)
            .map(|segment| segment.name)
            .collect()
    }

    fn is_under_way(&self, name: Name) -> bool {
        self.rows
            .iter()
            .any(|row| row.segment == Some(name) && row.state == State::Sending)
    }

    fn start_segment(
        &mut self,
        rules: &Rules,
        first: Event,
        day: u8,
        taken: &BTreeSet<Name>,
    ) -> Name {
        let names = (0..).map(|nth| rules.name(first, nth, day));
        let is_free = |name: &Name| {
            !taken.contains(name) && self.segments.iter().all(|segment| segment.name != *name)
        };
        let name = names.clone().find(is_free).expect("names do not run out");
        self.segments.push(Segment {
            name,
            sealed: false,
            stale: false,
            confirmed: None,
            attempted: Vec::new(),
        });
        name
    }

    fn fill(&mut self, name: Name, events: &mut usize, limits: &BatchLimits) -> File {
        let file = self.file(name);
        *events = events.saturating_sub(file.unconfirmed);
        if self.segment(name).sealed {
            return file;
        }
        let (mut count, mut seals) = (file.lines.len(), false);
        for row in self
            .rows
            .iter_mut()
            .filter(|row| row.state == State::Pending)
        {
            if *events == 0 {
                break;
            }
            if !segment::has_room_for(count * PAYLOAD, count, PAYLOAD, &limits.destination) {
                seals = true;
                break;
            }
            (row.state, row.segment) = (State::Sending, Some(name));
            count += 1;
            *events -= 1;
        }
        let took = count > file.lines.len();
        self.segment(name).sealed = seals || (took && !limits.destination.segments_grow);
        self.file(name)
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

    /// Updates the spool with what is at the destination (`reconcile.rs`). Returns whether anything
    /// changed.
    pub(super) fn reconcile(
        &mut self,
        rules: &Rules,
        seen: &Seen,
        life: &mut Life,
    ) -> Option<bool> {
        let (unsettled, _) = self.unsettled();
        let mut waiting: BTreeSet<usize> = (0..self.rows.len())
            .filter(|seq| self.rows[*seq].state != State::Sent)
            .collect();
        let mut changed = false;
        for (text, there) in &seen.files {
            life.lives()?;
            let name = rules.parse(text);
            if self.segments.iter().any(|segment| segment.name == name) {
                changed |=
                    unsettled.contains(&name) && self.leaves(rules, name, there, &mut waiting);
            } else {
                self.segments.push(Segment {
                    name,
                    sealed: true,
                    stale: false,
                    confirmed: Some(lines_of(there)),
                    attempted: Vec::new(),
                });
            }
            if rules.has(Safeguard::TakesWhatArrived) {
                changed |= self.arrive(name, there, &mut waiting);
            }
        }
        Some(changed)
    }

    /// Leaves a file that is not ours any more to its writer.
    fn leaves(
        &mut self,
        rules: &Rules,
        name: Name,
        there: &RemoteFile,
        waiting: &mut BTreeSet<usize>,
    ) -> bool {
        let (rows, segment) = (self.file(name).lines, self.segment(name));
        let attempted: Vec<_> = segment
            .attempted
            .iter()
            .map(|lines| sha256(lines))
            .collect();
        let ours = there.is_still_ours(
            segment
                .confirmed
                .as_ref()
                .map(|lines| sha256(lines))
                .as_deref(),
            Some(&attempted.join(" ")),
            |id| rows.contains(&event(id)),
        );
        if ours || !rules.has(Safeguard::LeavesForeignFiles) {
            return false;
        }
        let lines = lines_of(there);
        (segment.sealed, segment.stale, segment.attempted) = (true, false, Vec::new());
        segment.confirmed = Some(lines.clone());
        for (seq, row) in self.rows.iter_mut().enumerate() {
            let is_gone = row.segment == Some(name) && !lines.contains(&row.event);
            if is_gone {
                (row.state, row.segment) = (State::Pending, None);
                waiting.insert(seq);
            }
        }
        true
    }

    /// Marks waiting events that are in the file as sent.
    fn arrive(&mut self, name: Name, there: &RemoteFile, waiting: &mut BTreeSet<usize>) -> bool {
        let lines = lines_of(there);
        let arrived: Vec<_> = waiting
            .iter()
            .copied()
            .filter(|seq| lines.contains(&self.rows[*seq].event))
            .collect();
        for seq in &arrived {
            waiting.remove(seq);
            (self.rows[*seq].state, self.rows[*seq].segment) = (State::Sent, Some(name));
            self.segment(name).confirmed = Some(lines.clone());
        }
        !arrived.is_empty()
    }

    /// Stores the receipts (`Writer::confirm`). `rejected` are the events that were not accepted.
    pub(super) fn confirm(
        &mut self,
        batch: &Batch,
        rejected: &[Event],
        life: &mut Life,
    ) -> Option<()> {
        let count = batch.files.len().max(1);
        for n in 0..count {
            life.lives()?;
            if let Some(file) = batch.files.get(n) {
                self.confirm_file(file, rejected);
            }
        }
        self.segments
            .retain(|segment| !batch.stale.contains(&segment.name));
        self.failed = false;
        Some(())
    }

    fn confirm_file(&mut self, file: &File, rejected: &[Event]) {
        for row in self.under_way(file.name) {
            if rejected.contains(&row.event) {
                (row.state, row.segment) = (State::Held, None);
            } else {
                row.state = State::Sent;
            }
        }
        let segment = self.segment(file.name);
        (segment.stale, segment.attempted) = (false, Vec::new());
        segment.confirmed = Some(file.lines.clone());
    }

    /// Stores an attempt that confirmed nothing (`Writer::failed`).
    pub(super) fn fail(&mut self, batch: &Batch, gives_back: bool, life: &mut Life) -> Option<()> {
        life.lives()?;
        if gives_back {
            for file in &batch.files {
                self.release(file.name, 0);
                self.segment(file.name).stale = true;
            }
        }
        self.failed = true;
        Some(())
    }

    fn release(&mut self, name: Name, kept: usize) {
        for row in self.under_way(name).skip(kept) {
            (row.state, row.segment) = (State::Pending, None);
        }
        self.segment(name).sealed = false;
    }

    /// Halves a segment whose content was rejected (`Writer::halve`).
    pub(super) fn halve(&mut self, file: &File, at_most: usize, life: &mut Life) -> Option<Halved> {
        life.lives()?;
        match (file.unconfirmed, file.lines.len()) {
            (0, _) => {
                let segment = self.segment(file.name);
                (segment.sealed, segment.stale) = (true, false);
                Some(Halved::Settled)
            }
            (1, 1) => Some(Halved::Alone),
            (unconfirmed, _) => {
                let kept = (unconfirmed / 2).min(at_most);
                self.release(file.name, kept);
                if kept == 0 {
                    let segment = self.segment(file.name);
                    (segment.sealed, segment.stale) = (true, true);
                }
                Some(Halved::Smaller)
            }
        }
    }

    /// Holds the rejected events of a segment (`Writer::hold`).
    pub(super) fn hold(&mut self, name: Name, life: &mut Life) -> Option<()> {
        life.lives()?;
        for row in self.under_way(name) {
            (row.state, row.segment) = (State::Held, None);
        }
        let segment = self.segment(name);
        (segment.sealed, segment.stale) = (false, true);
        Some(())
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
