//! The search for an event that the destination rejects, as plain data: an event is held only with a
//! control, which is something else that the same destination took in between.

use std::collections::BTreeSet;

/// After so many rejections, and nothing else that was taken, the destination takes nothing; after
/// half of them, single events are tried.
const REJECTIONS: u32 = 6;

/// What was rejected so far, and whether anything else was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Control {
    /// Requests whose content was rejected, since the search began.
    rejections: u32,
    /// Whether the destination took something else since then.
    took_something: bool,
    /// Segments of one event each, which was rejected, and nothing else was taken since. They are
    /// put aside until then: whoever is killed before has held nothing.
    suspects: BTreeSet<i64>,
}

impl Control {
    /// Whether a single event has to show that the destination takes anything at all.
    pub(super) fn is_needed(&self) -> bool {
        self.rejections >= REJECTIONS / 2 && !self.took_something
    }

    /// A request was rejected. `false` when everything was: then the destination takes nothing.
    pub(super) fn rejected(&mut self) -> bool {
        self.rejections += 1;
        self.rejections < REJECTIONS || self.took_something
    }

    /// A request was taken: what was rejected before was rejected for what it is. Gives the segments
    /// whose events are to be held for that.
    pub(super) fn taken(&mut self) -> BTreeSet<i64> {
        self.took_something = self.rejections > 0;
        std::mem::take(&mut self.suspects)
    }

    /// A rejected event stands alone in this segment. Whether it is to be held at once.
    pub(super) fn found(&mut self, segment: i64) -> bool {
        if self.took_something {
            (self.rejections, self.took_something) = (0, false);
            return true;
        }
        self.suspects.insert(segment);
        false
    }

    /// The segments that are put aside.
    pub(super) fn suspects(&self) -> &BTreeSet<i64> {
        &self.suspects
    }
}
