//! A GitHub Gist as a destination. All HTTP of the program is in this directory. Facts about the
//! API: GIST.md of the project.

mod answer;

use std::collections::HashMap;
use std::error::Error as _;
use std::io::{BufReader, Read};
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use self::answer::refusal;
use self::answer::{ContentHash, GistAnswer, Unread};
use super::{Destination, Reply, UploadError};
use crate::answer::Answer;
use crate::clock::Deadline;
use crate::limits::{
    ANSWER_BYTES, CONNECT_TIMEOUT, GITHUB_WRITE_SPACING, REDIRECTS, REQUEST_TIMEOUT,
};
use crate::segment::{self, Receipt, SegmentFile};
use crate::target::{Target, Token};

/// Says who we are; GitHub refuses requests without it.
pub(super) const USER_AGENT: &str = concat!("jmo-telemetry/", env!("CARGO_PKG_VERSION"));

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
            // The client itself would follow to other hosts, and as a GET.
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

    /// Makes a request, and the same again where this very host redirects it to. A redirect to
    /// anywhere else is an answer like any other that is no success: the token goes nowhere but to
    /// the host it is for.
    fn request(
        &self,
        method: &Method,
        body: &[u8],
        timeout: Duration,
    ) -> reqwest::Result<Response> {
        let deadline = Deadline::after(timeout.min(REQUEST_TIMEOUT));
        let mut url = self.url.clone();
        let mut hops = 0;
        loop {
            let mut request = self
                .client
                .request(method.clone(), url.clone())
                .header(ACCEPT, "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28")
                .header(AUTHORIZATION, self.authorization.clone())
                .timeout(deadline.left());
            if !body.is_empty() {
                request = request
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.to_vec());
            }
            let response = request.send()?;
            match redirected(&url, &response) {
                Some(next) if hops < REDIRECTS => url = next,
                _ => return Ok(response),
            }
            hops += 1;
        }
    }

    /// Makes a request and reads a proof from its answer.
    fn send<A: DeserializeOwned>(
        &self,
        method: &Method,
        body: &[u8],
        timeout: Duration,
        prove: impl FnOnce(&GistAnswer<A>) -> Result<Vec<Receipt>, &'static str>,
    ) -> Reply {
        let response = match self.request(method, body, timeout) {
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
                .map(|file| gist.proof_of_size(file, &self.url))
                .collect()
        })
    }

    fn look(&mut self, files: &[SegmentFile], timeout: Duration) -> Reply {
        self.get::<ContentHash>(timeout, |gist| {
            files
                .iter()
                .map(|file| gist.proof_of_content(file, &self.url))
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

/// Where a redirect leads, if it is one that keeps method and body, and leads to the same scheme,
/// host and port.
pub(super) fn redirected(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = from.join(location).ok()?;
    let anonymous = to.username().is_empty() && to.password().is_none();
    (to.origin() == from.origin() && anonymous).then_some(to)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// A transport error as one line, without the URL, which says nothing new.
pub(super) fn describe(error: reqwest::Error) -> String {
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
