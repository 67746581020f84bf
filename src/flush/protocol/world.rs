//! The state of the whole model (homes, a backup, a destination), and what must never be true in it.
//! What can happen is in `moves`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::delivery::Flush;
use super::destination::Destination;
use super::rules::{EVENTS, Event};
use super::spool::Spool;
use crate::spool::State;

/// The bounds of a search: how much can happen at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    /// Events that are recorded.
    pub(super) events: u8,
    /// Kills, lost or wrong answers, failing commits, and destinations that reject.
    pub(super) troubles: u8,
    /// Backups, restores, copies, deletions at the destination, and new days.
    pub(super) disasters: u8,
    /// Whether the home may be copied to another machine.
    pub(super) copies: bool,
}

/// A home: what is on its disk, and the flush that is running there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Home {
    pub(super) disk: Spool,
    pub(super) flush: Option<Flush>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The first home, and its copy.
    pub(super) homes: Vec<Home>,
    pub(super) backup: Option<Spool>,
    pub(super) destination: Destination,
    pub(super) day: u8,
    pub(super) left: Bounds,
    pub(super) recorded: Event,
    /// Events that were confirmed to any home at any time.
    pub(super) confirmed: BTreeSet<Event>,
    /// Events that somebody deleted at the destination. Nothing is promised about them.
    pub(super) deleted: BTreeSet<Event>,
    /// Events that the destination has really rejected.
    pub(super) rejected: BTreeSet<Event>,
    /// Events that two homes wrote to a Gist at the same moment, the one exception.
    pub(super) raced: BTreeSet<Event>,
}

impl World {
    pub(super) fn new(bounds: Bounds) -> Self {
        assert!(bounds.events <= EVENTS);
        Self {
            homes: vec![Home::default()],
            backup: None,
            destination: Destination::default(),
            day: 0,
            left: bounds,
            recorded: 0,
            confirmed: BTreeSet::new(),
            deleted: BTreeSet::new(),
            rejected: BTreeSet::new(),
            raced: BTreeSet::new(),
        }
    }

    /// Describes a violation of what must always be true, if there is one.
    pub(super) fn wrong(&self) -> Option<String> {
        for (n, home) in self.homes.iter().enumerate() {
            for (seq, row) in home.disk.rows.iter().enumerate() {
                let event = row.event;
                if home.disk.rows[..seq]
                    .iter()
                    .any(|other| other.event == event)
                {
                    return Some(format!("e{event} is twice in the spool of home {n}"));
                }
                if row.state == State::Held
                    && home.flush.is_none()
                    && !self.rejected.contains(&event)
                {
                    return Some(format!(
                        "e{event} is held in home {n}, and nothing is wrong with it"
                    ));
                }
            }
        }
        let settled = self.calm().is_none();
        let is_outside = |event: &Event| self.raced.contains(event) || self.deleted.contains(event);
        for event in (0..self.recorded).filter(|event| !is_outside(event)) {
            let times = self.destination.count(event);
            if times > 1 {
                return Some(format!("e{event} is {times} times at the destination"));
            }
            if times == 1 {
                continue;
            }
            if self.confirmed.contains(&event) {
                return Some(format!("e{event} was sent, and is not at the destination"));
            }
            if settled && self.is_somewhere(event) {
                return Some(format!(
                    "all is settled, and e{event} is not at the destination"
                ));
            }
        }
        None
    }

    fn is_somewhere(&self, event: Event) -> bool {
        let disks = || self.homes.iter().map(|home| &home.disk);
        disks().any(|disk| {
            disk.overflow.contains(&event) || disk.rows.iter().any(|row| row.event == event)
        })
    }

    /// Whether the exception has happened.
    pub(super) fn has_raced(&self) -> bool {
        !self.raced.is_empty()
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |lines: &[Event]| {
            lines
                .iter()
                .map(|event| format!(" e{event}"))
                .collect::<String>()
        };
        let mut there: Vec<_> = self
            .destination
            .files
            .iter()
            .map(|(_, lines)| format!("[{} ]", list(lines)))
            .collect();
        if !self.destination.events.is_empty() {
            there.push(list(&self.destination.events).trim_start().to_owned());
        }
        write!(
            f,
            "destination: {}",
            if there.is_empty() {
                "nothing".to_owned()
            } else {
                there.join(" ")
            }
        )?;
        for (n, home) in self.homes.iter().enumerate() {
            let mut words = String::new();
            for row in &home.disk.rows {
                write!(words, " e{} {}", row.event, row.state.word())?;
            }
            if !home.disk.overflow.is_empty() {
                write!(words, " overflow{}", list(&home.disk.overflow))?;
            }
            if home.flush.is_some() {
                words.push_str(" (flushing)");
            }
            write!(
                f,
                "; home {n}:{}",
                if words.is_empty() { " nothing" } else { &words }
            )?;
        }
        Ok(())
    }
}
