//! A Gist as a source: reading what was collected. No token is needed for that, but with one GitHub
//! allows 5,000 requests an hour instead of 60. It goes to the API alone; a `raw_url` is on another
//! host and is read without it.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use chrono::{DateTime, Utc};
use reqwest::blocking::Response;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::answer::refusal;
use crate::clock;
use crate::destination::Token;
use crate::destination::http::{Api, describe, is_safe};
use crate::destination::verdict::{Answer, Verdict, judge};
use crate::destination::{GITHUB_API, Reply, UploadError};
use crate::limits::{ANSWER_BYTES, RAW_FILE_BYTES, VIEW_TIMEOUT};

/// One Gist, for reading.
#[derive(Debug)]
pub struct GistReader {
    id: String,
    api: Api,
}

/// What the API answered.
#[derive(Debug)]
pub enum Fetched {
    /// It is still what had this ETag.
    NotModified,
    /// What it holds.
    Listing(Listing),
}

/// What a Gist holds.
#[derive(Debug)]
pub struct Listing {
    /// For asking whether it changed.
    pub etag: Option<String>,
    /// More files are there than the API lists.
    pub more_files: bool,
    /// In the order of their names.
    pub files: Vec<GistFile>,
}

/// One file.
#[derive(Debug)]
pub struct GistFile {
    /// Its name.
    pub name: String,
    /// Its whole size in bytes, if the API says so.
    pub size: Option<u64>,
    /// What it holds.
    pub content: Content,
}

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Whole(String),
    /// The answer has not all of it; this is where it is.
    Elsewhere(String),
    /// The answer has not all of it, and does not say where it is.
    Unknown,
}

/// Why a Gist can't be read. No message holds anything that a server made up.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The Gist is not there, or not for us.
    #[error("{why}")]
    Refused {
        /// The status.
        status: u16,
        /// The status in words.
        why: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The server limits us.
    #[error("{why}: rate limit")]
    Limited {
        /// The status in words.
        why: String,
        /// Until then.
        until: DateTime<Utc>,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Something between here and there does not work.
    #[error("{0}")]
    Later(String),
}

impl GistReader {
    /// Contacts nobody.
    ///
    /// # Errors
    /// When the API base is not usable.
    pub fn new(id: &str, token: Option<&Token>, api: Option<&str>) -> Result<Self, UploadError> {
        Ok(Self {
            id: id.to_owned(),
            api: Api::new(id, token, api.unwrap_or(GITHUB_API))?,
        })
    }

    /// The Gist's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is asked for.
    #[must_use]
    pub fn address(&self) -> &str {
        self.api.url().as_str()
    }

    /// Asks for the Gist, or whether it still is what had this ETag. `advance` is told of each part
    /// of the answer.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub fn fetch(
        &self,
        etag: Option<&str>,
        advance: &mut dyn FnMut(u64),
    ) -> Result<Fetched, ReadError> {
        let asked = self.api.send(|client, url| {
            let request = client.get(url).timeout(VIEW_TIMEOUT);
            match etag {
                Some(etag) => request.header(IF_NONE_MATCH, etag),
                None => request,
            }
        });
        let response = asked.map_err(|error| ReadError::Later(describe(error)))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Fetched::NotModified),
            StatusCode::OK => self.listing(response, advance).map(Fetched::Listing),
            _ => Err(self.refused(response)),
        }
    }

    fn listing(
        &self,
        response: Response,
        advance: &mut dyn FnMut(u64),
    ) -> Result<Listing, ReadError> {
        let etag = response.headers().get(ETAG);
        let etag = etag.and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let body = Watched {
            inner: response.take(ANSWER_BYTES),
            advance,
        };
        let later = |why: &str| ReadError::Later(format!("HTTP 200: {why}"));
        let answer: GistAnswer = serde_json::from_reader(BufReader::with_capacity(
            256 * 1024,
            body,
        ))
        .map_err(|error| {
            if error.is_io() || error.is_eof() {
                later("the answer broke off")
            } else {
                later("the answer is not a Gist's; is there a login page or proxy in between?")
            }
        })?;
        if answer.id != self.id {
            return Err(later("the answer is of another Gist"));
        }
        let files = answer.files.into_iter();
        Ok(Listing {
            etag,
            more_files: answer.truncated,
            files: files
                .filter_map(|(name, file)| Some(file?.named(name)))
                .collect(),
        })
    }

    fn refused(&self, response: Response) -> ReadError {
        let with_token = self.api.has_token();
        let (answer, why) = match refusal(response) {
            Reply::Unproven { answer, error } => (answer.unwrap_or_default(), error),
            Reply::Proved { .. } => (Answer::default(), String::new()),
        };
        match judge(&answer, clock::now()) {
            Verdict::NotBefore(until) => ReadError::Limited {
                why,
                until,
                with_token,
            },
            Verdict::Paused => ReadError::Refused {
                status: answer.status,
                why,
                with_token,
            },
            Verdict::Later | Verdict::Look | Verdict::Refused => ReadError::Later(why),
        }
    }

    /// Reads a file from its `raw_url`, without the token, over https, or from this machine.
    ///
    /// # Errors
    /// When it can't be read, as a fragment for people.
    pub fn fetch_raw(
        &self,
        raw_url: &str,
        advance: &mut dyn FnMut(u64),
    ) -> Result<Vec<u8>, String> {
        let url = Url::parse(raw_url).ok().filter(is_safe);
        let url = url.ok_or("its address is neither https nor on this machine")?;
        let request = self.api.elsewhere(url).timeout(VIEW_TIMEOUT);
        let response = request.send().map_err(describe)?;
        if response.status() != StatusCode::OK {
            return Err(format!("HTTP {}", response.status().as_u16()));
        }
        let mut content = Vec::new();
        let body = Watched {
            inner: response.take(RAW_FILE_BYTES),
            advance,
        };
        BufReader::new(body)
            .read_to_end(&mut content)
            .map_err(|_| "the answer broke off")?;
        Ok(content)
    }
}

/// A Gist as the API gives it, with the contents.
#[derive(Deserialize)]
struct GistAnswer {
    id: String,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    files: BTreeMap<String, Option<FileAnswer>>,
}

#[derive(Deserialize)]
struct FileAnswer {
    size: Option<u64>,
    raw_url: Option<String>,
    #[serde(default)]
    truncated: bool,
    content: Option<String>,
}

impl FileAnswer {
    /// One file over GitHub's limit can blank the contents of others, so what matters is whether
    /// all of it is here.
    fn named(self, name: String) -> GistFile {
        let whole = self.content.filter(|content| {
            !self.truncated && self.size.is_none_or(|size| size == content.len() as u64)
        });
        GistFile {
            name,
            size: self.size,
            content: match (whole, self.raw_url) {
                (Some(content), _) => Content::Whole(content),
                (None, Some(url)) => Content::Elsewhere(url),
                (None, None) => Content::Unknown,
            },
        }
    }
}

/// A body that tells of each part that has come.
struct Watched<'w, R> {
    inner: R,
    advance: &'w mut dyn FnMut(u64),
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.advance)(read as u64);
        Ok(read)
    }
}
