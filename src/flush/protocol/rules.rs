//! The configuration of a model: the kind of destination, the safeguards in force, and the segment
//! names, which the model represents by small numbers.

use uuid::Uuid;

use crate::destination::segment;
use crate::destination::{Capabilities, Target};

/// An event, by its number in the order of recording.
pub(super) type Event = u8;

/// The most events that a model can record.
pub(super) const EVENTS: Event = 4;

/// The size of each event's payload in bytes. Only matters in that it is the same for all.
pub(super) const PAYLOAD: usize = 100;

/// Events per segment: few, so that segments are sealed within the bounds.
const EVENTS_PER_SEGMENT: usize = 2;

/// The most segments in a request.
const SEGMENTS_PER_REQUEST: usize = 2;

/// A kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    Gist,
    Collector,
}

/// A part of the protocol that can be switched off, to see what goes wrong without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safeguard {
    /// A flush looks at the destination before it writes.
    LooksFirst,
    /// A segment whose file a copy has written is left to that copy.
    LeavesForeignFiles,
    /// A waiting event that is in a file at the destination counts as sent.
    TakesWhatArrived,
    /// The name of a segment depends only on its first event, not on the day.
    NamesFollowFromEvents,
    /// A flush to a directory locks out copies on the same machine until it has written.
    LocksTheDirectory,
    /// An event that is already in the database is not imported again.
    ImportsOnce,
    /// An event is held only if something else was accepted in the meantime.
    HoldsWithAControl,
    /// Only an answer that names our file counts as a confirmation.
    WantsProof,
}

/// The name of a segment, represented by its index in [`Rules::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    text: u8,
    /// The day on which it was created, if names contain the day.
    day: u8,
}

impl Name {
    /// A number that stands for the id of the segment's row.
    pub(super) fn id(self) -> i64 {
        i64::from(self.day) << 8 | i64::from(self.text)
    }

    /// The name with this number.
    pub(super) fn of(id: i64) -> Self {
        let part = |id: i64| u8::try_from(id & 0xff).expect("a byte");
        Self {
            text: part(id),
            day: part(id >> 8),
        }
    }
}

/// Everything that stays the same during a search.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) kind: Kind,
    pub(super) capabilities: Capabilities,
    without: &'static [Safeguard],
    names: Vec<String>,
    /// The text of the name of the n-th segment that starts with each event.
    texts: Vec<Vec<u8>>,
}

impl Rules {
    /// The rules for this kind of destination, with some safeguards switched off.
    pub(super) fn new(kind: Kind, without: &'static [Safeguard]) -> Self {
        let target = match kind {
            Kind::Dir => Ok(Target::dir("out")),
            Kind::Gist => Target::gist("0123456789abcdef"),
            Kind::Collector => Target::collector("https://collector.example"),
        };
        let capabilities = target.expect("a target").capabilities();
        Self {
            kind,
            capabilities: Capabilities {
                max_events: EVENTS_PER_SEGMENT,
                segments_per_request: capabilities.segments_per_request.min(SEGMENTS_PER_REQUEST),
                ..capabilities
            },
            without,
            names: Vec::new(),
            texts: Vec::new(),
        }
        .with_names()
    }

    /// Adds all possible names, as the program would choose them.
    fn with_names(mut self) -> Self {
        for event in 0..EVENTS {
            let names = (0..=u32::from(EVENTS)).map(|nth| segment::name(id(event), nth));
            let texts = names.map(|name| {
                if !self.names.contains(&name) {
                    self.names.push(name.clone());
                }
                self.text_of(&name)
            });
            let texts = texts.collect();
            self.texts.push(texts);
        }
        self
    }

    /// Whether this safeguard is in force.
    pub(super) fn has(&self, safeguard: Safeguard) -> bool {
        !self.without.contains(&safeguard)
    }

    /// The name of a segment that starts with this event and was created on this day.
    pub(super) fn name(&self, first: Event, nth: u32, day: u8) -> Name {
        let text = self.texts[usize::from(first)][usize::try_from(nth).expect("a small number")];
        let day = if self.has(Safeguard::NamesFollowFromEvents) {
            0
        } else {
            day
        };
        Name { text, day }
    }

    /// A name as text, for functions of the program that need text.
    pub(super) fn text(&self, name: Name) -> String {
        format!(
            "{}{}",
            "+".repeat(name.day.into()),
            self.names[usize::from(name.text)]
        )
    }

    /// The name in a text.
    pub(super) fn parse(&self, text: &str) -> Name {
        let name = text.trim_start_matches('+');
        let day = u8::try_from(text.len() - name.len()).expect("few days");
        Name {
            text: self.text_of(name),
            day,
        }
    }

    fn text_of(&self, text: &str) -> u8 {
        let place = self.names.iter().position(|known| known == text);
        place
            .and_then(|place| u8::try_from(place).ok())
            .expect("a name from this model")
    }
}

/// The id of an event, as a `UUIDv7`. All ids are from the same day.
pub(super) fn id(event: Event) -> Uuid {
    const MS: u128 = 1_795_600_000_000;
    Uuid::from_u128(((MS + u128::from(event)) << 80) | (7 << 76) | (2 << 62))
}

/// The event with this id.
pub(super) fn event(id: &Uuid) -> Event {
    (0..EVENTS)
        .find(|event| self::id(*event) == *id)
        .expect("an event from this model")
}
