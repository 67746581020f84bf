//! A check of the delivery protocol: a small pure model of spools, network and destination, and an
//! exhaustive search through every state of this world that can be reached within given bounds.
//! Where the program decides with pure functions, the model calls the same functions. What the
//! program does in SQL is written again in `spool`.
//!
//! Assumptions of the model: a request that a flush gave up on is over before the next flush of
//! that home looks; a destination that rejects everything, or one event, does so for a whole flush;
//! nothing is promised about events that somebody deletes at the destination.

mod delivery;
mod destination;
mod moves;
mod rules;
mod search;
mod spool;
mod world;

use self::rules::{Kind, Rules, Safeguard};
use self::search::{Seen, search};
use self::world::Bounds;

/// Every bug that was ever found shows with two events, one trouble and two disasters. A third
/// event needs a second segment.
const BOUNDS: [Bounds; 2] = [
    Bounds {
        events: 2,
        troubles: 1,
        disasters: 2,
        copies: true,
    },
    Bounds {
        events: 3,
        troubles: 1,
        disasters: 1,
        copies: true,
    },
];

/// In every state within the bounds, each event is at the destination once, and none is missing.
fn check(kind: Kind) -> [Seen; 2] {
    let rules = Rules::new(kind, &[]);
    BOUNDS.map(|bounds| {
        search(&rules, bounds).unwrap_or_else(|wrong| panic!("{kind:?}, {bounds:?}: {wrong}"))
    })
}

#[test]
fn to_a_directory_each_event_goes_once_whatever_happens() {
    let seen = check(Kind::Dir);
    assert!(
        seen.iter()
            .all(|seen| seen.settled > 100 && seen.raced == 0),
        "{seen:?}"
    );
}

#[test]
fn to_a_collector_each_event_goes_once_whatever_happens() {
    let seen = check(Kind::Collector);
    assert!(
        seen.iter()
            .all(|seen| seen.settled > 100 && seen.raced == 0),
        "{seen:?}"
    );
}

/// Except for what two copies write at the same moment, which does happen in the model.
#[test]
fn to_a_gist_each_event_goes_once_whatever_happens() {
    let seen = check(Kind::Gist);
    assert!(
        seen.iter()
            .all(|seen| seen.settled > 100 && seen.raced > 100),
        "{seen:?}"
    );
}

/// The shortest way to an error without these safeguards.
fn found_without(kind: Kind, without: &'static [Safeguard]) -> String {
    found(&Rules::new(kind, without), BOUNDS[0])
}

fn found(rules: &Rules, bounds: Bounds) -> String {
    match search(rules, bounds) {
        Ok(seen) => panic!("no error was found: {rules:?} {seen:?}"),
        Err(wrong) => wrong.to_string(),
    }
}

