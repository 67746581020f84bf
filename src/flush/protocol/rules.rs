//! What a model is about: the kind of destination, which mends are in force, and the names that stand
//! for small numbers.

use uuid::Uuid;

use crate::destination::segment;
use crate::destination::{Capabilities, Target};

/// An event, by its number in the order of recording.
pub(super) type Event = u8;

/// The most events that a model may record.
pub(super) const EVENTS: Event = 4;

/// Bytes of each event's payload; what matters is only that they are all the same.
pub(super) const PAYLOAD: usize = 100;

/// Events in a segment, so that the second or third one seals it.
const EVENTS_PER_SEGMENT: usize = 2;

/// Segments in a request, at most.
const SEGMENTS_PER_REQUEST: usize = 2;

/// A kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    Gist,
    Collector,
}

/// A part of the protocol that can be taken out, to see what it is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mend {
    /// A flush looks at the destination before it writes.
    LooksFirst,
    /// A segment whose file was written by a copy is left to it.
    LeavesForeignFiles,
    /// A waiting event that stands in a file there is taken as sent.
    TakesWhatArrived,
    /// A segment's name follows from its first event alone, and not from the day.
    NamesFollowFromEvents,
    /// A flush to a directory keeps the copies on the same machine out until it has written.
    LocksTheDirectory,
    /// An event that is in the database is not imported again.
    ImportsOnce,
    /// An event is held only when something else was taken in between.
    HoldsWithAControl,
    /// Only an answer that names our file is believed.
    WantsProof,
}

/// The name of a segment, as the place of its text in [`Rules::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    text: u8,
    /// The day that it was made, where names hold that.
    day: u8,
}

impl Name {
    /// What stands for the number of the segment's row.
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

/// All that stays the same while a model is searched.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) kind: Kind,
    pub(super) capabilities: Capabilities,
    without: &'static [Mend],
    names: Vec<String>,
    /// The text of the name of each event's n-th segment.
    texts: Vec<Vec<u8>>,
}

impl Rules {
    /// The rules for this kind of destination, with some mends taken out.
    pub(super) fn new(kind: Kind, without: &'static [Mend]) -> Self {
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

    /// All names that there can be, by the program's own rule.
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

    /// Whether this mend is in force.
    pub(super) fn has(&self, mend: Mend) -> bool {
        !self.without.contains(&mend)
    }

    /// The name of a segment that starts with this event, made on this day.
    pub(super) fn name(&self, first: Event, nth: u32, day: u8) -> Name {
        let text = self.texts[usize::from(first)][usize::try_from(nth).expect("a small number")];
        let day = if self.has(Mend::NamesFollowFromEvents) {
            0
        } else {
            day
        };
        Name { text, day }
    }

    /// A name as text, for the parts of the program that want it so.
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
            .expect("a name of this model's")
    }
}

/// The id of an event, as a `UUIDv7`: all of one day.
pub(super) fn id(event: Event) -> Uuid {
    const MS: u128 = 1_795_600_000_000;
    Uuid::from_u128(((MS + u128::from(event)) << 80) | (7 << 76) | (2 << 62))
}

/// The event of an id.
pub(super) fn event(id: &Uuid) -> Event {
    (0..EVENTS)
        .find(|event| self::id(*event) == *id)
        .expect("an event of this model's")
}
