//! Random sequences of everything that can happen to a spool and its destinations, compared with a
//! model that is simple enough to be obviously right: an event waits, is at one destination, or was
//! purged.

mod copies;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::collector_stand_in::StandIn;
use crate::support::gist_server::{Fault, GistServer, Identical};
use crate::support::world::World;
use crate::support::world::later;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Gist,
    Dir,
    Collector,
}

#[derive(Debug, Clone)]
enum Step {
    Record(usize),
    Flush(Place),
    Limited(Place, usize),
    Trouble(usize),
    Kill(bool),
    Purge,
    Retry,
    Doubles,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Waits,
    Sent(Place),
    Purged,
}

fn step() -> impl Strategy<Value = Step> {
    let place =
        || prop_oneof![3 => Just(Place::Gist), 1 => Just(Place::Dir), 1 => Just(Place::Collector)];
    prop_oneof![
        4 => (1usize..5).prop_map(Step::Record),
        2 => place().prop_map(Step::Flush),
        2 => (place(), 1usize..4).prop_map(|(place, limit)| Step::Limited(place, limit)),
        5 => (0..faults().len()).prop_map(Step::Trouble),
        2 => any::<bool>().prop_map(Step::Kill),
        1 => Just(Step::Purge),
        1 => Just(Step::Retry),
        1 => Just(Step::Doubles),
    ]
}

/// Everything that can end a flush without a usable answer.
fn faults() -> Vec<Vec<Fault>> {
    let one = [
        Fault::CutBeforeCommit,
        Fault::CutAfterCommit,
        Fault::ResetAfterCommit,
        Fault::HalfBodyAfterCommit,
        Fault::BrokenJsonAfterCommit,
        Fault::CaptivePortal,
        Fault::WrongSize,
        Fault::MissingFile,
        Fault::unauthorized(),
        Fault::not_found(),
        Fault::method_not_allowed_but_committed(),
        Fault::server_error(502, true),
        Fault::server_error(500, false),
    ];
    let mut faults: Vec<_> = one.into_iter().map(|fault| vec![fault]).collect();
    faults.push(vec![Fault::conflict(true), Fault::not_found()]);
    faults.push(vec![
        Fault::conflict(true),
        Fault::StaleRead,
        Fault::CutAfterCommit,
    ]);
    faults
}

struct Play {
    server: GistServer,
    collector: StandIn,
    world: World,
    fates: BTreeMap<String, Fate>,
}

impl Play {
    fn new(identical: Identical) -> Self {
        let server = GistServer::start();
        server.set_spacing_check(false);
        server.set_identical_patch(identical);
        let world = World::with_gist(&server);
        Self {
            server,
            collector: StandIn::start(),
            world,
            fates: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Record(count) => {
                self.world.record_many(*count);
                for id in self.world.event_ids() {
                    self.fates.entry(id).or_insert(Fate::Waits);
                }
            }
            Step::Flush(place) => self.send_all(*place),
            Step::Limited(place, limit) => {
                let waiting = self.waiting();
                let report = self.flush(*place, &["--limit", &limit.to_string()]);
                let sent = report["sent"].as_u64().expect("a number");
                // Unconfirmed segments are sent completely, even beyond the limit.
                assert!(sent >= waiting.min(*limit) as u64, "{report}");
                self.learn(*place);
            }
            Step::Trouble(n) => {
                self.server.plan_many(faults().swap_remove(*n));
                self.flush(Place::Gist, &["--limit", "3"]);
                self.server.recover();
                // The look before the write can show that an earlier request with a lost answer was
                // carried out.
                self.learn(Place::Gist);
            }
            Step::Kill(committed) => {
                self.kill(*committed);
                self.learn(Place::Gist);
            }
            Step::Purge => {
                self.world
                    .run(["spool", "purge", "--pending", "--yes"])
                    .ok();
                for fate in self.fates.values_mut().filter(|fate| **fate == Fate::Waits) {
                    *fate = Fate::Purged;
                }
            }
            Step::Doubles => double(&self.world),
            Step::Retry => drop(self.world.run(["spool", "retry", "ALL"]).ok()),
        }
        self.compare();
    }

    fn waiting(&self) -> usize {
        self.fates
            .values()
            .filter(|fate| **fate == Fate::Waits)
            .count()
    }

    fn flush(&self, place: Place, args: &[&str]) -> serde_json::Value {
        if self.world.file("spool.db").exists() {
            later(&self.world, Duration::from_secs(2));
        }
        let (out, collector) = (self.world.out_target(), self.collector.url());
        let to = match place {
            Place::Gist => vec![],
            Place::Dir => vec!["--to", out.as_str()],
            Place::Collector => vec!["--to", collector.as_str()],
        };
        self.world
            .flush(["--now"].into_iter().chain(to).chain(args.iter().copied()))
    }

    fn send_all(&mut self, place: Place) {
        let report = self.flush(place, &[]);
        assert_eq!(report["remaining"], 0, "{report}");
        for fate in self.fates.values_mut().filter(|fate| **fate == Fate::Waits) {
            *fate = Fate::Sent(place);
        }
    }

