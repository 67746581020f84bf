//! A collector's answer to a batch, and whether it proves that the collector has the batch.

use std::collections::HashSet;

use serde::Deserialize;

use crate::destination::segment::{Receipt, RejectedLine, SegmentFile};
use crate::event::Payload;

/// A collector's answer to a batch.
#[derive(Debug, Deserialize)]
pub(super) struct BatchAnswer {
    batch: String,
    sha256: String,
    accepted: usize,
    duplicates: usize,
    rejected: Vec<LineAnswer>,
}

#[derive(Debug, Deserialize)]
struct LineAnswer {
    line: usize,
    event_id: Option<String>,
    reason: Reason,
}

/// Why a line was rejected. An answer with any other word is not a collector's.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    NotJson,
    Schema,
    TooOld,
    TooNew,
    TooLarge,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Schema => "schema",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::TooLarge => "too_large",
        }
    }
}

/// The idempotency key: the segment's name without its ending. By it the collector recognizes a repeat.
pub(super) fn key(file: &SegmentFile) -> &str {
    file.name.strip_suffix(".jsonl").unwrap_or(&file.name)
}

/// The proof: the key and the hash are ours, and each of our lines is accounted for exactly once.
pub(super) fn proof(
    file: &SegmentFile,
    answer: BatchAnswer,
    url: String,
) -> Result<Receipt, &'static str> {
    let receipt = Receipt::of(file.content.as_bytes(), url);
    if answer.batch != key(file) {
        return Err("the answer is of another batch");
    }
    if answer.sha256 != receipt.sha256 {
        return Err("the answer's hash is not that of what was sent");
    }
    let lines: Vec<&str> = file.content.lines().collect();
    let taken = answer.accepted.checked_add(answer.duplicates);
    let counted = taken.and_then(|taken| taken.checked_add(answer.rejected.len()));
    if counted != Some(lines.len()) {
        return Err("the answer's counts do not add up to what was sent");
    }
    let mut seen = HashSet::new();
    let mut rejected = Vec::new();
    for said in answer.rejected {
        let line = said.line.wrapping_sub(1);
        let is_ours = lines.get(line).is_some_and(|text| {
            let id = Payload::event_id_of(text).to_string();
            said.event_id.is_none_or(|said| said == id)
        });
        if !is_ours || !seen.insert(line) {
            return Err("the answer rejects a line that was not sent");
        }
        rejected.push(RejectedLine {
            line,
            reason: format!("rejected: {}", said.reason.word()),
        });
    }
    Ok(Receipt {
        rejected,
        ..receipt
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::destination::segment;

    fn file() -> SegmentFile {
        let line = |n: u8| {
            format!(r#"{{"event":"x","event_id":"01a202b2-c57b-7000-8000-00000000000{n}"}}"#)
        };
        SegmentFile {
            id: 1,
            name: "events-20261122-0123456789abcdef.jsonl".to_owned(),
            content: format!("{}\n{}\n", line(1), line(2)),
            events: 2,
            unconfirmed: 2,
        }
    }

    fn judge(change: impl Fn(&mut serde_json::Value)) -> Result<Receipt, &'static str> {
        let file = file();
        let mut answer = json!({
            "batch": "events-20261122-0123456789abcdef",
            "sha256": segment::sha256(file.content.as_bytes()),
            "accepted": 1,
            "duplicates": 0,
            "rejected": [{"line": 2, "event_id": "01a202b2-c57b-7000-8000-000000000002", "reason": "schema"}],
        });
        change(&mut answer);
        let answer = serde_json::from_value(answer).map_err(|_| "no answer of a collector")?;
        proof(&file, answer, String::new())
    }

    #[test]
    fn only_an_answer_that_accounts_for_every_line_is_a_proof() {
        let receipt = judge(|_| {}).expect("a proof");
        let rejected = RejectedLine {
            line: 1,
            reason: "rejected: schema".to_owned(),
        };
        assert_eq!(receipt.rejected, [rejected]);
        for (why, field, value) in [
            (
                "another batch",
                "batch",
                json!("events-20261122-0123456789abcdee"),
            ),
            ("the answer's hash", "sha256", json!("0".repeat(64))),
            ("counts", "accepted", json!(2)),
            ("counts", "duplicates", json!(u64::MAX)),
            ("counts", "rejected", json!([])),
            (
                "not sent",
                "rejected",
                json!([{"line": 3, "event_id": null, "reason": "schema"}]),
            ),
            (
                "not sent",
                "rejected",
                json!([{"line": 0, "event_id": null, "reason": "schema"}]),
            ),
            (
                "not sent",
                "rejected",
                json!([{"line": 2, "event_id": "somebody else's", "reason": "schema"}]),
            ),
            (
                "no answer",
                "rejected",
                json!([{"line": 2, "event_id": null, "reason": "dislike"}]),
            ),
            ("no answer", "accepted", json!(-1)),
            ("no answer", "accepted", json!("1")),
        ] {
            let answer = judge(|answer| answer[field] = value.clone());
            assert!(
                answer.as_ref().is_err_and(|text| text.contains(why)),
                "{why}: {answer:?}"
            );
        }
        let twice = json!({"line": 2, "event_id": null, "reason": "schema"});
        let answer = judge(|answer| {
            answer["accepted"] = json!(0);
            answer["rejected"] = json!([twice, twice]);
        });
        assert!(answer.is_err());
    }
}
