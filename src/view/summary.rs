//! The numbers about all events, filled by one pass and shown in every form of output.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::dimensions::{self, DIMENSIONS, Dimension, Order};
use super::event::Event;
use crate::limits::{VIEW_WORD_CHARS, VIEW_WORDS};

/// How often each word was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Counts(BTreeMap<String, u64>);

/// The word under which all words beyond the first [`VIEW_WORDS`] are counted.
const OTHERS: &str = "(others)";

impl Counts {
    fn add(&mut self, word: &str, count: u64) {
        if let Some(counted) = self.0.get_mut(word) {
            *counted = counted.saturating_add(count);
            return;
        }
        let word = match word.char_indices().nth(VIEW_WORD_CHARS) {
            Some((end, _)) => &word[..end],
            None => word,
        };
        let word = if self.0.len() < VIEW_WORDS {
            word
        } else {
            OTHERS
        };
        let counted = self.0.entry(word.to_owned()).or_default();
        *counted = counted.saturating_add(count);
    }

    /// How often this word was counted.
    #[must_use]
    pub(crate) fn of(&self, word: &str) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// The sum of all counts.
    #[must_use]
    pub(crate) fn sum(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// All counts, sorted by word.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(word, count)| (word.as_str(), *count))
    }

    /// All counts in the order in which they are shown.
    #[must_use]
    pub(crate) fn sorted(&self, order: Order) -> Vec<(&str, u64)> {
        let mut sorted: Vec<_> = self.iter().collect();
        match order {
            Order::Count => sorted.sort_by_key(|(_, count)| Reverse(*count)),
            Order::Natural => sorted.sort_by(|a, b| by_numbers(a.0).cmp(by_numbers(b.0))),
            Order::Listed(words) => sorted.sort_by_key(|(word, _)| {
                let place = words.iter().position(|listed| listed == word);
                place.unwrap_or(words.len())
            }),
        }
        sorted
    }
}

/// A sort key for versions, so that 3.9 comes before 3.10.
fn by_numbers(version: &str) -> impl Iterator<Item = (u64, &str)> {
    let number = |part: &str| part.parse().unwrap_or(u64::MAX);
    version.split('.').map(move |part| (number(part), part))
}

/// The numbers of `view --json`, with its names and order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Events, each counted once.
    pub events: u64,
    /// Different anonymous ids.
    pub unique_ids: u64,
    /// The earliest timestamp.
    pub first: Option<DateTime<Utc>>,
    /// The latest timestamp.
    pub last: Option<DateTime<Utc>>,
    /// Events left out because one with the same `event_id` was already counted.
    pub duplicates: u64,
    /// Lines that are not events.
    pub malformed: u64,
    /// Whether the source has more than could be read.
    pub incomplete: bool,
    /// Events by day (UTC).
    pub per_day: BTreeMap<NaiveDate, u64>,
    /// The counts of each of the [`DIMENSIONS`], in their order.
    counts: Vec<Counts>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            events: 0,
            unique_ids: 0,
            first: None,
            last: None,
            duplicates: 0,
            malformed: 0,
            incomplete: false,
            per_day: BTreeMap::new(),
            counts: vec![Counts::default(); DIMENSIONS.len()],
        }
    }
}

impl Summary {
    /// The counts of every dimension.
    pub(crate) fn dimensions(&self) -> impl Iterator<Item = (&'static Dimension, &Counts)> {
        DIMENSIONS.iter().zip(&self.counts)
    }

    /// The number of started scans.
    #[must_use]
    pub(crate) fn scans(&self) -> u64 {
        self.dimensions()
            .find(|(dimension, _)| dimension.name == dimensions::EVENT)
            .map_or(0, |(_, events)| events.of("scan.started"))
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("unique_ids", &self.unique_ids)?;
        map.serialize_entry("first", &self.first)?;
        map.serialize_entry("last", &self.last)?;
        map.serialize_entry("duplicates", &self.duplicates)?;
        map.serialize_entry("malformed", &self.malformed)?;
        map.serialize_entry("incomplete", &self.incomplete)?;
        for (dimension, counts) in self.dimensions() {
            if dimension.in_json {
                map.serialize_entry(dimension.name, counts)?;
            }
        }
        map.serialize_entry("per_day", &self.per_day)?;
        map.end()
    }
}

/// A summary while it is being counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) summary: Summary,
    ids: HashSet<u128>,
}

impl Tally {
    pub(super) fn count(&mut self, event: &Event<'_>) {
        let summary = &mut self.summary;
        summary.events += 1;
        if let Some(at) = event.at() {
            summary.first = Some(summary.first.map_or(at, |first| first.min(at)));
            summary.last = summary.last.max(Some(at));
            *summary.per_day.entry(at.date_naive()).or_default() += 1;
        }
        if let Some(id) = event.anonymous_id() {
            self.ids.insert(id);
        }
        for (dimension, counts) in DIMENSIONS.iter().zip(&mut summary.counts) {
            dimension.words(event, &mut |word, count| counts.add(word, count));
        }
    }

    pub(super) fn finish(mut self) -> Summary {
        self.summary.unique_ids = self.ids.len() as u64;
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_words_takes_bounded_memory_and_loses_no_count() {
        let mut counts = Counts::default();
        for n in 0..VIEW_WORDS + 5 {
            counts.add(&format!("{}{n}", "é".repeat(VIEW_WORD_CHARS - 9)), 1);
        }
        counts.add(&"é".repeat(1000), 2);
        assert_eq!(counts.0.len(), VIEW_WORDS + 1);
        assert_eq!(counts.0[OTHERS], 7);
        assert_eq!(
            counts.iter().map(|(_, count)| count).sum::<u64>(),
            (VIEW_WORDS + 7) as u64
        );
    }

    #[test]
    fn words_are_sorted_by_count_by_list_or_by_their_numbers() {
        let counts = |words: &[(&str, u64)]| {
            let mut counts = Counts::default();
            words
                .iter()
                .for_each(|(word, count)| counts.add(word, *count));
            counts
        };
        let sorted = |counts: &Counts, order| {
            let sorted = counts.sorted(order).into_iter();
            sorted.map(|(word, _)| word.to_owned()).collect::<Vec<_>>()
        };
        let buckets = counts(&[("5-15min", 1), ("<5min", 2), ("ages", 9), (">30min", 2)]);
        assert_eq!(
            sorted(&buckets, Order::Count),
            ["ages", "<5min", ">30min", "5-15min"]
        );
        let known = Order::Listed(&["<5min", "5-15min", "15-30min", ">30min"]);
        assert_eq!(
            sorted(&buckets, known),
            ["<5min", "5-15min", ">30min", "ages"]
        );
        let versions = counts(&[("3.10", 9), ("3.9", 1), ("3", 1), ("3.x", 1)]);
        assert_eq!(
            sorted(&versions, Order::Natural),
            ["3", "3.9", "3.10", "3.x"]
        );
    }
}
