//! The line over time: one column for so many days, four rows of eighths high.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::NaiveDate;

use super::layout::ratio;
use super::{Paint, number};

const HEIGHT: usize = 4;
/// A single day is not drawn as wide as the terminal.
const WIDEST_DAY: usize = 4;

/// Draws it; nothing when there are no days.
pub(super) fn per_day(
    text: &mut String,
    days: &BTreeMap<NaiveDate, u64>,
    width: usize,
    paint: Paint,
) {
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return;
    };
    let span = days_between(*first, *last) + 1;
    let per_column = span.div_ceil(width);
    let columns = span.div_ceil(per_column);
    let mut counts = vec![0; columns];
    for (day, count) in days {
        counts[days_between(*first, *day) / per_column] += count;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let each = match per_column {
        1 => "Events per day".to_owned(),
        days => format!("Events per {days} days"),
    };
    let highest = format!("most {}", number(most));
    let _ = writeln!(text, "\n{}, {highest}", paint.title(&each));
    let wide = (width / columns).clamp(1, WIDEST_DAY);
    for row in (0..HEIGHT).rev() {
        let line: String = counts
            .iter()
            .map(|count| {
                let cell = cell(*count, most, row);
                // Wide columns stand apart.
                cell.repeat(wide.max(2) - 1) + if wide > 1 { " " } else { "" }
            })
            .collect();
        let _ = writeln!(text, "{}", paint.bar(line.trim_end()));
    }
    let (from, to) = (first.to_string(), last.to_string());
    let drawn = columns * wide;
    let axis = if span == 1 || from.len() + to.len() + 2 > drawn {
        format!("{from} to {to}")
    } else {
        let gap = drawn - from.len() - to.len();
        format!("{from}{}{to}", " ".repeat(gap))
    };
    let axis = if span == 1 { from } else { axis };
    let _ = writeln!(text, "{}", paint.faint(&axis));
}

/// The part of a column that lies in a row, counted from below; something is never nothing.
fn cell(count: u64, most: u64, row: usize) -> &'static str {
    const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 32"
    )]
    let height = (ratio(count, most) * (HEIGHT * 8) as f64).round() as usize;
    let height = if count > 0 { height.max(1) } else { 0 };
    EIGHTHS[height.saturating_sub(row * 8).min(8)]
}

fn days_between(from: NaiveDate, to: NaiveDate) -> usize {
    usize::try_from((to - from).num_days()).unwrap_or(0)
}
