//! The search for an event that the destination rejects, as plain data: an event is held only with a
//! control, which is something else that the same destination took in between.

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
    /// Events that are held although nothing else was taken since they were rejected, yet.
    suspects: Vec<i64>,
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

    /// A request was taken: what was rejected before was rejected for what it is.
    pub(super) fn taken(&mut self) {
        if self.rejections > 0 {
            self.took_something = true;
            self.suspects.clear();
        }
    }

    /// The rejected event stands alone, and is held.
    pub(super) fn found(&mut self, seq: i64) {
        if self.took_something {
            (self.rejections, self.took_something) = (0, false);
        } else {
            self.suspects.push(seq);
        }
    }

    /// Whether events are held for which nothing else was taken.
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Gives up: these events are not held.
    pub(super) fn give_up(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.suspects)
    }
}
