//! What can happen in the model, and how each move changes its state.

use std::collections::BTreeSet;
use std::fmt;

use super::delivery::{Around, Flush};
use super::destination::{Destination, Network, Rejects};
use super::rules::{Event, Kind, Name, Rules, Safeguard};
use super::spool::Life;
use super::world::{Home, World};
use crate::spool::State;

/// How an event is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Its commit succeeds.
    Plain,
    /// The database can't be written: it goes to `overflow.jsonl`.
    Overflow,
    /// The commit seems to fail, but the row is in the database.
    Both,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Record(usize, Way),
    /// A flush starts or continues, up to its next answer or its end.
    Flush(usize, Network),
    /// The same, but it is killed after this many steps.
    Kill(usize, usize),
    Backup,
    Restore,
    Copy,
    Delete(Name),
    NewDay,
    Rejects(Rejects),
    /// `spool retry ALL`.
    Retry(usize),
}

impl World {
    /// The next move when nothing more goes wrong; `None` when everything is settled.
    pub(super) fn calm(&self) -> Option<Move> {
        let runs = |home: &Home| home.flush.is_some();
        if let Some(n) = self.homes.iter().position(runs) {
            return Some(Move::Flush(n, Network::Well));
        }
        if self.destination.rejects != Rejects::Nothing {
            return Some(Move::Rejects(Rejects::Nothing));
        }
        let holds = |home: &Home| home.disk.rows.iter().any(|row| row.state == State::Held);
        if let Some(n) = self.homes.iter().position(holds) {
            return Some(Move::Retry(n));
        }
        let waits = |home: &Home| home.disk.waits();
        let waiting = self.homes.iter().position(waits);
        waiting.map(|n| Move::Flush(n, Network::Well))
    }

    /// Everything that can happen now, and the state after it. Moves without trouble come first.
    pub(super) fn moves(&self, rules: &Rules) -> Vec<(Move, Self)> {
        let mut moves: Vec<_> = self.calm().into_iter().collect();
        let homes = 0..self.homes.len();
        for n in homes.clone() {
            moves.push(Move::Record(n, Way::Plain));
            moves.push(Move::Flush(n, Network::Well));
        }
        // Only moves within the bounds are tried.
        if self.left.troubles > 0 {
            for n in homes.clone() {
                moves.extend([Way::Overflow, Way::Both].map(|way| Move::Record(n, way)));
                let troubles = Network::troubles(rules.kind).iter();
                moves.extend(troubles.map(|network| Move::Flush(n, *network)));
            }
            moves.extend([Rejects::Everything, Rejects::Only(0)].map(Move::Rejects));
        }
        if self.left.disasters > 0 {
            moves.extend([Move::Backup, Move::Restore, Move::Copy, Move::NewDay]);
            let files = self.destination.files.iter();
            moves.extend(files.map(|(name, _)| Move::Delete(*name)));
        }
        let after = |what| Some((what, self.after(rules, what)?));
        let mut worlds: Vec<_> = moves.into_iter().filter_map(after).collect();
        if self.left.troubles > 0 {
            for n in homes {
                worlds.extend((0..).map(|steps| Move::Kill(n, steps)).map_while(after));
            }
        }
        worlds
    }

    /// The state after this move; `None` if it can't happen.
    pub(super) fn after(&self, rules: &Rules, what: Move) -> Option<Self> {
        let mut world = self.clone();
        match what {
            Move::Record(n, way) => world.record(n, way)?,
            Move::Flush(n, network) => {
                if network != Network::Well {
                    world.spend_trouble()?;
                }
                let ends = world.flush(rules, n, network, Life(None))?;
                // A fault that affects no request is not a move of its own.
                (network == Network::Well || ends.is_some()).then_some(())?;
            }
            Move::Kill(n, steps) => {
                world.spend_trouble()?;
                let ran = world.flush(rules, n, Network::Well, Life(Some(steps)))?;
                ran.is_none().then_some(())?;
                world.homes[n].flush = None;
            }
            Move::Backup => {
                world.spend_disaster()?;
                world.backup.is_none().then_some(())?;
                world.backup = Some(world.homes[0].disk.clone());
            }
            Move::Restore => {
                world.spend_disaster()?;
                let disk = world.backup.clone()?;
                (disk != world.homes[0].disk).then_some(())?;
                world.homes[0] = Home { disk, flush: None };
            }
            Move::Copy => {
                world.spend_disaster()?;
                (world.left.copies && world.homes.len() == 1).then_some(())?;
                let disk = world.homes[0].disk.clone();
                world.homes.push(Home { disk, flush: None });
            }
            Move::Delete(name) => {
                world.spend_disaster()?;
                let (_, lines) = world
                    .destination
                    .files
                    .iter()
                    .find(|(known, _)| *known == name)?;
                world.deleted.extend(lines.iter().copied());
                world.destination.delete(&[name]);
            }
            Move::NewDay => {
                (!rules.has(Safeguard::NamesFollowFromEvents)).then_some(())?;
                world.spend_disaster()?;
                world.day += 1;
            }
            Move::Rejects(rejects) => {
                world
                    .homes
                    .iter()
                    .all(|home| home.flush.is_none())
                    .then_some(())?;
                (rejects != world.destination.rejects).then_some(())?;
                if rejects != Rejects::Nothing {
                    (rules.kind != Kind::Dir).then_some(())?;
                    world.spend_trouble()?;
                }
                if let Rejects::Only(event) = rejects {
                    // It does not begin to reject what it has already accepted.
                    (event >= world.recorded).then_some(())?;
                    world.rejected.insert(event);
                }
                world.destination.rejects = rejects;
            }
            Move::Retry(n) => world.homes[n].disk.retry(),
        }
        Some(world)
    }

