//! The data for the page's filters: counts by day × event × version. With them the browser can
//! filter every chart without having the events themselves. The size depends on the number of such
//! groups, not on the number of events. `data` turns it into the form that the page reads.

pub(super) mod data;

use std::collections::{BTreeMap, HashMap};
use std::io;

use chrono::NaiveDate;

use super::dimensions::{self, DIMENSIONS};
use super::{Consumer, Event};
use crate::limits::{PAGE_CELLS, PAGE_EVENTS, PAGE_VISITS, PAGE_WORDS, VIEW_WORD_CHARS};

/// Each group has one event and one version, so these two dimensions need no counts of their own.
const AXES: [&str; 2] = [dimensions::EVENT, dimensions::VERSION];

/// Numbers words. All words beyond the limit share one number.
#[derive(Debug, Default)]
struct Words {
    numbers: HashMap<String, u32>,
    words: Vec<String>,
}

impl Words {
    fn number(&mut self, word: &str, limit: usize) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let word = match word.char_indices().nth(VIEW_WORD_CHARS) {
            Some((end, _)) => &word[..end],
            None => word,
        };
        let word = if self.words.len() < limit {
            word
        } else {
            "(others)"
        };
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }
}

/// A group: the day, if the event has one, and the numbers of its event and version.
type Group = (Option<NaiveDate>, u32, u32);

/// The number of events in a group, and how often each word occurs in them.
#[derive(Debug, Default)]
struct Counted {
    events: u64,
    /// Counts by the index of the dimension in the table and the number of the word.
    words: BTreeMap<(u8, u32), u64>,
}

/// Collects the counts while events are read.
#[derive(Debug, Default)]
pub(crate) struct Cube {
    events: Words,
    versions: Words,
    /// The words of each of the [`DIMENSIONS`], in their order; those of the axes are above.
    words: Vec<Words>,
    groups: HashMap<Group, Counted>,
    ids: HashMap<u128, u32>,
    /// The events that an id sent, one bit each, by day, id and version.
    visits: HashMap<(Option<NaiveDate>, u32, u32), u32>,
    too_many_visits: bool,
    /// The number of groups plus the words in them, which determines the size of the page.
    cells: usize,
    /// Events that were counted without their day, because there were too many cells.
    without_day: u64,
}

impl Consumer for Cube {
    fn event(&mut self, event: &Event<'_>, _: &[u8]) -> io::Result<()> {
        let mut day = event.at().map(|at| at.date_naive());
        if self.cells > PAGE_CELLS && day.take().is_some() {
            self.without_day += 1;
        }
        let name = self.events.number(event.name(), PAGE_EVENTS - 1);
        let version = event.text("version");
        let version = self
            .versions
            .number(version.as_deref().unwrap_or("(none)"), PAGE_WORDS);
        let cells = &mut self.cells;
        let group = self.groups.entry((day, name, version)).or_insert_with(|| {
            *cells += 1;
            Counted::default()
        });
        group.events += 1;
        self.words.resize_with(DIMENSIONS.len(), Words::default);
        for ((place, dimension), words) in (0..).zip(DIMENSIONS).zip(&mut self.words) {
            if AXES.contains(&dimension.name) {
                continue;
            }
            dimension.words(event, &mut |word, count| {
                let number = words.number(word, PAGE_WORDS);
                let counted = group.words.entry((place, number)).or_insert_with(|| {
                    *cells += 1;
                    0
                });
                *counted = counted.saturating_add(count);
            });
        }
        self.visit(day, name, version, event.anonymous_id());
        Ok(())
    }
}

impl Cube {
    fn visit(&mut self, day: Option<NaiveDate>, name: u32, version: u32, id: Option<u128>) {
        let Some(id) = id.filter(|_| !self.too_many_visits) else {
            return;
        };
        let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(id).or_insert(next);
        *self.visits.entry((day, version, id)).or_default() |= 1 << name;
        if self.visits.len() > PAGE_VISITS {
            self.too_many_visits = true;
            self.visits = HashMap::new();
            self.ids = HashMap::new();
        }
    }