    /// Starts a flush and kills it while the server does not answer, before or after the server has
    /// written.
    fn kill(&self, committed: bool) {
        if self.waiting() == 0 {
            return;
        }
        later(&self.world, Duration::from_secs(2));
        let long = Duration::from_secs(300);
        self.server.clear_requests();
        self.server.plan(if committed {
            Fault::StallAfterCommit(long)
        } else {
            Fault::StallBeforeCommit(long)
        });
        let mut flush = self
            .world
            .command(["flush", "--now"])
            .spawn()
            .expect("starts");
        let asked = self.server.wait_for(
            |state| {
                state
                    .requests
                    .iter()
                    .any(|request| !request.body.is_empty() || request.method == "GET")
            },
            Duration::from_secs(20),
        );
        flush.kill().expect("kills");
        flush.wait().expect("ends");
        assert!(asked);
        self.server.recover();
    }

    /// Adopts from the spool which waiting events are sent now. The comparison checks that this is
    /// true.
    fn learn(&mut self, place: Place) {
        for row in self
            .world
            .rows()
            .iter()
            .filter(|row| row["state"] == "sent")
        {
            let fate = self
                .fates
                .get_mut(row["event_id"].as_str().expect("a string"));
            let fate = fate.expect("a known event");
            if *fate == Fate::Waits {
                *fate = Fate::Sent(place);
            }
        }
    }

    fn places(&self) -> [(Place, BTreeMap<String, usize>); 3] {
        let count = |ids: Vec<String>| {
            ids.into_iter().fold(BTreeMap::new(), |mut counts, id| {
                *counts.entry(id).or_insert(0) += 1;
                counts
            })
        };
        let id = |line: String| {
            let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            event["event_id"].as_str().expect("a string").to_owned()
        };
        let out = self.world.lines_out().into_iter().map(id).collect();
        [
            (Place::Gist, count(self.server.event_ids_across_files())),
            (Place::Dir, count(out)),
            (Place::Collector, count(self.collector.event_ids())),
        ]
    }

    /// Checks that the spool, the ledger and the destinations are as the model says.
    fn compare(&self) {
        if !self.world.file("spool.db").exists() {
            return;
        }
        self.world.check();
        let stats = self.world.stats();
        let count =
            |so: fn(&Fate) -> bool| self.fates.values().filter(|fate| so(fate)).count() as u64;
        let number = |name: &str| stats[name].as_u64().expect("a number");
        assert_eq!(
            number("pending") + number("sending"),
            count(|fate| *fate == Fate::Waits),
            "{stats}"
        );
        assert_eq!(
            number("sent"),
            count(|fate| matches!(fate, Fate::Sent(_))),
            "{stats}"
        );
        assert_eq!(
            number("purged"),
            count(|fate| *fate == Fate::Purged),
            "{stats}"
        );
        for (place, ids) in self.places() {
            assert!(
                ids.values().all(|times| *times == 1),
                "twice at one place: {place:?} {ids:?}"
            );
            for (id, fate) in &self.fates {
                if *fate == Fate::Sent(place) {
                    assert!(ids.contains_key(id), "{id} is gone from {place:?}");
                }
            }
        }
    }

    /// Sends new events to both places, so that each replaces files that it has not confirmed.
    fn end(&mut self) {
        for place in [Place::Gist, Place::Dir, Place::Collector, Place::Gist] {
            self.take(&Step::Record(1));
            self.take(&Step::Flush(place));
        }
        let places = self.places();
        for (id, fate) in &self.fates {
            let times: usize = places.iter().filter_map(|(_, ids)| ids.get(id)).sum();
            match fate {
                Fate::Sent(_) => assert_eq!(times, 1, "{id}"),
                // It may have arrived before the user purged it.
                Fate::Purged => assert!(times <= 1, "{id}"),
                Fate::Waits => panic!("{id} was not sent"),
            }
        }
        assert_eq!(self.server.violations(), Vec::<String>::new());
    }
}

/// Adds every event of the spool to `overflow.jsonl`, as after commits that seemed to fail.
fn double(world: &World) {
    let rows = world.rows();
    let shown = world.run(["view", "--from", "spool", "--raw"]).ok();
    assert_eq!(shown.stdout.lines().count(), rows.len());
    if !rows.is_empty() {
        std::fs::write(world.file("overflow.jsonl"), shown.stdout).expect("writes");
    }
}

fn play(identical: Identical) {
    let config = Config {
        cases: 12,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 1..=12);
    let checked = TestRunner::new(config).run(&steps, |steps| {
        let mut play = Play::new(identical);
        steps.iter().for_each(|step| play.take(step));
        play.end();
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn whatever_happens_in_any_order_the_spool_and_the_destinations_are_as_a_model_says() {
    play(Identical::Ok);
}

#[test]
fn the_same_if_a_write_without_a_change_is_a_conflict() {
    play(Identical::Conflict409);
}
