//! A GitHub Gist as a destination. All HTTP of the program is here. Facts about the API: GIST.md of the project.

use std::collections::HashMap;
use std::error::Error as _;
use std::io::{BufReader, Read};
use std::time::Duration;

use chrono::DateTime;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url, redirect};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Destination, Reply, UploadError};
use crate::answer::{self, Answer};
use crate::clock;
use crate::limits::{ANSWER_BYTES, CONNECT_TIMEOUT, GITHUB_WRITE_SPACING, REQUEST_TIMEOUT};
use crate::segment::{self, Receipt, SegmentFile};
use crate::target::{Target, Token};

/// Says who we are; GitHub refuses requests without it.
const USER_AGENT: &str = concat!("jmo-telemetry/", env!("CARGO_PKG_VERSION"));

/// One Gist, and the token of its owner.
pub(super) struct Gist {
    target: Target,
    id: String,
    url: Url,
    authorization: HeaderValue,
    configuration: String,
    client: Client,
}

impl Gist {
    pub(super) fn new(id: &str, token: Token, api: &str) -> Result<Self, UploadError> {
        let url = Url::parse(&format!("{}/gists/{id}", api.trim_end_matches('/')))
            .map_err(|_| UploadError::BadApi)?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(UploadError::InsecureApi);
        }
        // It would end up in receipts and messages, which are no place for a secret.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UploadError::SecretInApi);
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| UploadError::NoToken)?;
        authorization.set_sensitive(true);
        // The first call decides for the process; a second one finds the same provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect is a failure: the token goes nowhere but to the host it is for.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(UploadError::Client)?;
        // Salted with the address and cut, so that it tells a change and nothing else.
        let configuration =
            segment::sha256(format!("{url}\n{}", token.expose()).as_bytes())[..16].to_owned();
        Ok(Self {
            target: Target::Gist(id.to_owned()),
            id: id.to_owned(),
            url,
            authorization,
            configuration,
            client,
        })
    }

    fn get(&self) -> RequestBuilder {
        self.client.get(self.url.clone())
    }

    fn patch(&self, body: &impl Serialize) -> RequestBuilder {
        let body = serde_json::to_vec(body).expect("strings serialize");
        self.client
            .patch(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// Sends a request and reads a proof from its answer.
    fn send<A: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        timeout: Duration,
        prove: impl FnOnce(&GistAnswer<A>) -> Result<Vec<Receipt>, &'static str>,
    ) -> Reply {
        let request = request
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(AUTHORIZATION, self.authorization.clone())
            .timeout(timeout.min(REQUEST_TIMEOUT));
        let response = match request.send() {
            Ok(response) => response,
            Err(error) => {
                return Reply::Unproven {
                    answer: None,
                    error: describe(error),
                };
            }
        };
        let status = response.status();
        if status != StatusCode::OK && status != StatusCode::CREATED {
            return refusal(response);
        }
        let unproven = |why: &str| Reply::Unproven {
            answer: Some(Answer {
                status: status.as_u16(),
                ..Answer::default()
            }),
            error: format!("HTTP {}: {why}", status.as_u16()),
        };
        let body = BufReader::with_capacity(64 * 1024, response.take(ANSWER_BYTES));
        match serde_json::from_reader::<_, GistAnswer<A>>(body) {
            Err(error) if error.is_io() => unproven("the answer broke off"),
            Err(_) => {
                unproven("the answer is not a Gist's; is there a login page or proxy in between?")
            }
            Ok(gist) if gist.id != self.id => unproven("the answer is of another Gist"),
            Ok(gist) => match prove(&gist) {
                Ok(receipts) => Reply::Proved {
                    receipts,
                    http_status: Some(status.as_u16()),
                },
                Err(why) => unproven(why),
            },
        }
    }
}

impl Destination for Gist {
    fn target(&self) -> &Target {
        &self.target
    }

    fn configuration(&self) -> String {
        self.configuration.clone()
    }

    fn spacing(&self) -> Duration {
        GITHUB_WRITE_SPACING
    }

