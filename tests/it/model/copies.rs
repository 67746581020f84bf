//! Random sequences of everything that can happen to a spool that is backed up, restored and
//! copied, with one destination, which must have each event once in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use crate::copies::copy;
use crate::support::collector::{self, Proxy};
use crate::support::collector_stand_in::StandIn;
use crate::support::gist_server::{Fault, GistServer};
use crate::support::tracer::Tracer;
use crate::support::world::World;
use crate::support::world::later;

/// The most homes: the first one and its copies.
const HOMES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Record(usize, usize),
    Flush(usize),
    Limited(usize, usize),
    Trouble(usize, usize),
    /// A flush that is killed at one of its system calls.
    Kill(usize, usize),
    Doubles(usize),
    Backup,
    Restore,
    Copy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let home = 0..HOMES;
    prop_oneof![
        4 => (home.clone(), 1usize..4).prop_map(|(home, count)| Step::Record(home, count)),
        3 => home.clone().prop_map(Step::Flush),
        1 => (home.clone(), 1usize..4).prop_map(|(home, limit)| Step::Limited(home, limit)),
        2 => (home.clone(), 0usize..6).prop_map(|(home, trouble)| Step::Trouble(home, trouble)),
        2 => (home.clone(), 0usize..900).prop_map(|(home, call)| Step::Kill(home, call)),
        1 => home.clone().prop_map(Step::Doubles),
        2 => Just(Step::Backup),
        2 => Just(Step::Restore),
        2 => home.prop_map(Step::Copy),
    ]
}

/// The one destination.
enum Place {
    Dir(TempDir),
    Gist(GistServer),
    Collector(StandIn, Proxy),
}

impl Place {
    fn dir() -> Self {
        Self::Dir(tempfile::tempdir().expect("a temporary directory"))
    }

    fn gist() -> Self {
        let server = GistServer::start();
        // Each copy keeps a pause after its own last write, but knows nothing about the writes of
        // others.
        server.set_spacing_check(false);
        Self::Gist(server)
    }

    fn collector() -> Self {
        let stand_in = StandIn::start();
        let proxy = Proxy::before_port(stand_in.port());
        Self::Collector(stand_in, proxy)
    }

    fn world(&self) -> World {
        match self {
            Self::Gist(server) => World::with_gist(server),
            Self::Dir(_) | Self::Collector(..) => World::new(),
        }
    }

    /// The arguments of a flush to this place.
    fn flush(&self) -> Vec<String> {
        let mut args: Vec<_> = ["flush", "--now", "--json"].map(str::to_owned).into();
        match self {
            Self::Dir(dir) => {
                args.extend(["--to".to_owned(), format!("dir:{}", dir.path().display())])
            }
            Self::Collector(_, proxy) => args.extend(["--to".to_owned(), proxy.url()]),
            Self::Gist(_) => {}
        }
        args
    }

    /// Makes something go wrong with the next write.
    fn trouble(&self, n: usize) {
        use collector::Fault as F;
        match self {
            Self::Dir(_) => {}
            Self::Gist(server) => server.plan(
                [
                    Fault::CutBeforeCommit,
                    Fault::CutAfterCommit,
                    Fault::CaptivePortal,
                    Fault::not_found(),
                    Fault::conflict(true),
                    Fault::server_error(502, true),
                ][n]
                    .clone(),
            ),
            Self::Collector(_, proxy) => proxy.plan([[
                F::CutBeforeCommit,
                F::CutAfterCommit,
                F::Portal,
                F::Status(404, None),
                F::WrongHash,
                F::StatusAfterCommit(502),
            ][n]]),
        }
    }

    fn recover(&self) {
        match self {
            Self::Dir(_) => {}
            Self::Gist(server) => server.recover(),
            Self::Collector(_, proxy) => proxy.recover(),
        }
    }

    /// The ids of all events there, including duplicates.
    fn event_ids(&self) -> Vec<String> {
        match self {
            Self::Dir(dir) => crate::copies::ids_in(dir.path()),
            Self::Gist(server) => server.event_ids_across_files(),
            Self::Collector(stand_in, _) => stand_in.event_ids(),
        }
    }
}

