//! The dashboard for the terminal, as text. Each row has its name and its number before its bar, so
//! that it can be read without colours and by a screen reader.

mod chart;
mod layout;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::dimensions::{Dimension, Share};
use super::pass::Collected;
use super::summary::{Counts, Summary};
use crate::spool::Stats;
use crate::terminal::clean;
use layout::Block;

/// What the dashboard needs in addition to the collected events.
#[derive(Debug)]
pub(crate) struct Frame<'f> {
    /// The width in columns.
    pub width: usize,
    /// Whether to use colours.
    pub colour: bool,
    /// The name of the source.
    pub source: &'f str,
    /// The current time.
    pub now: DateTime<Utc>,
    /// Describes a time relative to now, such as "2 h ago".
    pub relative: fn(DateTime<Utc>, DateTime<Utc>) -> String,
    /// This machine's own spool.
    pub local: &'f Local,
}

/// This machine's own spool.
#[derive(Debug)]
pub(crate) struct Local {
    /// The anonymous id.
    pub id: Option<String>,
    /// How many scans were counted on this machine.
    pub scans: u64,
    /// The statistics of the spool, or why they can't be read.
    pub stats: Result<Stats, String>,
}

/// Whether to write escape sequences for colours.
#[derive(Debug, Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
    fn title(self, text: &str) -> String {
        self.with("1", text)
    }
    fn bar(self, text: &str) -> String {
        self.with("36", text)
    }
    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }
    fn warning(self, text: &str) -> String {
        self.with("33", text)
    }
}

/// The whole dashboard, with a line end after each line.
#[must_use]
pub(crate) fn dashboard(collected: &Collected, frame: &Frame<'_>) -> String {
    let paint = Paint(frame.colour);
    let width = frame.width.clamp(60, 240);
    let mut text = String::new();
    head(&mut text, collected, frame, paint);
    if collected.summary.events == 0 {
        let _ = writeln!(text, "\nNothing was collected here yet.");
    } else {
        let (days, today) = (&collected.summary.per_day, frame.now.date_naive());
        chart::per_day(&mut text, days, today, width, paint);
        layout::columns(&mut text, &blocks(&collected.summary), width, paint);
        recent(&mut text, collected, frame, width, paint);
    }
    local(&mut text, frame.local, width, paint);
    text
}

fn head(text: &mut String, collected: &Collected, frame: &Frame<'_>, paint: Paint) {
    let summary = &collected.summary;
    let title = paint.title("JMo telemetry");
    let _ = writeln!(text, "{title} · {}\n", clean(frame.source));
    let _ = writeln!(
        text,
        "{} from {}",
        paint.title(&plural(summary.events, "event")),
        paint.title(&plural(summary.unique_ids, "anonymous id"))
    );
    if let (Some(first), Some(last)) = (summary.first, summary.last) {
        let (from, to) = (first.date_naive(), last.date_naive());
        let days = u64::try_from((to - from).num_days()).unwrap_or(0) + 1;
        let _ = match days {
            1 => writeln!(text, "on {from}"),
            _ => writeln!(text, "{from} to {to} ({} days)", number(days)),
        };
    }
    let mut left_out = Vec::new();
    if summary.duplicates > 0 {
        left_out.push(plural(summary.duplicates, "duplicate"));
    }
    if summary.malformed > 0 {
        left_out.push(plural(summary.malformed, "malformed line"));
    }
    if !left_out.is_empty() {
        let _ = writeln!(
            text,
            "{}",
            paint.faint(&format!("not counted: {}", left_out.join(", ")))
        );
    }
    for note in &collected.notes {
        let _ = writeln!(text, "{}", paint.warning(&note.to_string()));
    }
}

/// The most rows shown of one list; the rest is counted in one row.
const ROWS: usize = 12;

fn blocks(summary: &Summary) -> Vec<Block> {
    let block = |(dimension, counts): (&Dimension, &Counts)| {
        let of = match dimension.share {
            Share::All => Some(counts.sum()),
            Share::Scans => Some(summary.scans()),
            Share::None => None,
        };
        Block::of(dimension.title, counts.sorted(dimension.order), of)
    };
    summary.dimensions().map(block).collect()
}

/// The numbers of this machine's spool, as a sum.
fn local(text: &mut String, local: &Local, width: usize, paint: Paint) {
    let _ = writeln!(text, "\n{}", paint.title("This machine's spool"));
    let id = local.id.as_deref().unwrap_or("none yet");
    let scans = plural(local.scans, "scan");
    layout::wrapped(text, &[format!("anonymous id {id},"), scans], width);
    let stats = match &local.stats {
        Ok(stats) => stats,
        Err(why) => {
            let words: Vec<_> = clean(why).split(' ').map(str::to_owned).collect();
            return layout::wrapped(text, &words, width);
        }
    };
    let counts = [
        ("=", "pending", stats.pending),
        ("+", "sending", stats.sending),
        ("+", "sent", stats.sent),
        ("+", "held", stats.held),
        ("+", "dropped", stats.dropped_total()),
        ("+", "purged", stats.purged),
    ];
    let mut sum = vec![format!("recorded {}", number(stats.recorded))];
    sum.extend(counts.map(|(sign, name, count)| format!("{sign} {name} {}", number(count))));
    layout::wrapped(text, &sum, width);
}

