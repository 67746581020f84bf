//! A breadth-first search through all reachable states, so that the first error found has the
//! shortest story.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::moves::Move;
use super::rules::Rules;
use super::world::{Bounds, World};

/// Statistics of a search that found no error.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) worlds: usize,
    pub(super) settled: usize,
    /// States in which two homes have written at the same moment.
    pub(super) raced: usize,
}

/// The shortest story that leads to an error.
#[derive(Debug)]
pub(super) struct Counterexample(String);

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a state was first reached, and which state follows when nothing more goes wrong.
struct Node {
    from: usize,
    what: Option<Move>,
    calm: Option<usize>,
}

/// Looks at every state within these bounds.
pub(super) fn search(rules: &Rules, bounds: Bounds) -> Result<Seen, Counterexample> {
    let first = World::new(bounds);
    // Only a 64-bit hash is kept of each known state.
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
            return Err(tell(&nodes, place, "nothing can happen any more"));
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

/// A state that is reached again and again although nothing goes wrong any more.
fn never_settles(nodes: &[Node]) -> Option<usize> {
    // The last walk that visited each node.
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

/// The story that leads to a state, one line per move.
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