struct Play {
    place: Place,
    homes: Vec<World>,
    /// The latest backup of the first home.
    backup: Option<TempDir>,
    sent: BTreeSet<String>,
}

impl Play {
    fn new(place: Place) -> Self {
        let homes = vec![place.world()];
        Self {
            place,
            homes,
            backup: None,
            sent: BTreeSet::new(),
        }
    }

    fn home(&self, n: usize) -> &World {
        &self.homes[n % self.homes.len()]
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Record(n, count) => self.home(n).record_many(count),
            Step::Flush(n) => drop(self.flush(n, &[])),
            Step::Limited(n, limit) => drop(self.flush(n, &["--limit", &limit.to_string()])),
            Step::Trouble(n, trouble) => {
                self.place.trouble(trouble);
                self.flush(n, &[]);
                self.place.recover();
            }
            Step::Kill(n, call) => {
                let home = self.home(n);
                let flush = Tracer::new(home.command(self.place.flush()));
                flush.kill_at(call).expect("traces");
            }
            Step::Doubles(n) => super::double(self.home(n)),
            Step::Backup => self.back_up(),
            Step::Restore => {
                if let Some(backup) = &self.backup {
                    copy(backup.path(), &self.homes[0].home());
                }
            }
            Step::Copy(n) => self.copy(n),
        }
        self.compare();
    }

    fn flush(&self, n: usize, args: &[&str]) -> serde_json::Value {
        let home = self.home(n);
        if home.file("spool.db").exists() {
            later(home, Duration::from_secs(2));
        }
        let flush = self.place.flush();
        let args = flush.iter().map(String::as_str).chain(args.iter().copied());
        home.run(args).ok().json()
    }

    fn back_up(&mut self) {
        if self.homes[0].home().exists() {
            let backup = tempfile::tempdir().expect("a temporary directory");
            copy(&self.homes[0].home(), backup.path());
            self.backup = Some(backup);
        }
    }

    fn copy(&mut self, n: usize) {
        let from = self.home(n).home();
        if self.homes.len() < HOMES && from.exists() {
            let twin = self.place.world();
            copy(&from, &twin.home());
            self.homes.push(twin);
        }
    }

    /// Checks that nothing is there twice and that everything that was ever sent is there.
    fn compare(&mut self) {
        let there = self.place.event_ids();
        let once: BTreeSet<_> = there.iter().cloned().collect();
        assert_eq!(
            there.len(),
            once.len(),
            "twice at the destination: {there:?}"
        );
        for home in &self.homes {
            if !home.file("spool.db").exists() {
                continue;
            }
            home.check();
            let rows = home.rows();
            let sent = rows.iter().filter(|row| row["state"] == "sent");
            self.sent
                .extend(sent.map(|row| row["event_id"].as_str().expect("a string").to_owned()));
            let ids: BTreeSet<_> = home.event_ids().into_iter().collect();
            assert_eq!(ids.len(), rows.len(), "twice in a spool");
        }
        assert!(
            self.sent.is_subset(&once),
            "sent and gone: {:?}",
            self.sent.difference(&once)
        );
    }

    /// Records something new in every home and sends everything.
    fn end(&mut self) {
        for n in 0..self.homes.len() {
            self.take(&Step::Record(n, 1));
            let report = self.flush(n, &[]);
            assert_eq!(report["remaining"], 0, "{report}");
            self.compare();
        }
        for home in &self.homes {
            assert_eq!(home.count("sent"), home.rows().len());
        }
    }
}

fn play(place: fn() -> Place) {
    let config = Config {
        cases: 10,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 1..=12);
    let checked = TestRunner::new(config).run(&steps, |steps| {
        let mut play = Play::new(place());
        steps.iter().for_each(|step| play.take(step));
        play.end();
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn homes_that_are_restored_and_copied_send_each_event_to_a_directory_once() {
    play(Place::dir);
}

#[test]
fn homes_that_are_restored_and_copied_send_each_event_to_a_gist_once() {
    play(Place::gist);
}

#[test]
fn homes_that_are_restored_and_copied_send_each_event_to_a_collector_once() {
    play(Place::collector);
}
