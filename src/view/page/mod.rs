//! `--html`: one self-contained page. Its Content-Security-Policy allows only its own scripts and
//! style, identified by their hashes, and forbids loading or sending anything.
//!
//! `chart.umd.min.js` is Chart.js 4.6.1 from `dist/` of its npm package `chart.js`, without the
//! last line, which names a source map. Its licence (MIT) is in the file next to it.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};

use super::cube::Cube;
use super::cube::data::CubeData;
use super::pass::Collected;
use super::summary::Summary;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const CHARTS: &str = include_str!("chart.umd.min.js");
const SCRIPT: &str = include_str!("page.js");

#[derive(Serialize)]
struct Data<'d> {
    source: &'d str,
    made: DateTime<Utc>,
    notes: Vec<&'d str>,
    summary: &'d Summary,
    cube: CubeData<'d>,
}

/// Writes the page part by part, because its data can be large.
///
/// # Errors
/// When it can't be written.
pub(crate) fn page(
    collected: &Collected,
    cube: &Cube,
    source: &str,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let notes = collected.notes.iter().map(|note| note.text.as_str());
    let too_much = cube.note();
    let data = Data {
        source,
        made: now,
        notes: notes.chain(too_much.as_deref()).collect(),
        summary: &collected.summary,
        cube: cube.data(),
    };
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(CHARTS),
        hash(SCRIPT),
        hash(STYLE)
    );
    let mut rest = PAGE;
    for (place, content) in [
        ("{{policy}}", Some(policy.as_str())),
        ("{{style}}", Some(STYLE)),
        ("{{data}}", None),
        ("{{charts}}", Some(CHARTS)),
        ("{{script}}", Some(SCRIPT)),
    ] {
        let (before, after) = rest.split_once(place).expect("the page has its places");
        out.write_all(before.as_bytes())?;
        match content {
            Some(content) => out.write_all(content.as_bytes())?,
            None => data.serialize(&mut Serializer::with_formatter(&mut *out, Embedded))?,
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// A JSON format without characters that could end the surrounding HTML element or start another one.
struct Embedded;

impl Formatter for Embedded {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(['<', '>', '\u{2028}', '\u{2029}']) {
            let mut safe = part.chars();
            let escape = match safe.next_back() {
                Some('<') => "\\u003c",
                Some('>') => "\\u003e",
                Some('\u{2028}') => "\\u2028",
                Some('\u{2029}') => "\\u2029",
                _ => {
                    writer.write_all(part.as_bytes())?;
                    continue;
                }
            };
            writer.write_all(safe.as_str().as_bytes())?;
            writer.write_all(escape.as_bytes())?;
        }
        Ok(())
    }
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_asset_ends_its_own_element_or_loads_anything() {
        for asset in [CHARTS, SCRIPT] {
            assert!(!asset.to_ascii_lowercase().contains("</script"));
            assert!(!asset.contains("sourceMappingURL"));
        }
        assert!(!STYLE.contains("</") && !STYLE.contains("url(") && !STYLE.contains("@import"));
        // A browser reads \r\n as \n, and then the hash would not match.
        assert!(
            [PAGE, CHARTS, SCRIPT, STYLE]
                .iter()
                .all(|asset| !asset.contains('\r'))
        );
    }

    #[test]
    fn data_stays_data() {
        let source = "dir:</script><script>alert(1)</script><!-- {{script}}";
        let now = "2026-11-22T10:00:00Z".parse().expect("a time");
        let mut text = Vec::new();
        page(
            &Collected::default(),
            &Cube::default(),
            source,
            now,
            &mut text,
        )
        .expect("writes");
        let page = String::from_utf8(text).expect("text");
        assert!(!page.contains("<script>alert"));
        assert_eq!(page.matches("</script>").count(), 3);
        assert!(page.contains(r"dir:\u003c/script\u003e"));
    }
}
