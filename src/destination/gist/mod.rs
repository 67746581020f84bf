//! A GitHub Gist as a destination. All HTTP of the program is in this directory. Facts about the
//! API: GIST.md of the project.

mod answer;
pub(super) mod read;

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::answer::refusal;
use self::answer::{ContentHash, GistAnswer, Unread};
use super::http::{Api, describe};
use super::{Destination, Reply, UploadError};
use crate::clock::Deadline;
use crate::destination::segment::{self, Receipt, SegmentFile};
use crate::destination::verdict::Answer;
use crate::destination::{Target, Token};
use crate::limits::{ANSWER_BYTES, GITHUB_WRITE_SPACING, REQUEST_TIMEOUT};

/// One Gist, and the token of its owner.
pub(super) struct Gist {
    target: Target,
    id: String,
    api: Api,
    configuration: String,
}

impl Gist {
    pub(super) fn new(id: &str, token: Token, api: &str) -> Result<Self, UploadError> {
        let api = Api::new(id, Some(&token), api)?;
        // Salted with the address and cut, so that it tells a change and nothing else.
        let configuration =
            segment::sha256(format!("{}\n{}", api.url(), token.expose()).as_bytes())[..16]
                .to_owned();
        Ok(Self {
            target: Target::Gist(id.to_owned()),
            id: id.to_owned(),
            api,
            configuration,
        })
    }

    fn get<A: DeserializeOwned>(
        &self,
        timeout: Duration,
        prove: impl FnOnce(&GistAnswer<A>) -> Result<Vec<Receipt>, &'static str>,
    ) -> Reply {
        self.send(&Method::GET, &[], timeout, prove)
    }

    /// Changes the Gist; the answer is the whole of it.
    fn patch(
        &self,
        body: &impl Serialize,
        timeout: Duration,
        prove: impl FnOnce(&GistAnswer<Unread>) -> Result<Vec<Receipt>, &'static str>,
    ) -> Reply {
        let body = serde_json::to_vec(body).expect("strings serialize");
        self.send(&Method::PATCH, &body, timeout, prove)
    }

    /// Makes a request and reads a proof from its answer.
    fn send<A: DeserializeOwned>(
        &self,
        method: &Method,
        body: &[u8],
        timeout: Duration,
        prove: impl FnOnce(&GistAnswer<A>) -> Result<Vec<Receipt>, &'static str>,
    ) -> Reply {
        let deadline = Deadline::after(timeout.min(REQUEST_TIMEOUT));
        let response = self.api.send(|client, url| {
            let request = client.request(method.clone(), url).timeout(deadline.left());
            if body.is_empty() {
                return request;
            }
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_vec())
        });
        let response = match response {
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
        self.patch(&body, timeout, |gist| {
            files
                .iter()
                .map(|file| gist.proof_of_size(file, self.api.url()))
                .collect()
        })
    }

    fn look(&mut self, files: &[SegmentFile], timeout: Duration) -> Reply {
        self.get::<ContentHash>(timeout, |gist| {
            files
                .iter()
                .map(|file| gist.proof_of_content(file, self.api.url()))
                .collect()
        })
    }

    fn present(&mut self, names: &[String], timeout: Duration) -> Result<Vec<String>, Reply> {
        let mut present = Vec::new();
        let listed = self.get::<Unread>(timeout, |gist| {
            let listed = |name: &&String| gist.files.contains_key(*name);
            present = names.iter().filter(listed).cloned().collect();
            if gist.truncated && present.len() < names.len() {
                return Err("the Gist has more files than GitHub lists; connect another Gist");
            }
            Ok(Vec::new())
        });
        match listed {
            Reply::Proved { .. } => Ok(present),
            unproven @ Reply::Unproven { .. } => Err(unproven),
        }
    }

    fn delete(&mut self, names: &[String], timeout: Duration) -> Reply {
        let body = Patch {
            files: names.iter().map(|name| (name.as_str(), None)).collect(),
        };
        self.patch(&body, timeout, |gist| {
            let gone = names.iter().all(|name| !gist.files.contains_key(name));
            gone.then(Vec::new)
                .ok_or("the answer still lists a deleted file")
        })
    }

    fn probe(&mut self, timeout: Duration) -> Reply {
        let mut description = None;
        let seen = self.get::<Unread>(timeout, |gist| {
            description = gist.description.clone();
            Ok(Vec::new())
        });
        if matches!(seen, Reply::Unproven { .. }) {
            return seen;
        }
        // Only the owner gets past this, and it says what is there already.
        let unchanged = HashMap::from([("description", description.unwrap_or_default())]);
        match self.patch(&unchanged, timeout, |_| Ok(Vec::new())) {
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
