//! Every world that can come to be, breadth first, so that the first one that is wrong is as simple
//! as can be.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::rules::Rules;
use super::world::{Bounds, Move, World};

/// What a search that found nothing wrong has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) worlds: usize,
    pub(super) settled: usize,
    /// Worlds in which two homes have written at the same moment.
    pub(super) raced: usize,
}

/// How the simplest wrong world comes to be.
#[derive(Debug)]
pub(super) struct Counterexample(String);

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a world was reached first, and where it goes when nothing more goes wrong.
struct Node {
    from: usize,
    what: Option<Move>,
    calm: Option<usize>,
}

/// Looks at every world within these bounds.
pub(super) fn search(rules: &Rules, bounds: Bounds) -> Result<Seen, Counterexample> {
    let first = World::new(bounds);
    // Of a world that was seen only its 64 bits of hash are kept.
    let mut known = HashMap::from([(fingerprint(&first), 0)]);
    let mut nodes = vec![Node {
        from: 0,
        what: None,
        calm: None,
    }];
    let mut ahead = VecDeque::from([(0, first)]);
    let mut seen = Seen::default();
    let tell = |nodes: &[Node], last: usize, why: &str| {
        Counterexample(story(rules, bounds, nodes, last, why))
    };
    while let Some((place, world)) = ahead.pop_front() {
        seen.worlds += 1;
        seen.settled += usize::from(world.calm().is_none());
        seen.raced += usize::from(world.has_raced());
        if let Some(why) = world.wrong() {
            return Err(tell(&nodes, place, &why));
        }
        let calm = world.calm();
        for (what, next) in world.moves(rules) {
            let found = match known.entry(fingerprint(&next)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    new.insert(nodes.len());
                    ahead.push_back((nodes.len(), next));
                    nodes.push(Node {
                        from: place,
                        what: Some(what),
                        calm: None,
                    });
                    nodes.len() - 1
                }
            };
            if calm == Some(what) {
                nodes[place].calm = Some(found);
            }
        }
        if calm.is_some() && nodes[place].calm.is_none() {
            return Err(tell(&nodes, place, "nothing goes on"));
        }
    }
    match never_settles(&nodes) {
        Some(place) => Err(tell(&nodes, place, "it never settles")),
        None => Ok(seen),
    }
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// A world that comes back to itself although nothing goes wrong any more.
fn never_settles(nodes: &[Node]) -> Option<usize> {
    // The walk that has been here last.
    let mut walks = vec![usize::MAX; nodes.len()];
    for walk in 0..nodes.len() {
        let mut place = walk;
        while walks[place] == usize::MAX {
            walks[place] = walk;
            match nodes[place].calm {
                Some(next) if walks[next] == walk => return Some(next),
                Some(next) => place = next,
                None => break,
            }
        }
    }
    None
}

/// The way to a world, a line for each move.
fn story(rules: &Rules, bounds: Bounds, nodes: &[Node], last: usize, why: &str) -> String {
    let way = std::iter::successors(Some(last), |place| (*place > 0).then(|| nodes[*place].from));
    let mut moves: Vec<_> = way.filter_map(|place| nodes[place].what).collect();
    moves.reverse();
    let mut text = format!("{why}:\n");
    let mut world = World::new(bounds);
    for (n, what) in moves.into_iter().enumerate() {
        world = world.after(rules, what).unwrap_or(world);
        let _ = writeln!(text, "{:>3}. {what}\n     {world}", n + 1);
    }
    text
}
