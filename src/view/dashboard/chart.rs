//! The chart over time: one column per day or per several days, four rows high with eight steps each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{Days, NaiveDate};

use super::layout::ratio;
use super::{Paint, number, plural};

const HEIGHT: usize = 4;
/// The widest column for one day, so that few days don't fill the terminal.
const WIDEST_DAY: usize = 4;

/// Draws the chart, if there are any days.
pub(super) fn per_day(
    text: &mut String,
    days: &BTreeMap<NaiveDate, u64>,
    today: NaiveDate,
    width: usize,
    paint: Paint,
) {
    let drawn = drawn(days, today);
    draw(text, &drawn, width, paint);
    let far = days.values().sum::<u64>() - drawn.values().copied().sum::<u64>();
    if far > 0 {
        let far = plural(far, "event");
        let remark = format!("{far} not drawn: dated in the future or years ago");
        let _ = writeln!(text, "{}", paint.faint(&remark));
    }
}

/// The days to draw. A machine with a wrong clock must not stretch the chart to a decade. So days
/// after tomorrow are left out, and days more than a year before all others if they have less than
/// a hundredth of the events.
fn drawn(days: &BTreeMap<NaiveDate, u64>, today: NaiveDate) -> BTreeMap<&NaiveDate, &u64> {
    let tomorrow = today + Days::new(1);
    let mut drawn: BTreeMap<_, _> = days.range(..=tomorrow).collect();
    let all: u64 = drawn.values().copied().sum();
    let mut before = 0;
    let mut start = None;
    for ((day, count), (next, _)) in drawn.iter().zip(drawn.iter().skip(1)) {
        before += **count;
        if before.saturating_mul(100) >= all {
            break;
        }
        if days_between(**day, **next) > 366 {
            start = Some(*next);
        }
    }
    if let Some(start) = start {
        drawn = drawn.split_off(start);
    }
    drawn
}

fn draw(text: &mut String, days: &BTreeMap<&NaiveDate, &u64>, width: usize, paint: Paint) {
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return;
    };
    let (first, last) = (*first, *last);
    let span = days_between(*first, *last) + 1;
    let per_column = span.div_ceil(width);
    let columns = span.div_ceil(per_column);
    let mut counts = vec![0; columns];
    for (day, count) in days {
        counts[days_between(*first, **day) / per_column] += **count;
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
                // Wide columns have a gap between them.
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

/// The part of a column in one row; rows are counted from the bottom. Even one event fills an eighth.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn a_wrong_clock_does_not_stretch_the_chart() {
        let usual = (1..=28).map(|n| (day("2026-11-01") + Days::new(n), 10));
        let mut days: BTreeMap<_, _> = usual.collect();
        let today = day("2026-11-28");
        assert_eq!(drawn(&days, today).len(), 28, "tomorrow is still drawn");
        days.insert(day("2036-01-01"), 100);
        days.insert(day("1970-01-01"), 1);
        days.insert(day("1999-01-01"), 1);
        assert_eq!(drawn(&days, today).len(), 28);
        let mut text = String::new();
        per_day(&mut text, &days, today, 80, Paint(false));
        assert!(text.contains("Events per day, most 10"), "{text}");
        assert!(text.contains("102 events not drawn"), "{text}");
        days.insert(day("2024-01-01"), 200);
        assert_eq!(drawn(&days, today).len(), 29, "that is no wrong clock");
    }

    #[test]
    fn a_chart_of_the_future_alone_is_a_remark() {
        let days = [(day("2036-01-01"), 1)].into();
        let mut text = String::new();
        per_day(&mut text, &days, day("2026-11-28"), 80, Paint(false));
        assert!(text.starts_with("1 event not drawn"), "{text}");
    }
}
