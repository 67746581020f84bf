//! A Gist as a source: reading what was collected. This needs no token, but with one GitHub allows
//! 5,000 requests an hour instead of 60. The token is sent only to the API; a `raw_url` is on
//! another host and is read without it.

use std::io::{self, BufReader, Read};

use reqwest::blocking::Response;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};

use super::answer::{self, Extract, FileAnswer};
use super::api::{Access, Api};
use crate::destination::http::{describe, refusal};
use crate::destination::read_error::ReadError;
use crate::destination::{Kind, Target, UploadError};
use crate::limits::{RAW_FILE_BYTES, VIEW_CONTENT_BYTES, VIEW_TIMEOUT};

/// Reads one Gist.
#[derive(Debug)]
pub(crate) struct GistReader {
    target: Target,
    id: String,
    api: Api,
}

/// The answer of the API.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The Gist still has the given ETag.
    NotModified,
    /// Its content.
    Listing(Listing),
}

/// The content of a Gist.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The ETag, for asking later whether the Gist has changed.
    pub etag: Option<String>,
    /// Whether there are more files than the API lists.
    pub more_files: bool,
    /// The files, sorted by name.
    pub files: Vec<GistFile>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct GistFile {
    /// Its name.
    pub name: String,
    /// Its full size in bytes, if the API gives it.
    pub size: Option<u64>,
    /// Its content.
    pub content: Content,
}

/// The content of a file.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Whole(String),
    /// The answer does not have all of it. This is its `raw_url`.
    AtUrl(String),
    /// The answer does not have all of it and gives no `raw_url`.
    Unknown,
}

impl GistReader {
    /// Contacts nobody.
    ///
    /// # Errors
    /// When the API's base URL is not usable.
    pub(in crate::destination) fn new(
        target: &Target,
        access: &Access,
    ) -> Result<Self, UploadError> {
        let Kind::Gist(id) = target.kind() else {
            return Err(UploadError::NoGist);
        };
        Ok(Self {
            target: target.clone(),
            id: id.clone(),
            api: Api::new(id, access)?,
        })
    }

    /// Its name as a destination.
    #[must_use]
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The URL that is requested.
    #[must_use]
    pub(crate) fn address(&self) -> &str {
        self.api.url().as_str()
    }

    /// Requests the Gist, if it no longer has this ETag. `advance` is called with the size of each
    /// part of the answer as it arrives.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub(crate) fn fetch(
        &self,
        etag: Option<&str>,
        advance: &mut dyn FnMut(u64),
    ) -> Result<Fetched, ReadError> {
        let asked = self.api.send(&Method::GET, |request| {
            let request = request.timeout(VIEW_TIMEOUT);
            match etag {
                Some(etag) => request.header(IF_NONE_MATCH, etag),
                None => request,
            }
        });
        let response = asked.map_err(|error| ReadError::Later(describe(error)))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Fetched::NotModified),
            StatusCode::OK => self.listing(response, advance).map(Fetched::Listing),
            _ => Err(ReadError::of(refusal(response), self.api.has_token())),
        }
    }

    fn listing(
        &self,
        response: Response,
        advance: &mut dyn FnMut(u64),
    ) -> Result<Listing, ReadError> {
        let etag = response.headers().get(ETAG);
        let etag = etag.and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let body = WithProgress {
            inner: response,
            advance,
        };
        let later = |why: &str| ReadError::Later(format!("HTTP 200: {why}"));
        let answer = answer::read(
            body,
            &mut Lines {
                left: VIEW_CONTENT_BYTES,
            },
        )
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
            files: files.map(|(name, file)| file.named(name)).collect(),
        })
    }

    /// Reads a file from its `raw_url`, without the token.
    ///
    /// # Errors
    /// A reason for people to read.
    pub(crate) fn fetch_raw(
        &self,
        raw_url: &str,
        advance: &mut dyn FnMut(u64),
    ) -> Result<Vec<u8>, String> {
        let response = self.api.raw(raw_url, VIEW_TIMEOUT)?;
        if response.status() != StatusCode::OK {
            return Err(format!("HTTP {}", response.status().as_u16()));
        }
        let mut content = Vec::new();
        let body = WithProgress {
            inner: response.take(RAW_FILE_BYTES),
            advance,
        };
        BufReader::new(body)
            .read_to_end(&mut content)
            .map_err(|_| "the answer broke off")?;
        Ok(content)
    }
}

/// Keeps the contents of JSONL files, up to a memory limit.
struct Lines {
    left: usize,
}

impl Extract for Lines {
    type Content = String;
    fn wants(&self, name: &str) -> bool {
        name.to_ascii_lowercase().ends_with(".jsonl")
    }
    fn content(&mut self, content: &str) -> Option<String> {
        self.left = self.left.checked_sub(content.len())?;
        Some(content.to_owned())
    }
}

impl FileAnswer<String> {
    /// A file over GitHub's size limit can blank the contents of others, so a content is used only
    /// if it has its full size.
    fn named(self, name: String) -> GistFile {
        let whole = self.content.filter(|content| {
            !self.truncated && self.size.is_none_or(|size| size == content.len() as u64)
        });
        GistFile {
            name,
            size: self.size,
            content: match (whole, self.raw_url) {
                (Some(content), _) => Content::Whole(content),
                (None, Some(url)) => Content::AtUrl(url),
                (None, None) => Content::Unknown,
            },
        }
    }
}

/// A body that reports each part as it arrives.
struct WithProgress<'w, R> {
    inner: R,
    advance: &'w mut dyn FnMut(u64),
}

impl<R: Read> Read for WithProgress<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.advance)(read as u64);
        Ok(read)
    }
}
