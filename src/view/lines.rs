//! Reads lines of any length in bounded memory.

use std::io::{self, BufRead};

use crate::limits::INPUT_LINE_BYTES;

/// A line, or a marker for one that is too long to be an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    Whole(&'l [u8]),
    TooLong,
}

/// Calls `take` with every line, without its line end. The last line need not have one.
pub(super) fn each_line<E: From<io::Error>>(
    mut reader: impl BufRead,
    mut take: impl FnMut(Line<'_>) -> Result<(), E>,
) -> Result<(), E> {
    // The beginning of a line whose end has not been read yet.
    let mut begun = Vec::new();
    let mut too_long = false;
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', buffer);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        too_long |= begun.len() + part.len() > INPUT_LINE_BYTES;
        if too_long {
            begun.clear();
        } else if end.is_none() || !begun.is_empty() {
            begun.extend_from_slice(part);
        }
        if end.is_some() {
            take(match (too_long, begun.is_empty()) {
                (true, _) => Line::TooLong,
                (false, true) => Line::Whole(part),
                (false, false) => Line::Whole(&begun),
            })?;
            begun.clear();
            too_long = false;
        }
        let read = part.len() + usize::from(end.is_some());
        reader.consume(read);
    }
    if too_long {
        take(Line::TooLong)?;
    } else if !begun.is_empty() {
        take(Line::Whole(&begun))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(text: &[u8], buffer: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Vec::new();
        each_line(BufReader::with_capacity(buffer, text), |line| {
            lines.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
            Ok::<_, io::Error>(())
        })
        .expect("reads");
        lines
    }

    #[test]
    fn lines_are_the_same_whatever_the_buffer() {
        let text = b"one\n\nthree is longer\nfour";
        for buffer in 1..40 {
            let whole = |line: &str| Some(line.as_bytes().to_vec());
            assert_eq!(
                lines(text, buffer),
                ["one", "", "three is longer", "four"].map(whole)
            );
        }
    }

    #[test]
    fn a_line_past_the_limit_is_reported_and_the_next_one_is_read() {
        let mut text = vec![b'x'; INPUT_LINE_BYTES + 1];
        text.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&text, 4096), [None, Some(b"next".to_vec())]);
        text.truncate(INPUT_LINE_BYTES + 1);
        assert_eq!(lines(&text, 4096), [None]);
        text.truncate(INPUT_LINE_BYTES);
        assert_eq!(lines(&text, 4096), [Some(text.clone())]);
    }
}
