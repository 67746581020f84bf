//! Command lines on Windows. There a command line is one string, and each program splits it into
//! words itself; nearly all follow the same rules.

/// Quotes a word so that programs on Windows read it as one word.
#[must_use]
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '"';
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for character in word.chars() {
        match character {
            '\\' => backslashes += 1,
            '"' => {
                // Backslashes before a quote are doubled, and the quote itself is escaped.
                quoted.push_str(&"\\".repeat(backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        quoted.push(character);
    }
    quoted.push_str(&"\\".repeat(backslashes));
    quoted.push('"');
    quoted
}

/// Splits a command line into words, as programs on Windows do.
#[must_use]
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut backslashes) = (false, 0_usize);
    for character in line.chars() {
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        if backslashes > 0 {
            let count = if character == '"' {
                backslashes / 2
            } else {
                backslashes
            };
            word.get_or_insert_default().push_str(&"\\".repeat(count));
        }
        let escaped = backslashes % 2 == 1;
        backslashes = 0;
        match character {
            '"' if escaped => word.get_or_insert_default().push('"'),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if backslashes > 0 {
        word.get_or_insert_default()
            .push_str(&"\\".repeat(backslashes));
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_with_spaces_is_one_word() {
        assert_eq!(
            quote(r"C:\Program Files\JMo\jmo-telemetry.exe"),
            r#""C:\Program Files\JMo\jmo-telemetry.exe""#
        );
        assert_eq!(quote(r"C:\with a slash\"), r#""C:\with a slash\\""#);
    }

    proptest! {
        #[test]
        fn words_are_split_as_they_were_joined(
            words in prop::collection::vec(r#"[a "\\é]{0,6}"#, 0..5),
        ) {
            let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
            prop_assert_eq!(super::words(&line.join(" ")), words);
        }
    }
}