    fn record(&mut self, n: usize, way: Way) -> Option<()> {
        self.left.events = self.left.events.checked_sub(1)?;
        if way != Way::Plain {
            self.spend_trouble()?;
        }
        let disk = &mut self.homes[n].disk;
        if way != Way::Overflow {
            disk.record(self.recorded);
        }
        if way != Way::Plain {
            disk.overflow.push(self.recorded);
        }
        self.recorded += 1;
        Some(())
    }

    /// Continues a flush. `None` when there is none to continue, `Some(None)` when it was killed.
    #[expect(
        clippy::option_option,
        reason = "it did not run, or it was killed, or it ran"
    )]
    fn flush(
        &mut self,
        rules: &Rules,
        n: usize,
        network: Network,
        life: Life,
    ) -> Option<Option<()>> {
        let running = self.homes[n].flush.take();
        if running.is_none() && (!self.homes[n].disk.waits() || self.is_locked_out(rules, n)) {
            return None;
        }
        let before = self.destination.clone();
        let sent_by_others = running
            .as_ref()
            .map(|flush| flush.written_by_others.clone())
            .unwrap_or_default();
        let mut around = Around {
            rules,
            day: self.day,
            spool: &mut self.homes[n].disk,
            destination: &mut self.destination,
            network,
            life,
        };
        let ran = match running {
            None => Flush::start(&mut around),
            Some(flush) => flush.next(&mut around),
        };
        self.notice_writes(rules, n, &before, &sent_by_others);
        let sent = self
            .homes
            .iter()
            .flat_map(|home| &home.disk.rows)
            .filter(|row| row.state == State::Sent);
        self.confirmed.extend(sent.map(|row| row.event));
        Some(ran.map(|flush| self.homes[n].flush = flush))
    }

    /// Whether the other home's flush has locked the destination.
    fn is_locked_out(&self, rules: &Rules, n: usize) -> bool {
        let others = self
            .homes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != n);
        others
            .filter_map(|(_, home)| home.flush.as_ref())
            .any(|flush| flush.locks(rules))
    }

    /// Notices when two flushes overlap and neither could see what the other wrote. What both
    /// wrote, and what one wrote over, is the one exception.
    fn notice_writes(
        &mut self,
        rules: &Rules,
        n: usize,
        before: &Destination,
        by_others: &BTreeSet<Event>,
    ) {
        let changed = |one: &Destination, other: &Destination| -> BTreeSet<Event> {
            let files = one.files.iter().filter(|file| !other.files.contains(file));
            files.flat_map(|(_, lines)| lines.iter().copied()).collect()
        };
        let written = changed(&self.destination, before);
        let written_over = changed(before, &self.destination);
        if rules.kind == Kind::Gist {
            self.raced.extend(
                written
                    .union(&written_over)
                    .filter(|event| by_others.contains(event)),
            );
        }
        for (other, home) in self.homes.iter_mut().enumerate() {
            if let Some(flush) = home.flush.as_mut().filter(|_| other != n) {
                flush.written_by_others.extend(&written);
            }
        }
    }

    fn spend_trouble(&mut self) -> Option<()> {
        self.left.troubles = self.left.troubles.checked_sub(1)?;
        Some(())
    }

    fn spend_disaster(&mut self) -> Option<()> {
        self.left.disasters = self.left.disasters.checked_sub(1)?;
        Some(())
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(n, Way::Plain) => write!(f, "home {n} records an event"),
            Self::Record(n, Way::Overflow) => {
                write!(f, "home {n} records an event into the overflow")
            }
            Self::Record(n, Way::Both) => write!(
                f,
                "home {n} records an event; its commit seems to fail but succeeds"
            ),
            Self::Flush(n, Network::Well) => write!(f, "home {n} flushes, up to the next answer"),
            Self::Flush(n, network) => {
                write!(f, "home {n} flushes, and its request meets {network:?}")
            }
            Self::Kill(n, steps) => write!(f, "home {n} flushes and is killed after {steps} steps"),
            Self::Backup => f.write_str("home 0 is backed up"),
            Self::Restore => f.write_str("home 0 is restored from the backup"),
            Self::Copy => f.write_str("home 0 is copied to home 1"),
            Self::Delete(_) => f.write_str("somebody deletes a file at the destination"),
            Self::NewDay => f.write_str("a new day begins"),
            Self::Rejects(rejects) => write!(f, "the destination rejects {rejects:?}"),
            Self::Retry(n) => write!(f, "home {n} retries what is held"),
        }
    }
}
