//! Arranges blocks of rows side by side, as many as fit, and tables.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Paint, ROWS, number};
use crate::terminal::clean;

/// A titled list.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// A name with a number and its bar.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    value: String,
    share: String,
    /// The length of its bar, as a share of the longest bar in the block.
    bar: Option<f64>,
}

/// The minimum and maximum width of a block, and the gap between two blocks.
const NARROW: usize = 38;
const WIDE: usize = 64;
const GAP: usize = 3;
/// The minimum width for bars; shorter ones would be useless.
const LEAST_BAR: usize = 8;

impl Block {
    /// A block of these counts, in their order, each with its share of `of`.
    pub(super) fn of(title: &'static str, mut counts: Vec<(&str, u64)>, of: Option<u64>) -> Self {
        let hidden = counts.split_off(counts.len().min(ROWS));
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let mut rows: Vec<_> = counts
            .into_iter()
            .map(|(name, count)| Row {
                name: clean(name),
                value: number(count),
                share: share(count, of),
                bar: Some(ratio(count, most)),
            })
            .collect();
        if !hidden.is_empty() {
            let count = hidden
                .iter()
                .fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
            rows.push(Row {
                name: format!("and {} more", number(hidden.len() as u64)),
                value: number(count),
                share: String::new(),
                bar: None,
            });
        }
        Self { title, rows }
    }

    /// The lines with colours, each with its width without them.
    fn lines(&self, width: usize, paint: Paint) -> Vec<(String, usize)> {
        let mut lines = vec![(paint.title(self.title), self.title.width())];
        if self.rows.is_empty() {
            lines.push((paint.faint("none yet"), "none yet".len()));
        }
        let widest = |text: fn(&Row) -> &str| {
            self.rows
                .iter()
                .map(|row| text(row).width())
                .max()
                .unwrap_or(0)
        };
        let (values, shares) = (widest(|row| &row.value), widest(|row| &row.share));
        let fixed = 2 + values + if shares > 0 { shares + 1 } else { 0 };
        let names = widest(|row| &row.name).min(width.saturating_sub(fixed + LEAST_BAR));
        for row in &self.rows {
            let name = cut(&row.name, names);
            let mut line = format!("{name}{}  ", blanks(names - name.width()));
            line += &blanks(values - row.value.width());
            line += &row.value;
            let mut used = names + 2 + values;
            if let Some(ratio) = row.bar {
                if shares > 0 {
                    let gap = blanks(shares - row.share.width());
                    line += &format!(" {gap}{}", paint.faint(&row.share));
                    used += 1 + shares;
                }
                let bar = bar(ratio, width.saturating_sub(used + 1));
                line += &format!(" {}", paint.bar(&bar));
                used += 1 + bar.width();
            }
            lines.push((line, used));
        }
        lines
    }
}

/// A bar in steps of an eighth of a column. Any count is at least an eighth long.
fn bar(ratio: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a width in columns times a share of one"
    )]
    let eighths = (ratio * (width * 8) as f64).round().max(1.0) as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[expect(clippy::cast_precision_loss, reason = "for a bar")]
pub(super) fn ratio(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

fn share(count: u64, of: Option<u64>) -> String {
    let Some(of) = of.filter(|of| *of > 0) else {
        return String::new();
    };
    match ratio(count, of) * 100.0 {
        percent if percent < 1.0 => "<1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

fn blanks(count: usize) -> String {
    " ".repeat(count)
}

/// Shortens text to a width, with `…` for what is left out, after a whole word if possible.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < width
    };
    let kept: String = text.chars().take_while(fits).collect();
    let words = match kept.rfind(' ') {
        Some(end) => &kept[..=end],
        None => &kept,
    };
    if width > 0 {
        format!("{words}…")
    } else {
        String::new()
    }
}

/// Writes the parts on as few lines as possible, without splitting a part.
pub(super) fn wrapped(text: &mut String, parts: &[String], width: usize) {
    let mut line = String::new();
    for part in parts {
        let part = cut(part, width);
        if !line.is_empty() && line.width() + 1 + part.width() > width {
            let _ = writeln!(text, "{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &part;
    }
    let _ = writeln!(text, "{line}");
}

/// Writes the blocks in as many columns as fit. Each block goes under the shortest column so far.
pub(super) fn columns(text: &mut String, blocks: &[Block], width: usize, paint: Paint) {
    let count = ((width + GAP) / (NARROW + GAP)).clamp(1, 4);
    let each = ((width - GAP * (count - 1)) / count).min(WIDE);
    let mut columns: Vec<Vec<(String, usize)>> = vec![Vec::new(); count];
    for block in blocks {
        let shortest = columns
            .iter_mut()
            .min_by_key(|column| column.len())
            .expect("there is a column");
        shortest.push((String::new(), 0));
        shortest.extend(block.lines(each, paint));
    }
    let height = columns.iter().map(Vec::len).max().unwrap_or(0);
    for row in 0..height {
        let mut line = String::new();
        let mut owed = 0;
        for column in &columns {
            if let Some((cell, width)) = column.get(row).filter(|(_, width)| *width > 0) {
                line += &blanks(owed);
                line += cell;
                owed = each + GAP - width;
            } else {
                owed += each + GAP;
            }
        }
        let _ = writeln!(text, "{line}");
    }
}

/// Writes rows with aligned columns. The last column gets the remaining width.
pub(super) fn table<const N: usize>(text: &mut String, rows: &[[String; N]], width: usize) {
    let mut widths = [0; N];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(cell.width()).min(width / 4);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            let left = width.saturating_sub(line.width());
            let room = if index + 1 == N {
                left
            } else {
                widths[index].min(left)
            };
            let cell = cut(cell, room);
            // An empty column takes no space.
            let gap = match widths[index] {
                0 => String::new(),
                widest => blanks((widest + 2).saturating_sub(cell.width())),
            };
            line += &cell;
            line += &gap;
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