    /// A note about limits of the charts, if there is one.
    pub(super) fn note(&self) -> Option<String> {
        let count = self.without_day;
        let text = format!(
            "{count} events are in the charts of all time alone: there are too many days and words for a page"
        );
        (count > 0).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cube(lines: impl Iterator<Item = String>) -> Cube {
        let mut cube = Cube::default();
        for line in lines {
            let event = Event::read(line.as_bytes()).expect("an event");
            cube.event(&event, line.as_bytes()).expect("counts");
        }
        cube
    }

    #[test]
    fn groups_contain_every_event_and_ids_are_stored_as_differences() {
        let line = |n: usize| {
            let (event, day) = (["a", "b"][n % 2], n / 4 + 1);
            format!(
                r#"{{"event":"{event}","version":"1.{}","anonymous_id":"id{}","timestamp":"2026-01-{day:02}T00:00:00Z"}}"#,
                n / 8,
                n % 3
            )
        };
        let cube = cube((0..16).map(line).chain([r#"{"event":"a"}"#.to_owned()]));
        let data = serde_json::to_value(cube.data()).expect("serializes");
        assert_eq!(data["days"].as_array().map(Vec::len), Some(4));
        assert_eq!(data["events"], serde_json::json!(["a", "b"]));
        let groups = data["groups"].as_array().expect("a list");
        assert_eq!(groups[0][0], -1, "no day");
        let counted: u64 = groups.iter().filter_map(|group| group[3].as_u64()).sum();
        assert_eq!((groups.len(), counted), (9, 17));
        // Events 0 to 3 on the first day: id0 sent a and b, id1 sent b, id2 sent a.
        assert_eq!(
            data["visits"][0],
            serde_json::json!([0, 0, [0, 3, 1, 2, 1, 1]])
        );
    }

    /// The counts of a dimension, added up as the page does it.
    fn add_up(data: &serde_json::Value, dimension: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let mut add = |word: &serde_json::Value, count: u64| {
            let word = word.as_str().expect("a word").to_owned();
            *counts.entry(word).or_default() += count;
        };
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let place = |value: &serde_json::Value| usize::try_from(number(value)).expect("a place");
        for group in data["groups"].as_array().expect("a list") {
            let axis = match dimension {
                dimensions::EVENT => Some(&data["events"][place(&group[1])]),
                dimensions::VERSION => Some(&data["versions"][place(&group[2])]),
                _ => None,
            };
            if let Some(word) = axis {
                add(word, number(&group[3]));
            }
            for pair in group[4].as_array().expect("a list").chunks(2) {
                let word = &data["words"][place(&pair[0])];
                if word[0] == dimension {
                    add(&word[1], number(&pair[1]));
                }
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn the_page_and_the_summary_count_the_same(
            events in prop::collection::vec(
                (0..4_usize, 0..3_usize, 1..20_u32, 0..5_usize, prop::collection::vec(0..6_usize, 0..4), 0..9_u64), 0..60
            )
        ) {
            let lines = events.iter().map(|(event, version, day, word, tools, count)| {
                let event = ["scan.started", "scan.completed", "tool.failed", "else"][*event];
                let platform = ["Linux", "Darwin", "x", "", "y"][*word];
                let tools: Vec<_> = tools.iter().map(|tool| format!("t{tool}")).collect();
                serde_json::json!({
                    "event": event, "version": format!("1.{version}"), "platform": platform,
                    "timestamp": format!("2026-01-{day:02}T00:00:00Z"),
                    "metadata": {"profile": format!("p{word}"), "mode": format!("m{word}"), "tools": tools, "tool": format!("t{word}"),
                        "failure_type": "crash", "duration_bucket": "<5min", "findings_bucket": "0", "target_types": {"repos": count}},
                })
                .to_string()
            });
            let lines: Vec<_> = lines.collect();
            let (mut unit, mut progress) = ((), ());
            let mut pass = super::super::Pass::new(super::super::Period::default(), &mut unit, &mut progress);
            for line in &lines {
                pass.payload(line).expect("counts");
            }
            let cube = cube(lines.into_iter());
            let data = serde_json::to_value(cube.data()).expect("serializes");
            for (dimension, counts) in pass.finish().summary.dimensions() {
                let counts: BTreeMap<_, _> = counts.iter().map(|(word, count)| (word.to_owned(), count)).collect();
                prop_assert_eq!(add_up(&data, dimension.name), counts, "{}", dimension.name);
            }
        }
    }

    #[test]
    fn any_number_of_names_fits_the_bits_and_the_page() {
        let line = |n: usize| format!(r#"{{"event":"e{n}","version":"v{n}","anonymous_id":"i"}}"#);
        let cube = cube((0..500).map(line));
        assert_eq!(cube.events.words.len(), PAGE_EVENTS);
        assert_eq!(cube.versions.words.len(), PAGE_WORDS + 1);
        let counted: u64 = cube.groups.values().map(|group| group.events).sum();
        assert_eq!(counted, 500);
    }

    #[test]
    fn any_number_of_days_fits_the_page_and_no_event_is_lost() {
        let start = NaiveDate::from_ymd_opt(1000, 1, 1).expect("a day");
        let line = |n: usize| {
            let day = start + chrono::Days::new(n as u64);
            format!(r#"{{"event":"e","timestamp":"{day}T00:00:00Z"}}"#)
        };
        let mut cube = Cube {
            cells: PAGE_CELLS - 9,
            ..Cube::default()
        };
        for line in (0..20).map(line) {
            let event = Event::read(line.as_bytes()).expect("an event");
            cube.event(&event, line.as_bytes()).expect("counts");
        }
        assert_eq!(cube.groups.len(), 11, "one is of no day");
        let counted: u64 = cube.groups.values().map(|group| group.events).sum();
        assert_eq!(counted, 20);
        assert!(
            cube.note()
                .is_some_and(|note| note.starts_with("10 events"))
        );
    }

    #[test]
    fn counts_beyond_the_largest_number_do_not_wrap() {
        let line = r#"{"event":"e","metadata":{"target_types":{"repos":1e300}}}"#;
        let cube = cube([line, line].map(str::to_owned).into_iter());
        let counts = cube.groups.values().flat_map(|group| group.words.values());
        assert_eq!(counts.max(), Some(&u64::MAX));
    }

    #[test]
    fn too_many_visits_are_omitted_and_not_shown_wrong() {
        let line = |n: usize| format!(r#"{{"event":"e","anonymous_id":"{n}"}}"#);
        assert!(cube((0..=PAGE_VISITS).map(line)).data().visits.is_none());
        assert!(cube((0..PAGE_VISITS).map(line)).data().visits.is_some());
    }
}
