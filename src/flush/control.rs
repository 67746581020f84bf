//! The state of the search for an event that the destination rejects. A rejected event is held only
//! if there is a control: something else that the same destination accepted in the meantime.
//! Without one, the destination may be rejecting everything.

use std::collections::BTreeSet;

/// After this many rejections without anything accepted, we conclude that the destination accepts
/// nothing. After half of them, single events are tried.
const REJECTIONS: u32 = 6;

/// What was rejected so far, and whether anything else was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Control {
    /// The number of rejected requests since the search began.
    rejections: u32,
    /// Whether the destination has accepted anything else since then.
    accepted_any: bool,
    /// Segments with a single rejected event, waiting for a control. They are held only once there
    /// is one, so a flush that is killed before has held nothing.
    suspects: BTreeSet<i64>,
}

impl Control {
    /// Whether a single event should now test if the destination accepts anything at all.
    pub(super) fn is_needed(&self) -> bool {
        self.rejections >= REJECTIONS / 2 && !self.accepted_any
    }

    /// A request was rejected. Returns `false` if that means that the destination accepts nothing.
    pub(super) fn rejected(&mut self) -> bool {
        self.rejections += 1;
        self.rejections < REJECTIONS || self.accepted_any
    }

    /// A request was accepted, so earlier rejections were due to the events themselves. Returns the
    /// segments whose events must be held now.
    pub(super) fn taken(&mut self) -> BTreeSet<i64> {
        self.accepted_any = self.rejections > 0;
        std::mem::take(&mut self.suspects)
    }

    /// This segment has a single, rejected event. Returns whether to hold it at once.
    pub(super) fn found(&mut self, segment: i64) -> bool {
        if self.accepted_any {
            (self.rejections, self.accepted_any) = (0, false);
            return true;
        }
        self.suspects.insert(segment);
        false
    }

    /// The segments that wait for a control.
    pub(super) fn suspects(&self) -> &BTreeSet<i64> {
        &self.suspects
    }
}
