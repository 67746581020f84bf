//! The table of dimensions: the properties by which events are counted. One row here is one chart:
//! `--json`, the CSV, the dashboard, the page and its data are all generated from this table.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::Event;
use crate::event::vocabulary::{DurationBucket, FindingsBucket, Vocabulary};

/// One way to count events.
#[derive(Debug, Serialize)]
pub(crate) struct Dimension {
    /// Its name in `--json` and in the page's data.
    pub name: &'static str,
    /// The title of its chart.
    pub title: &'static str,
    /// How the page draws it.
    pub chart: Chart,
    /// The whole that the share of a word refers to.
    pub share: Share,
    /// The order of its words.
    pub order: Order,
    /// Whether `--json` contains it. Scripts rely on its members, so they rarely change.
    pub in_json: bool,
    /// The members of an event that contain its words; the first one that is present is used.
    pub fields: &'static [&'static str],
    /// Its column in the CSV, if it has one word per event that differs from the text of its
    /// fields.
    #[serde(skip)]
    pub(super) column: Option<&'static str>,
    /// Finds its words in an event.
    #[serde(skip)]
    words: Words,
}

/// Calls the function with each word of an event and its count.
type Words = fn(&Event<'_>, &mut dyn FnMut(&str, u64));

/// The forms of a chart.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chart {
    /// Horizontal bars, longest first: for many or long words.
    Bars,
    /// Vertical columns, in a fixed order.
    Columns,
    /// A ring: for a few parts of a whole.
    Ring,
}

/// The whole that the share of a word refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Share {
    /// Everything that is counted in this dimension.
    All,
    /// All started scans, since one scan starts with several tools.
    Scans,
    /// No share is shown: the counts are numbers of things, not of events.
    None,
}

/// The order in which words are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Most counted first.
    Count,
    /// Version order: 3.9 before 3.10.
    Natural,
    /// The order of this list, from small to large; other words come last.
    Listed(&'static [&'static str]),
}

impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count => serializer.serialize_str("count"),
            Self::Natural => serializer.serialize_str("natural"),
            Self::Listed(words) => words.serialize(serializer),
        }
    }
}

impl Dimension {
    /// Calls `take` with each of the event's words and its count.
    pub(super) fn words(&self, event: &Event<'_>, take: &mut dyn FnMut(&str, u64)) {
        (self.words)(event, take);
    }
}

/// The name of the event itself.
pub(super) const EVENT: &str = "by_event";
/// The scanner's version.
pub(super) const VERSION: &str = "by_version";

/// All dimensions, in the order in which they are shown.
pub(crate) const DIMENSIONS: &[Dimension] = &[
    Dimension {
        name: EVENT,
        title: "Events",
        chart: Chart::Bars,
        share: Share::All,
        order: Order::Count,
        in_json: true,
        fields: &["event"],
        column: Some("event"),
        words: |event, take| take(event.name(), 1),
    },
    Dimension {
        name: "by_platform",
        title: "Platforms",
        chart: Chart::Ring,
        share: Share::All,
        order: Order::Count,
        in_json: true,
        fields: &["platform"],
        column: Some("platform"),
        words: |event, take| once(event.platform(), take),
    },
    Dimension {
        name: "by_python",
        title: "Python versions",
        chart: Chart::Columns,
        share: Share::All,
        order: Order::Natural,
        in_json: true,
        fields: &["python_version"],
        column: Some("python_version"),
        words: |event, take| once(event.text("python_version"), take),
    },
    Dimension {
        name: VERSION,
        title: "Scanner versions",
        chart: Chart::Bars,
        share: Share::All,
        order: Order::Count,
        in_json: true,
        fields: &["version"],
        column: Some("version"),
        words: |event, take| once(event.text("version"), take),
    },
    Dimension {
        name: "by_profile",
        title: "Profiles",
        chart: Chart::Ring,
        share: Share::All,
        order: Order::Count,
        in_json: true,
        fields: &["profile", "profile_selected"],
        column: Some("profile"),
        words: |event, take| once(event.profile(), take),
    },
    Dimension {
        name: "by_mode",
        title: "Modes",
        chart: Chart::Ring,
        share: Share::All,
        order: Order::Count,
        in_json: true,
        fields: &["mode"],
        column: Some("mode"),
        words: |event, take| once(event.detail("mode"), take),
    },
    Dimension {
        name: "tools",
        title: "Tools that scans start with",
        chart: Chart::Bars,
        share: Share::Scans,
        order: Order::Count,
        in_json: true,
        fields: &["tools"],
        column: None,
        words: |event, take| event.tools().for_each(|tool| take(&tool, 1)),
    },
    Dimension {
        name: "tool_failures",
        title: "Tool failures",
        chart: Chart::Bars,
        share: Share::All,
        order: Order::Count,
        in_json: true,
        fields: &["tool"],
        column: None,
        words: |event, take| once(event.failed_tool(), take),
    },
    Dimension {
        name: "failure_types",
        title: "How tools failed",
        chart: Chart::Ring,
        share: Share::All,
        order: Order::Count,
        in_json: false,
        fields: &["failure_type"],
        column: None,
        words: |event, take| once(event.detail("failure_type"), take),
    },
    Dimension {
        name: "durations",
        title: "Durations",
        chart: Chart::Columns,
        share: Share::All,
        order: Order::Listed(DurationBucket::WORDS),
        in_json: true,
        fields: &["duration_bucket", "duration_seconds"],
        column: Some("duration"),
        words: |event, take| once(event.duration(), take),
    },
    Dimension {
        name: "findings",
        title: "Findings",
        chart: Chart::Columns,
        share: Share::All,
        order: Order::Listed(FindingsBucket::WORDS),
        in_json: true,
        fields: &["total_findings_bucket", "findings_bucket"],
        column: Some("findings"),
        words: |event, take| once(event.findings(), take),
    },
    Dimension {
        name: "target_types",
        title: "Targets scanned",
        chart: Chart::Bars,
        share: Share::None,
        order: Order::Count,
        in_json: true,
        fields: &["target_types"],
        column: None,
        words: |event, take| event.targets().for_each(|(kind, count)| take(kind, count)),
    },
];

fn once(word: Option<Cow<'_, str>>, take: &mut dyn FnMut(&str, u64)) {
    if let Some(word) = word {
        take(&word, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_titles_and_columns_are_unique() {
        let unique = |names: Vec<&str>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let columns = DIMENSIONS.iter().filter_map(|dimension| dimension.column);
        assert!(unique(columns.collect()));
        assert!(unique(
            DIMENSIONS.iter().map(|dimension| dimension.name).collect()
        ));
        assert!(unique(
            DIMENSIONS.iter().map(|dimension| dimension.title).collect()
        ));
    }
}

#[cfg(test)]
mod generated {
    use super::DIMENSIONS;

    #[test]
    fn the_collector_has_the_same_table() {
        let table = serde_json::to_string_pretty(DIMENSIONS).expect("serializes");
        crate::generated::is_fresh("collector/schema/dimensions.json", &format!("{table}\n"));
    }
}