#[test]
fn without_a_look_a_restored_home_writes_over_what_was_sent() {
    let bounds = Bounds {
        events: 3,
        troubles: 0,
        copies: false,
        ..BOUNDS[0]
    };
    let rules = Rules::new(Kind::Dir, &[Safeguard::LooksFirst]);
    insta::assert_snapshot!(found(&rules, bounds), @r"
    e1 was sent, and is not at the destination:
      1. home 0 records an event
         destination: nothing; home 0: e0 pending
      2. home 0 is backed up
         destination: nothing; home 0: e0 pending
      3. home 0 records an event
         destination: nothing; home 0: e0 pending e1 pending
      4. home 0 flushes, up to the next answer
         destination: [ e0 e1 ]; home 0: e0 sending e1 sending (flushing)
      5. home 0 flushes, up to the next answer
         destination: [ e0 e1 ]; home 0: e0 sent e1 sent
      6. home 0 is restored from the backup
         destination: [ e0 e1 ]; home 0: e0 pending
      7. home 0 flushes, up to the next answer
         destination: [ e0 ]; home 0: e0 sending (flushing)
    ");
}

#[test]
fn without_a_look_a_copied_home_writes_over_what_was_sent() {
    insta::assert_snapshot!(found_without(Kind::Dir, &[Safeguard::LooksFirst]), @r"
    e1 was sent, and is not at the destination:
      1. home 0 records an event
         destination: nothing; home 0: e0 pending
      2. home 0 is copied to home 1
         destination: nothing; home 0: e0 pending; home 1: e0 pending
      3. home 0 records an event
         destination: nothing; home 0: e0 pending e1 pending; home 1: e0 pending
      4. home 0 flushes, up to the next answer
         destination: [ e0 e1 ]; home 0: e0 sending e1 sending (flushing); home 1: e0 pending
      5. home 0 flushes, up to the next answer
         destination: [ e0 e1 ]; home 0: e0 sent e1 sent; home 1: e0 pending
      6. home 1 flushes, up to the next answer
         destination: [ e0 ]; home 0: e0 sent e1 sent; home 1: e0 sending (flushing)
    ");
}

#[test]
fn without_a_look_and_with_days_in_names_what_was_pending_at_the_backup_arrives_twice() {
    let without = &[Safeguard::LooksFirst, Safeguard::NamesFollowFromEvents];
    insta::assert_snapshot!(found_without(Kind::Dir, without), @r"
    e0 is 2 times at the destination:
      1. home 0 records an event
         destination: nothing; home 0: e0 pending
      2. home 0 is copied to home 1
         destination: nothing; home 0: e0 pending; home 1: e0 pending
      3. home 0 flushes, up to the next answer
         destination: [ e0 ]; home 0: e0 sending (flushing); home 1: e0 pending
      4. home 0 flushes, up to the next answer
         destination: [ e0 ]; home 0: e0 sent; home 1: e0 pending
      5. a new day begins
         destination: [ e0 ]; home 0: e0 sent; home 1: e0 pending
      6. home 1 flushes, up to the next answer
         destination: [ e0 ] [ e0 ]; home 0: e0 sent; home 1: e0 sending (flushing)
    ");
}

#[test]
fn without_finding_it_in_the_database_an_event_of_the_overflow_is_there_twice() {
    insta::assert_snapshot!(found_without(Kind::Gist, &[Safeguard::ImportsOnce]), @r"
    e0 is twice in the spool of home 0:
      1. home 0 records an event; its commit seems to fail but succeeds
         destination: nothing; home 0: e0 pending overflow e0
      2. home 0 flushes, up to the next answer
         destination: nothing; home 0: e0 sending e0 sending (flushing)
    ");
}

#[test]
fn without_a_control_a_destination_that_takes_nothing_has_an_event_held() {
    insta::assert_snapshot!(found_without(Kind::Gist, &[Safeguard::HoldsWithAControl]), @r"
    e0 is held in home 0, and nothing is wrong with it:
      1. home 0 records an event
         destination: nothing; home 0: e0 pending
      2. the destination rejects Everything
         destination: nothing; home 0: e0 pending
      3. home 0 flushes, up to the next answer
         destination: nothing; home 0: e0 sending (flushing)
      4. home 0 flushes, up to the next answer
         destination: nothing; home 0: e0 sending (flushing)
      5. home 0 flushes, up to the next answer
         destination: nothing; home 0: e0 held (flushing)
      6. home 0 flushes, up to the next answer
         destination: nothing; home 0: e0 held
    ");
}

#[test]
fn each_safeguard_is_needed() {
    let needed: [(Kind, &[Safeguard]); 9] = [
        (Kind::Gist, &[Safeguard::LooksFirst]),
        (Kind::Gist, &[Safeguard::LeavesForeignFiles]),
        (Kind::Gist, &[Safeguard::TakesWhatArrived]),
        (Kind::Gist, &[Safeguard::WantsProof]),
        (Kind::Dir, &[Safeguard::TakesWhatArrived]),
        (Kind::Dir, &[Safeguard::LocksTheDirectory]),
        (Kind::Collector, &[Safeguard::ImportsOnce]),
        (Kind::Collector, &[Safeguard::HoldsWithAControl]),
        (Kind::Collector, &[Safeguard::WantsProof]),
    ];
    for (kind, safeguard) in needed {
        // Panics when no error is found.
        drop(found_without(kind, safeguard));
    }
}
