//! A destination and the network in front of it, as plain data.

use std::collections::BTreeSet;

use super::rules::{Event, Kind, Name, Rules, id};
use super::spool::{Batch, File, Life, Lines, remote_file};
use crate::destination::{Seen, Wanted};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Network {
    /// It is carried out and its answer arrives.
    Well,
    /// No answer arrives; the request may have been carried out or not.
    Lost { done: bool },
    /// A captive portal answers 200.
    Portal,
    /// The answer is 409. GitHub may give it even if the request was carried out.
    Conflict { done: bool },
    /// The destination refuses us.
    Refused,
}

impl Network {
    /// What can go wrong with a write to a destination of this kind.
    pub(super) fn troubles(kind: Kind) -> &'static [Self] {
        const LOST: [Network; 2] = [Network::Lost { done: false }, Network::Lost { done: true }];
        match kind {
            Kind::Dir => &LOST[..1],
            Kind::Gist => &[
                LOST[0],
                LOST[1],
                Self::Portal,
                Self::Refused,
                Self::Conflict { done: false },
                Self::Conflict { done: true },
            ],
            Kind::Collector => &[LOST[0], LOST[1], Self::Portal, Self::Refused],
        }
    }
}

/// What the destination itself rejects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Rejects {
    #[default]
    Nothing,
    /// Everything: a blocked account, or a Gist that is full.
    Everything,
    /// One event, because of its content.
    Only(Event),
}

/// What the flush receives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// A proof, with the events that were rejected.
    Proof(Lines),
    /// A status without proof.
    Status(u16),
    /// Nothing.
    Nothing,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    /// The files by name, sorted.
    pub(super) files: Vec<(Name, Lines)>,
    /// The events of a collector.
    pub(super) events: Lines,
    pub(super) rejects: Rejects,
}

impl Destination {
    /// How many times an event is there.
    pub(super) fn count(&self, event: Event) -> usize {
        let all = self
            .files
            .iter()
            .flat_map(|(_, lines)| lines)
            .chain(&self.events);
        all.filter(|there| **there == event).count()
    }

    /// Looks for these files and events.
    pub(super) fn look(
        &self,
        rules: &Rules,
        files: &BTreeSet<Name>,
        events: &BTreeSet<Event>,
    ) -> Seen {
        let files = files.iter().map(|name| rules.text(*name)).collect();
        let events = events.iter().copied().map(id).collect();
        let mut seen = Seen::default();
        for (name, lines) in &self.files {
            let wanted = Wanted {
                files: &files,
                events: &events,
            };
            seen.names.insert(rules.text(*name));
            seen.note_file(rules.text(*name), remote_file(lines), wanted);
        }
        seen
    }

    pub(super) fn delete(&mut self, names: &[Name]) {
        self.files.retain(|(name, _)| !names.contains(name));
    }

    /// Carries out a request and answers it. The files of a directory are written one by one, by
    /// the process itself.
    pub(super) fn take(&mut self, kind: Kind, batch: &Batch, life: &mut Life) -> Option<Answer> {
        let is_rejected = |event: &Event| match self.rejects {
            Rejects::Nothing => false,
            Rejects::Everything => true,
            Rejects::Only(poison) => *event == poison,
        };
        let lines = || {
            batch
                .files
                .iter()
                .flat_map(|file| file.lines.iter().copied())
        };
        let rejected: Lines = lines().filter(is_rejected).collect();
        match kind {
            Kind::Collector if self.rejects == Rejects::Everything => {
                return Some(Answer::Status(413));
            }
            Kind::Collector => {
                for event in lines().filter(|event| !rejected.contains(event)) {
                    if !self.events.contains(&event) {
                        self.events.push(event);
                        self.events.sort_unstable();
                    }
                }
                return Some(Answer::Proof(rejected));
            }
            Kind::Gist | Kind::Dir if !rejected.is_empty() => return Some(Answer::Status(422)),
            Kind::Gist | Kind::Dir => {}
        }
        self.delete(&batch.stale);
        for file in &batch.files {
            if kind == Kind::Dir {
                life.lives()?;
            }
            self.put(file);
        }
        Some(Answer::Proof(Lines::new()))
    }

    fn put(&mut self, file: &File) {
        self.delete(&[file.name]);
        self.files.push((file.name, file.lines.clone()));
        self.files.sort_unstable();
    }
}
