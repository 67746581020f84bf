//! A YAML document as a flat list of nodes, built by `reader`.
//!
//! Aliases are never expanded: an alias is a node that points to its target, so a "billion laughs"
//! file takes no more memory here than in the file. Nothing recurses.

use std::collections::HashSet;

use super::scalar::Scalar;
use super::{Place, Problem};

/// A node, by its index. Children follow their collection, in order, up to `end`.
pub(super) struct Node {
    pub kind: Kind,
    pub place: Place,
    /// The index after the last descendant; 0 while the collection is open.
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Sequence,
    Mapping,
    Alias(usize),
}

pub(super) struct Document {
    nodes: Vec<Node>,
}

impl Document {
    /// # Errors
    /// When PyYAML's parser accepts the file but its constructor does not.
    pub(super) fn new(nodes: Vec<Node>) -> Result<Self, Problem> {
        let document = Self { nodes };
        document.check_collections()?;
        Ok(document)
    }

    pub(super) fn root(&self) -> Option<usize> {
        (!self.nodes.is_empty()).then_some(0)
    }

    pub(super) fn kind(&self, node: usize) -> Kind {
        self.nodes[node].kind
    }

    pub(super) fn place(&self, node: usize) -> Place {
        self.nodes[node].place
    }

    /// The values of `key` in a mapping, one for each time it is written there. If it is not
    /// written there, its values in the first merged mapping (`<<`) that has it, in PyYAML's order:
    /// the last `<<` comes first, but within its list the first item comes first.
    pub(super) fn lookup(&self, mapping: usize, key: Scalar) -> Vec<usize> {
        let mut seen = HashSet::new();
        let mut waiting = vec![mapping];
        while let Some(node) = waiting.pop() {
            if !seen.insert(node) {
                continue;
            }
            if self.kind(node) == Kind::Sequence {
                let first = waiting.len();
                waiting.extend(self.children(node));
                waiting[first..].reverse();
                continue;
            }
            let found: Vec<_> = self.values(node, key).collect();
            if !found.is_empty() {
                return found;
            }
            waiting.extend(self.values(node, Scalar::Merge));
        }
        Vec::new()
    }

    /// A collection's children, aliases resolved.
    fn children(&self, collection: usize) -> impl Iterator<Item = usize> {
        let mut next = collection + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < self.nodes[collection].end).then(|| {
                next = self.nodes[child].end;
                self.target(child)
            })
        })
    }

    fn pairs(&self, mapping: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut children = self.children(mapping);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    fn values(&self, mapping: usize, key: Scalar) -> impl Iterator<Item = usize> {
        self.pairs(mapping)
            .filter(move |&(name, _)| self.kind(name) == Kind::Scalar(key))
            .map(|(_, value)| value)
    }

    fn target(&self, node: usize) -> usize {
        match self.kind(node) {
            Kind::Alias(target) => target,
            _ => node,
        }
    }

    fn check_collections(&self) -> Result<(), Problem> {
        let mut mergeable = HashSet::new();
        for node in 0..self.nodes.len() {
            match self.kind(node) {
                Kind::Sequence => self
                    .children(node)
                    .try_for_each(|item| self.check_value(item))?,
                Kind::Mapping => {
                    for (key, value) in self.pairs(node) {
                        match self.kind(key) {
                            Kind::Scalar(Scalar::Merge) => {
                                self.check_merge(value, &mut mergeable)?
                            }
                            Kind::Scalar(_) => self.check_value(value)?,
                            _ => return Err(self.problem(key, "a key that is a collection")),
                        }
                    }
                }
                Kind::Scalar(_) | Kind::Alias(_) => {}
            }
        }
        Ok(())
    }

    fn check_value(&self, node: usize) -> Result<(), Problem> {
        match self.kind(node) {
            Kind::Scalar(Scalar::Merge | Scalar::Default) => {
                Err(self.problem(node, "a value that only a key may have"))
            }
            _ => Ok(()),
        }
    }

    /// Each list is checked only once, however many aliases merge it.
    fn check_merge(&self, value: usize, mergeable: &mut HashSet<usize>) -> Result<(), Problem> {
        let is_mapping = |node| self.kind(node) == Kind::Mapping;
        let fits = is_mapping(value)
            || self.kind(value) == Kind::Sequence
                && (!mergeable.insert(value) || self.children(value).all(is_mapping));
        if fits {
            Ok(())
        } else {
            Err(self.problem(value, "a merge of something that is not a mapping"))
        }
    }

    fn problem(&self, node: usize, what: &'static str) -> Problem {
        Problem::Syntax {
            place: self.place(node),
            what,
        }
    }
}