    fn write(&mut self, files: &[SegmentFile], timeout: Duration) -> Reply {
        let named = files.iter().map(|file| {
            (
                file.name.as_str(),
                Some(NewContent {
                    content: &file.content,
                }),
            )
        });
        let body = Patch {
            files: named.collect(),
        };
        self.send::<Unread>(self.patch(&body), timeout, |gist| {
            files
                .iter()
                .map(|file| gist.proof_of_size(file, &self.url))
                .collect()
        })
    }

    fn look(&mut self, files: &[SegmentFile], timeout: Duration) -> Reply {
        self.send::<ContentHash>(self.get(), timeout, |gist| {
            files
                .iter()
                .map(|file| gist.proof_of_content(file, &self.url))
                .collect()
        })
    }

    fn delete(&mut self, names: &[String], timeout: Duration) -> Reply {
        // A PATCH that deletes a file which is not there is refused whole, so look first.
        let mut there = Vec::new();
        let listed = self.send::<Unread>(self.get(), timeout, |gist| {
            there = names
                .iter()
                .filter(|name| gist.files.contains_key(*name))
                .cloned()
                .collect();
            Ok(Vec::new())
        });
        if there.is_empty() || matches!(listed, Reply::Unproven { .. }) {
            return listed;
        }
        let body = Patch {
            files: there.iter().map(|name| (name.as_str(), None)).collect(),
        };
        self.send::<Unread>(self.patch(&body), timeout, |gist| {
            let gone = there.iter().all(|name| !gist.files.contains_key(name));
            gone.then(Vec::new)
                .ok_or("the answer still lists a deleted file")
        })
    }

    fn probe(&mut self, timeout: Duration) -> Reply {
        let mut description = None;
        let seen = self.send::<Unread>(self.get(), timeout, |gist| {
            description = gist.description.clone();
            Ok(Vec::new())
        });
        if matches!(seen, Reply::Unproven { .. }) {
            return seen;
        }
        // Only the owner gets past this, and it says what is there already.
        let unchanged = HashMap::from([("description", description.unwrap_or_default())]);
        match self.send::<Unread>(self.patch(&unchanged), timeout, |_| Ok(Vec::new())) {
            // "Nothing to change" is an answer to somebody who may change things.
            Reply::Unproven {
                answer: Some(Answer { status: 409, .. }),
                ..
            } => Reply::Proved {
                receipts: Vec::new(),
                http_status: Some(409),
            },
            other => other,
        }
    }
}

#[derive(Serialize)]
struct Patch<'a> {
    files: HashMap<&'a str, Option<NewContent<'a>>>,
}

#[derive(Serialize)]
struct NewContent<'a> {
    content: &'a str,
}

/// A Gist as the API gives it; `C` is what is read of the contents, which can be 300 MB together.
#[derive(Deserialize)]
#[serde(bound(deserialize = "C: DeserializeOwned"))]
struct GistAnswer<C> {
    id: String,
    description: Option<String>,
    #[serde(default = "HashMap::new")]
    files: HashMap<String, Option<FileAnswer<C>>>,
}

#[derive(Deserialize)]
struct FileAnswer<C> {
    size: Option<usize>,
    raw_url: Option<String>,
    #[serde(default)]
    truncated: bool,
    content: Option<C>,
}

/// A content that nobody looks at; it is not kept in memory.
struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A content as its SHA-256.
struct ContentHash(String);

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
            .ok_or("the answer does not name our file")
    }

    /// The contract's proof: the answer names our file with our size.
    fn proof_of_size(&self, file: &SegmentFile, gist: &Url) -> Result<Receipt, &'static str> {
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
    fn proof_of_content(&self, file: &SegmentFile, gist: &Url) -> Result<Receipt, &'static str> {
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

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// Reads what matters of an answer that is no success.
fn refusal(response: Response) -> Reply {
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
            .and_then(|value| answer::retry_after(value, now)),
        remaining: number("x-ratelimit-remaining").and_then(|n| u64::try_from(n).ok()),
        reset: number("x-ratelimit-reset").and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        secondary: message
            .to_ascii_lowercase()
            .contains("secondary rate limit"),
    };
    let reason = status.canonical_reason().unwrap_or("unknown status");
    Reply::Unproven {
        answer: Some(answer),
        error: format!("HTTP {}: {reason}", status.as_u16()),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A transport error as one line, without the URL, which says nothing new.
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            "connecting timed out"
        } else {
            "the request timed out"
        }
        .to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    format!("network: {text}")
}
