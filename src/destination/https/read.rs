//! A collector as a source: reads its raw events page by page, with the maintainer's token.

use std::io::Read as _;

use chrono::NaiveDate;
use reqwest::blocking::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LINK};
use reqwest::{StatusCode, Url};
use uuid::Uuid;

use super::info;
use crate::destination::config::{self, ConfigError};
use crate::destination::http::{self, describe, refusal};
use crate::destination::read_error::ReadError;
use crate::destination::{Kind, Target, Token, UploadError};
use crate::env::Environment;
use crate::limits::{COLLECTOR_PAGE_BYTES, VIEW_TIMEOUT};

/// The maintainer's token, if the environment has one.
pub(in crate::destination) fn token(
    environment: &Environment,
) -> Result<Option<Token>, ConfigError> {
    config::token(environment, info::TOKEN, info::TOKEN_FILE)
}

/// Reads one collector.
#[derive(Debug)]
pub(crate) struct CollectorReader {
    target: Target,
    address: String,
    authorization: HeaderValue,
    client: Client,
}

/// One page of raw events.
#[derive(Debug)]
pub(crate) struct EventsPage {
    /// The ETag, for asking later whether the page has changed.
    pub etag: Option<String>,
    /// Its lines; `None` if the page still has the given ETag.
    pub lines: Option<Vec<u8>>,
    /// Whether another page follows.
    pub has_next: bool,
}

impl CollectorReader {
    /// Contacts nobody.
    ///
    /// # Errors
    /// When the address or the token can't be used.
    pub(in crate::destination) fn new(target: &Target, token: &Token) -> Result<Self, UploadError> {
        let Kind::Collector(address) = target.kind() else {
            return Err(UploadError::BadCollector);
        };
        let url = Url::parse(address).map_err(|_| UploadError::BadCollector)?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| UploadError::NoCollectorToken)?;
        authorization.set_sensitive(true);
        Ok(Self {
            target: target.clone(),
            address: address.clone(),
            authorization,
            client: http::client(&url)?,
        })
    }

    /// Its name as a destination.
    #[must_use]
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The URL of a page: the events since a day, beginning after the given event.
    #[must_use]
    pub(crate) fn page(&self, since: Option<NaiveDate>, after: Option<Uuid>) -> String {
        let since = since.map(|day| format!("since={day}"));
        let after = after.map(|id| format!("after={id}"));
        let query: Vec<_> = since.into_iter().chain(after).collect();
        format!("{}/v1/events?{}", self.address, query.join("&"))
    }

    /// Requests a page, if it no longer has this ETag.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub(crate) fn fetch(&self, page: &str, etag: Option<&str>) -> Result<EventsPage, ReadError> {
        let later = |why: &str| ReadError::Later(why.to_owned());
        let url = Url::parse(page).map_err(|_| later("its address is not a URL"))?;
        let asked = http::send(&url, |url| {
            let request = self.client.get(url).timeout(VIEW_TIMEOUT);
            let request = request.header(AUTHORIZATION, self.authorization.clone());
            match etag {
                Some(etag) => request.header(IF_NONE_MATCH, etag),
                None => request,
            }
        });
        let response = asked.map_err(|error| ReadError::Later(describe(error)))?;
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let mut page = EventsPage {
            etag: text(ETAG).map(str::to_owned),
            lines: None,
            has_next: text(LINK).is_some_and(|link| link.contains("rel=\"next\"")),
        };
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(page),
            StatusCode::OK
                if text(CONTENT_TYPE)
                    .is_some_and(|kind| kind.starts_with("application/x-ndjson")) =>
            {
                let mut lines = Vec::new();
                response
                    .take(COLLECTOR_PAGE_BYTES)
                    .read_to_end(&mut lines)
                    .map_err(|_| later("the answer broke off"))?;
                page.lines = Some(lines);
                Ok(page)
            }
            StatusCode::OK => Err(later(
                "HTTP 200: the answer is not a collector's; is there a login page or proxy in between?",
            )),
            _ => Err(ReadError::of(refusal(response), true)),
        }
    }
}
