//! `--html`: one page that needs nothing from anywhere, and says so in its own
//! Content-Security-Policy: only the scripts and the style of this file, known by their hashes, may
//! run, and nothing may be loaded or sent.
//!
//! `chart.umd.min.js` is Chart.js 4.6.1 as its npm package `chart.js` has it in `dist/`,
//! without the last line, which names a source map; its licence (MIT) is beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cube::{Cube, CubeData};
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

/// The page.
#[must_use]
pub fn page(collected: &Collected, cube: &Cube, source: &str, now: DateTime<Utc>) -> String {
    let data = Data {
        source,
        made: now,
        notes: collected
            .notes
            .iter()
            .map(|note| note.text.as_str())
            .collect(),
        summary: &collected.summary,
        cube: cube.data(),
    };
    let data = serde_json::to_string(&data).expect("numbers and strings serialize");
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(CHARTS),
        hash(SCRIPT),
        hash(STYLE)
    );
    // Each part of the page once, in order, so that nothing in the data can be taken for a place to
    // fill.
    let mut text =
        String::with_capacity(PAGE.len() + STYLE.len() + CHARTS.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (place, content) in [
        ("{{policy}}", policy.as_str()),
        ("{{style}}", STYLE),
        ("{{data}}", &embeddable(&data)),
        ("{{charts}}", CHARTS),
        ("{{script}}", SCRIPT),
    ] {
        let (before, after) = rest.split_once(place).expect("the page has its places");
        text += before;
        text += content;
        rest = after;
    }
    text + rest
}

/// JSON that can't end the element it stands in, nor start another.
fn embeddable(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
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
        // A browser reads \r\n as \n, and then the hash would not fit.
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
        let page = page(&Collected::default(), &Cube::default(), source, now);
        assert!(!page.contains("<script>alert"));
        assert_eq!(page.matches("</script>").count(), 3);
        assert!(page.contains(r"dir:\u003c/script\u003e"));
    }
}