/// From this width on, there is room for the date of the last events in addition to "2 h ago".
const ROOM_FOR_DATES: usize = 110;

fn recent(text: &mut String, collected: &Collected, frame: &Frame<'_>, width: usize, paint: Paint) {
    let _ = writeln!(text, "\n{}", paint.title("Last events"));
    if collected.recent.is_empty() {
        let _ = writeln!(text, "{}", paint.faint("none with a time"));
        return;
    }
    let rows: Vec<[String; 6]> = collected
        .recent
        .iter()
        .rev()
        .map(|recent| {
            let date = if width < ROOM_FOR_DATES {
                String::new()
            } else {
                recent.at.format("%Y-%m-%d %H:%M UTC").to_string()
            };
            [
                (frame.relative)(recent.at, frame.now),
                date,
                clean(&recent.event),
                clean(&recent.version),
                clean(&recent.platform),
                clean(&recent.about),
            ]
        })
        .collect();
    layout::table(text, &rows, width);
}

/// "1 event", "1,234 events".
fn plural(count: u64, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(count))
}

/// "1,234,567".
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Period;
    use unicode_width::UnicodeWidthStr;

    fn shown(collected: &Collected, width: usize, colour: bool) -> String {
        let local = Local {
            id: Some("01234567-89ab-4cde-8f01-23456789abcd".to_owned()),
            scans: 3,
            stats: Ok(Stats {
                recorded: 12_345,
                sent: 12_340,
                pending: 5,
                ..Stats::default()
            }),
        };
        dashboard(
            collected,
            &Frame {
                width,
                colour,
                source: "dir:out\u{1b}[31m",
                now: "2026-11-22T10:00:00Z".parse().expect("a time"),
                relative: |_, _| "21 h ago".to_owned(),
                local: &local,
            },
        )
    }

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    fn read(lines: &str) -> Collected {
        let (mut consumer, mut progress) = ((), ());
        let mut pass = crate::view::Pass::new(Period::default(), &mut consumer, &mut progress);
        pass.file("test", lines.as_bytes()).expect("reads");
        pass.finish()
    }

    /// Some of everything, in numbers that are easy to check.
    fn some_of_everything() -> String {
        let mut lines = String::new();
        let mut add = |n: usize, event: &str, metadata: &str| {
            let _ = writeln!(
                lines,
                r#"{{"event":"{event}","version":"1.{}.0","platform":"{}","python_version":"3.{}","anonymous_id":"{}","timestamp":"2026-11-{:02}T09:30:00Z","metadata":{{{metadata}}}}}"#,
                n % 3,
                ["Linux", "macOS", "Windows"][n % 5 % 3],
                9 + n % 3,
                n % 7,
                1 + n % 21,
            );
        };
        for n in 0..42 {
            let profile = ["fast", "balanced", "deep"][n % 4 % 3];
            let repos = n % 3;
            let duration = ["<5min", "5-15min", "15-30min", ">30min"][n % 7 % 4];
            let failure = ["timeout", "crash", "non_zero_exit"][n % 3];
            let started = format!(
                r#""mode":"cli","profile":"{profile}","tools":["trivy","semgrep","dependency-check"],"target_types":{{"repos":{repos},"images":1}}"#
            );
            let completed = format!(
                r#""mode":"docker","profile":"{profile}","duration_bucket":"{duration}","total_findings_bucket":"10-100""#
            );
            let failed = format!(
                r#""tool":"semgrep-secrets","failure_type":"{failure}","profile":"{profile}""#
            );
            add(n, "scan.started", &started);
            add(n, "scan.completed", &completed);
            add(n, "tool.failed", &failed);
            add(n, "policy.evaluated", r#""violations_bucket":"5-20""#);
        }
        lines
    }

    #[test]
    fn the_dashboard_at_80_columns() {
        insta::assert_snapshot!(shown(&read(&some_of_everything()), 80, false));
    }

    #[test]
    fn the_dashboard_of_nothing_at_80_columns() {
        insta::assert_snapshot!(shown(&Collected::default(), 80, false));
    }

    #[test]
    fn at_80_columns_no_word_from_our_vocabularies_is_cut() {
        let text = shown(&read(&some_of_everything()), 80, false);
        let after_words = text.matches(" …").count();
        assert_eq!(text.matches('…').count(), after_words, "{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_event_controls_it() {
        let mut lines = String::new();
        for n in 0..300 {
            let _ = writeln!(
                lines,
                r#"{{"event":"漢字\u001b[2Jscan.{n}","version":"{}","timestamp":"2026-{:02}-01T00:00:00Z","metadata":{{"tools":["t{n}"]}}}}"#,
                "9".repeat(n),
                n % 12 + 1
            );
        }
        for collected in [Collected::default(), read(&lines)] {
            for width in [60, 80, 120, 200, 240] {
                let text = shown(&collected, width, false);
                for line in text.lines() {
                    assert!(line.width() <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "no blanks at the end");
                }
                assert!(!text.contains('\u{1b}'));
            }
        }
        assert!(shown(&Collected::default(), 80, true).contains("\u{1b}[1m"));
    }
}
