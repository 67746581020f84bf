//! Makes untrusted text safe to show on a terminal. Nothing in it may move the cursor, hide text,
//! or change the order in which letters are shown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether this character acts on the terminal or on the text around it instead of being shown:
/// control characters (C0, DEL and C1), marks that change the direction of text, line and paragraph
/// separators, and characters without a width.
#[must_use]
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

/// The text on one line, with U+FFFD in place of each unsafe character.
#[must_use]
pub(crate) fn clean(text: &str) -> String {
    let shown = |c| {
        if is_unsafe(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// The same JSON with `\uXXXX` in place of each unsafe character. Line ends stay. All other unsafe
/// characters of a JSON text are inside its strings, so its meaning does not change.
#[must_use]
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_unsafe(c) && c != '\n';
    if !json.contains(harmful) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if harmful(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn clean_text_and_escaped_json_hold_no_unsafe_character(text in "\\PC*|.*|[\u{0}-\u{ff}\u{2000}-\u{2070}]*") {
            prop_assert!(!clean(&text).contains(is_unsafe));
            prop_assert_eq!(clean(&text).chars().count(), text.chars().count());
            let json = serde_json::to_string(&text).expect("serializes");
            let escaped = escaped(&json);
            prop_assert!(!escaped.contains(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), text);
        }
    }

    #[test]
    fn letters_of_every_script_stay_and_control_sequences_do_not() {
        for text in ["漢字 é ß עברית العربية", "{\"a\":\"漢字\"}\n"] {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(
            clean("a\u{1b}[2J\u{9b}31m\u{202e}b\u{7f}\n"),
            "a\u{fffd}[2J\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}"
        );
    }
}
