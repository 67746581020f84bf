//! How times and sizes are told to people.

use std::path::Path;

use chrono::{DateTime, Utc};

/// "now", "3 min ago", "in 2 h".
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = now - at;
    match distance.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("{} ago", rough(distance.num_seconds())),
        _ => format!("in {}", rough(-distance.num_seconds())),
    }
}

/// A duration in its largest unit.
pub(super) fn rough(seconds: i64) -> String {
    match seconds {
        ..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=86_399 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// "1 event", "2 events".
pub(super) fn events(count: u64) -> String {
    if count == 1 {
        "1 event".to_owned()
    } else {
        format!("{count} events")
    }
}

/// A path as a shell takes it for one word.
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
    fn a_path_is_one_word_for_a_shell() {
        let shell = |path| shell(Path::new(path));
        assert_eq!(shell("/home/a-b/.jmo-security"), "/home/a-b/.jmo-security");
        assert_eq!(shell("/home/a b"), "'/home/a b'");
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = "2026-11-22T10:00:00Z".parse().expect("a time");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(now - TimeDelta::seconds(59), now), "59 s ago");
        assert_eq!(relative(now - TimeDelta::minutes(119), now), "1 h ago");
        assert_eq!(relative(now + TimeDelta::minutes(12), now), "in 12 min");
        assert_eq!(relative(now - TimeDelta::days(40), now), "40 d ago");
    }
}
