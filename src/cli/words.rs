//! Formatting of times, sizes and texts for people.

use std::path::Path;

use chrono::{DateTime, Utc};
use unicode_width::UnicodeWidthStr as _;

/// "now", "3 min ago", "in 2 h".
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = now - at;
    match distance.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("{} ago", rough(distance.num_seconds())),
        _ => format!("in {}", rough(-distance.num_seconds())),
    }
}

/// A duration in its largest unit, rounded to a whole number.
pub(super) fn rough(seconds: i64) -> String {
    let rounded = |unit: i64| (seconds + unit / 2) / unit;
    if seconds < 60 {
        format!("{seconds} s")
    } else if rounded(60) < 60 {
        format!("{} min", rounded(60))
    } else if rounded(3600) < 24 {
        format!("{} h", rounded(3600))
    } else {
        format!("{} d", rounded(86_400))
    }
}

/// "1 event", "2 events".
pub(super) fn events(number: u64) -> String {
    count(number, "event")
}

/// "1 line", "2 lines".
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// "a", "a or b", "a, b or c".
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
    }
}

/// Wraps text to lines of at most `width` columns, between words. A longer word gets a line of its
/// own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    fill(text.split(' '), width)
}

/// Wraps words to lines of at most `width` columns.
fn fill<'w>(words: impl Iterator<Item = &'w str>, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Wraps a command line to lines of at most `width` columns. A flag and its value stay together.
pub(super) fn wrap_command(line: &str, width: usize) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match parts.last_mut() {
            Some(flag) if flag.starts_with("--") && !word.starts_with('-') => {
                flag.push(' ');
                flag.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    fill(parts.iter().map(String::as_str), width)
}

/// Wraps a command line as an example in the help, so that a shell still reads it as one command.
pub(super) fn example(line: &str) -> String {
    wrap_command(line, 76).join(" \\\n      ")
}

/// Quotes a path so that a shell reads it as one word.
pub(super) fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// "12.3 KiB".
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn lines_break_between_words_and_never_in_one() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible", 5), ["incomprehensible"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn a_command_line_keeps_each_flag_with_its_value() {
        let lines = wrap_command("record x --tool trivy --flag --n 3", 16);
        assert_eq!(lines, ["record x", "--tool trivy", "--flag --n 3"]);
        assert_eq!(example("a b"), "a b");
    }

    #[test]
    fn a_choice_has_one_or() {
        assert_eq!(one_of(&["a"]), "a");
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        let shell = |path| shell(Path::new(path));
        assert_eq!(shell("/home/a-b/.jmo-security"), "/home/a-b/.jmo-security");
        assert_eq!(shell("/home/a b"), "'/home/a b'");
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn times_are_shown_in_their_largest_unit() {
        let now = "2026-11-22T10:00:00Z".parse().expect("a time");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(now - TimeDelta::seconds(59), now), "59 s ago");
        assert_eq!(relative(now + TimeDelta::seconds(119), now), "in 2 min");
        assert_eq!(relative(now - TimeDelta::minutes(119), now), "2 h ago");
        assert_eq!(relative(now + TimeDelta::minutes(1430), now), "in 1 d");
        assert_eq!(relative(now + TimeDelta::minutes(12), now), "in 12 min");
        assert_eq!(relative(now - TimeDelta::days(40), now), "40 d ago");
    }
}
