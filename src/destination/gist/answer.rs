//! What GitHub answers: a Gist as JSON, what in it proves a write, and what matters of an answer
//! that is no success.

use std::collections::HashMap;
use std::io::Read;

use chrono::DateTime;
use reqwest::Url;
use reqwest::blocking::Response;
use reqwest::header::HeaderMap;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};

use crate::clock;
use crate::destination::Reply;
use crate::destination::segment::{self, Receipt, SegmentFile};
use crate::destination::verdict::{self, Answer};

/// A Gist as the API gives it; `C` is what is read of the contents, which can be 300 MB together.
#[derive(Deserialize)]
#[serde(bound(deserialize = "C: DeserializeOwned"))]
pub(super) struct GistAnswer<C> {
    pub(super) id: String,
    pub(super) description: Option<String>,
    /// More files than are listed: GitHub lists 300.
    #[serde(default)]
    pub(super) truncated: bool,
    #[serde(default = "HashMap::new")]
    pub(super) files: HashMap<String, Option<FileAnswer<C>>>,
}

#[derive(Deserialize)]
pub(super) struct FileAnswer<C> {
    size: Option<usize>,
    raw_url: Option<String>,
    #[serde(default)]
    truncated: bool,
    content: Option<C>,
}

/// A content that nobody looks at; it is not kept in memory.
pub(super) struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A content as its SHA-256.
pub(super) struct ContentHash(String);

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hash;
        impl Visitor<'_> for Hash {
            type Value = ContentHash;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a file's content")
            }
            fn visit_str<E>(self, content: &str) -> Result<ContentHash, E> {
                Ok(ContentHash(segment::sha256(content.as_bytes())))
            }
        }
        deserializer.deserialize_str(Hash)
    }
}

impl<C> GistAnswer<C> {
    fn file(&self, name: &str) -> Result<&FileAnswer<C>, &'static str> {
        self.files
            .get(name)
            .and_then(Option::as_ref)
            .ok_or(if self.truncated {
                "the Gist has more files than GitHub lists, so ours can't be confirmed; connect another Gist"
            } else {
                "the answer does not name our file"
            })
    }

    /// The contract's proof: the answer names our file with our size.
    pub(super) fn proof_of_size(
        &self,
        file: &SegmentFile,
        gist: &Url,
    ) -> Result<Receipt, &'static str> {
        let found = self.file(&file.name)?;
        if found.size != Some(file.content.len()) {
            return Err("the answer gives our file another size");
        }
        Ok(Receipt::of(
            file,
            found.raw_url.clone().unwrap_or_else(|| gist.to_string()),
        ))
    }
}

impl GistAnswer<ContentHash> {
    /// The stronger proof for what we did not just write: our size and our content.
    pub(super) fn proof_of_content(
        &self,
        file: &SegmentFile,
        gist: &Url,
    ) -> Result<Receipt, &'static str> {
        let receipt = self.proof_of_size(file, gist)?;
        let found = self.file(&file.name)?;
        let same = !found.truncated
            && found
                .content
                .as_ref()
                .is_some_and(|content| content.0 == receipt.sha256);
        same.then_some(receipt)
            .ok_or("the file has another content")
    }
}

/// Reads what matters of an answer that is no success.
pub(in crate::destination) fn refusal(response: Response) -> Reply {
    let now = clock::now();
    let status = response.status();
    let headers = response.headers().clone();
    let number =
        |name: &str| text(&headers, name).and_then(|value| value.trim().parse::<i64>().ok());
    // The words are GitHub's own and English; a page in HTML just does not match.
    let mut message = String::new();
    let _ = response.take(64 * 1024).read_to_string(&mut message);
    let answer = Answer {
        status: status.as_u16(),
        retry_after: text(&headers, "retry-after")
            .and_then(|value| verdict::retry_after(value, now)),
        remaining: number("x-ratelimit-remaining").and_then(|n| u64::try_from(n).ok()),
        reset: number("x-ratelimit-reset").and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        secondary: message
            .to_ascii_lowercase()
            .contains("secondary rate limit"),
    };
    let reason = if status.is_redirection() {
        "it leads elsewhere, and the token does not go there"
    } else {
        status.canonical_reason().unwrap_or("unknown status")
    };
    Reply::Unproven {
        answer: Some(answer),
        error: format!("HTTP {}: {reason}", status.as_u16()),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
