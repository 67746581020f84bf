//! The numbers over all events: one pass fills them, every rendering shows them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::event::Event;
use crate::limits::{VIEW_WORD_CHARS, VIEW_WORDS};

/// Events by some word of theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u64>);

/// Where words are counted that come after the first [`VIEW_WORDS`].
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

    fn one(&mut self, word: Option<impl AsRef<str>>) {
        if let Some(word) = word {
            self.add(word.as_ref(), 1);
        }
    }

    /// By word.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(word, count)| (word.as_str(), *count))
    }

    /// Most counted first.
    #[must_use]
    pub fn ranked(&self) -> Vec<(&str, u64)> {
        let mut ranked: Vec<_> = self.iter().collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        ranked
    }

    /// In the order of a vocabulary, what it does not know after that: buckets are read from small
    /// to large.
    #[must_use]
    pub fn ordered(&self, words: &[&str]) -> Vec<(&str, u64)> {
        let place = |word: &str| words.iter().position(|known| *known == word);
        let mut ordered: Vec<_> = self.iter().collect();
        ordered.sort_by_key(|(word, _)| place(word).unwrap_or(words.len()));
        ordered
    }
}

/// `view --json`, in its words and order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Events, each counted once.
    pub events: u64,
    /// Different anonymous ids.
    pub unique_ids: u64,
    /// The earliest timestamp.
    pub first: Option<DateTime<Utc>>,
    /// The latest timestamp.
    pub last: Option<DateTime<Utc>>,
    /// Events left out since one with the same `event_id` was counted.
    pub duplicates: u64,
    /// Lines that are no event.
    pub malformed: u64,
    /// Whether there is more at the source than could be read.
    pub incomplete: bool,
    /// Events by name.
    pub by_event: Counts,
    /// Events by platform.
    pub by_platform: Counts,
    /// Events by Python version.
    pub by_python: Counts,
    /// Events by the scanner's version.
    pub by_version: Counts,
    /// Events by profile, among those that name one.
    pub by_profile: Counts,
    /// Events by mode, among those that name one.
    pub by_mode: Counts,
    /// Scans by tool that they started with.
    pub tools: Counts,
    /// Failures by tool.
    pub tool_failures: Counts,
    /// Events by duration, among those that have one.
    pub durations: Counts,
    /// Events by findings, among those that have any word on them.
    pub findings: Counts,
    /// Targets of all scans by kind.
    pub target_types: Counts,
    /// Events by day (UTC).
    pub per_day: BTreeMap<NaiveDate, u64>,
}

/// A summary that grows.
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
        summary.by_event.add(event.name(), 1);
        summary.by_platform.one(event.platform());
        summary.by_python.one(event.text("python_version"));
        summary.by_version.one(event.text("version"));
        summary.by_profile.one(event.profile());
        summary.by_mode.one(event.detail("mode"));
        event.tools().for_each(|tool| summary.tools.add(&tool, 1));
        summary.tool_failures.one(event.failed_tool());
        summary.durations.one(event.duration());
        summary.findings.one(event.findings());
        event
            .targets()
            .for_each(|(kind, count)| summary.target_types.add(kind, count));
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
    fn words_without_end_take_bounded_memory_and_lose_no_count() {
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
    fn buckets_are_ordered_by_size_and_words_by_count() {
        let mut counts = Counts::default();
        for (word, count) in [("5-15min", 1), ("<5min", 2), ("ages", 9), (">30min", 2)] {
            counts.add(word, count);
        }
        let words = |list: Vec<(&str, u64)>| {
            list.iter()
                .map(|(word, _)| word.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(counts.ranked()),
            ["ages", "<5min", ">30min", "5-15min"]
        );
        let known = ["<5min", "5-15min", "15-30min", ">30min"];
        assert_eq!(
            words(counts.ordered(&known)),
            ["<5min", "5-15min", ">30min", "ages"]
        );
    }
}
