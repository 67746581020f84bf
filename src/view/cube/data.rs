//! The cube in the form that the page reads.
//!
//! # The page's data
//!
//! `view --html` embeds it, and a service that collects events returns it at `/v1/cube`:
//! `{"source": text, "made": RFC 3339, "notes": [text], "summary": as view --json, "cube": {…}}`.
//! The members of the cube:
//!
//! | member | meaning |
//! | --- | --- |
//! | `dimensions` | the table of [`crate::view::dimensions`], in the order of the charts: `name`, `title`, `chart` (`bars`, `columns`, `ring`), `share` (of `all`, of `scans`, `none`), `order` (`count`, `natural`, or a list of words), and, for a service, `fields` and `in_json` |
//! | `days` | the days with events, ascending, as `YYYY-MM-DD` |
//! | `events`, `versions` | the words of the two axes, `by_event` and `by_version` |
//! | `words` | `[dimension's name, word]`, for all other dimensions |
//! | `groups` | `[day, event, version, events, [word, count, word, count, …]]`; each is an index into the lists above; the day is -1 for events without one |
//! | `visits` | who sent which events: `[day, version, [id, bits, id, bits, …]]`. An id is given as the difference from the previous one (the first from 0), followed by one bit for each of `events`. `null` when there are too many for a page |
//! | `visits_from` | optional: the first day for which `visits` are known |

use std::collections::BTreeMap;
use std::rc::Rc;

use chrono::NaiveDate;
use serde::{Serialize, Serializer};

use super::{Counted, Cube, Group};
use crate::view::dimensions::{DIMENSIONS, Dimension};

/// The cube in the page's data, as described at the top of this file.
#[derive(Debug, Serialize)]
pub(in crate::view) struct CubeData<'c> {
    dimensions: &'static [Dimension],
    days: Vec<NaiveDate>,
    events: &'c [String],
    versions: &'c [String],
    words: Vec<(&'static str, &'c str)>,
    groups: Vec<(i64, u32, u32, u64, GroupWords<'c>)>,
    pub(super) visits: Option<Vec<(i64, u32, Vec<u32>)>>,
}

/// The words of a group and their counts, alternating.
#[derive(Debug)]
struct GroupWords<'c> {
    counts: &'c BTreeMap<(u8, u32), u64>,
    /// Where the words of each dimension begin in the list of all words.
    offsets: Rc<[u64]>,
}

impl Serialize for GroupWords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.counts.iter().flat_map(|((place, word), count)| {
            [self.offsets[usize::from(*place)] + u64::from(*word), *count]
        });
        serializer.collect_seq(pairs)
    }
}

impl Cube {
    /// The cube in the form that the page reads.
    pub(in crate::view) fn data<'c>(&'c self) -> CubeData<'c> {
        let mut days: Vec<_> = self.groups.keys().filter_map(|(day, _, _)| *day).collect();
        days.sort_unstable();
        days.dedup();
        let mut words = Vec::new();
        let offsets: Rc<[u64]> = DIMENSIONS
            .iter()
            .zip(&self.words)
            .map(|(dimension, list)| {
                let offset = words.len() as u64;
                words.extend(
                    list.words
                        .iter()
                        .map(|word| (dimension.name, word.as_str())),
                );
                offset
            })
            .collect();
        let place = |day: Option<NaiveDate>| match day {
            Some(day) => days
                .binary_search(&day)
                .map_or(-1, |at| i64::try_from(at).unwrap_or(-1)),
            None => -1,
        };
        let group = |((day, event, version), group): (&Group, &'c Counted)| {
            let words = GroupWords {
                counts: &group.words,
                offsets: offsets.clone(),
            };
            (place(*day), *event, *version, group.events, words)
        };
        let mut groups: Vec<_> = self.groups.iter().map(group).collect();
        groups.sort_unstable_by_key(|(day, event, version, ..)| (*day, *event, *version));
        let visits = (!self.too_many_visits).then(|| self.visits(place));
        CubeData {
            dimensions: DIMENSIONS,
            days,
            events: &self.events.words,
            versions: &self.versions.words,
            words,
            groups,
            visits,
        }
    }

    /// Who sent which events, by day and version. The ids are sorted, so that their differences are
    /// small numbers.
    fn visits(&self, place: impl Fn(Option<NaiveDate>) -> i64) -> Vec<(i64, u32, Vec<u32>)> {
        let mut groups: BTreeMap<(i64, u32), BTreeMap<u32, u32>> = BTreeMap::new();
        for ((day, version, id), events) in &self.visits {
            let group = groups.entry((place(*day), *version)).or_default();
            group.insert(*id, *events);
        }
        let flat = |ids: BTreeMap<u32, u32>| {
            let mut before = 0;
            let pairs = ids.into_iter().flat_map(move |(id, events)| {
                let distance = id - before;
                before = id;
                [distance, events]
            });
            pairs.collect()
        };
        groups
            .into_iter()
            .map(|((day, version), ids)| (day, version, flat(ids)))
            .collect()
    }
}
