//! A collector as a destination. Each segment is one request, which needs no token. The collector
//! answers for each line, recognizes every event by its id, and shows senders nothing of what it
//! has.

mod answer;
mod info;
pub(super) mod read;

use std::io::{Read, Write as _};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use self::answer::{key, proof};
pub(super) use self::info::{BUILT_IN, INFO, read_advice};
use super::config::{Chosen, ConfigError};
use super::http::{self, describe, refusal, unproven};
use super::segment::{self, Receipt, SegmentFile};
use super::verdict::Verdict;
use super::{
    Answer, Capabilities, Confirmed, Destination, Owned, Seen, Target, Unconfirmed, UploadError,
    Wanted,
};
use crate::clock::Deadline;
use crate::env::Environment;
use crate::limits::{
    COLLECTOR_ANSWER_BYTES, COLLECTOR_CLOSED_PAUSE, COLLECTOR_EVENTS, REQUEST_TIMEOUT,
    SEGMENT_BYTES,
};

/// What a collector can do, and its limits.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    segments_grow: false,
    max_bytes: SEGMENT_BYTES,
    max_events: COLLECTOR_EVENTS,
    segments_per_request: 1,
    spacing: Duration::ZERO,
    can_look: false,
    uses_network: true,
};

/// The collector that the environment names. The user may not have set the variable, so the notice
/// comes first.
pub(super) fn named_by(environment: &Environment) -> Result<Option<Chosen>, ConfigError> {
    let Some(text) = environment.get(info::ENDPOINT) else {
        return Ok(None);
    };
    chosen_by_others(info::ENDPOINT, text.trim()).map(Some)
}

/// The collector that was set when the program was compiled, if one was. The notice comes first.
pub(super) fn built_in(endpoint: Option<&str>) -> Result<Option<Chosen>, ConfigError> {
    match endpoint.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => chosen_by_others(info::DEFAULT_ENDPOINT, text).map(Some),
    }
}

fn chosen_by_others(name: &'static str, text: &str) -> Result<Chosen, ConfigError> {
    let target =
        Target::collector(text).map_err(|source| ConfigError::Variable { name, source })?;
    Ok(Chosen {
        target,
        notice_first: true,
    })
}

/// One collector.
pub(super) struct Collector {
    target: Target,
    address: String,
    client: Client,
}

impl Collector {
    /// Contacts nobody.
    pub(super) fn new(address: &str) -> Result<Self, UploadError> {
        let url = Url::parse(address).map_err(|_| UploadError::BadCollector)?;
        Ok(Self {
            target: Target::collector(address).map_err(|_| UploadError::BadCollector)?,
            address: address.to_owned(),
            client: http::client(&url)?,
        })
    }

    /// Posts a body and reads the JSON answer.
    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        timeout: Duration,
        make: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<(T, u16), Unconfirmed> {
        let url = self.url(path)?;
        let deadline = Deadline::after(timeout.min(REQUEST_TIMEOUT));
        let response = http::send(&url, |url| {
            make(self.client.post(url).timeout(deadline.left()))
        });
        read(response.map_err(|error| Unconfirmed::later(describe(error)))?)
    }

    fn url(&self, path: &str) -> Result<Url, Unconfirmed> {
        Url::parse(&format!("{}{path}", self.address))
            .map_err(|_| Unconfirmed::later("its address is not a URL"))
    }
}

/// Reads the JSON of a successful answer, up to a size limit.
fn read<T: DeserializeOwned>(response: Response) -> Result<(T, u16), Unconfirmed> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(with_advice(refusal(response)));
    }
    let mut body = Vec::new();
    response
        .take(COLLECTOR_ANSWER_BYTES)
        .read_to_end(&mut body)
        .map_err(|_| unproven(status.as_u16(), "the answer broke off"))?;
    let answer = serde_json::from_slice(&body).map_err(|_| {
        let why = "the answer is not a collector's; is there a login page or proxy in between?";
        unproven(status.as_u16(), why)
    })?;
    Ok((answer, status.as_u16()))
}

/// Adds what the user can do about it.
fn with_advice(unconfirmed: Unconfirmed) -> Unconfirmed {
    let (verdict, advice) = match (unconfirmed.verdict, unconfirmed.http_status) {
        (Verdict::Refused(_), Some(410)) => (
            Verdict::Refused(COLLECTOR_CLOSED_PAUSE),
            "the collector is closed, for good or for a while; it is tried again after a week",
        ),
        (verdict @ Verdict::Refused(_), Some(404)) => (
            verdict,
            "there is no collector at this address; check that it is complete",
        ),
        (verdict @ Verdict::Refused(_), _) => (
            verdict,
            "the server at this address asks for a login, which a collector never does; check the address",
        ),
        _ => return unconfirmed,
    };
    Unconfirmed {
        verdict,
        advice: Some(advice.to_owned()),
        ..unconfirmed
    }
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(content.as_bytes())
        .and_then(|()| encoder.finish())
        .expect("memory takes what is written")
}

impl Destination for Collector {
    fn target(&self) -> &Target {
        &self.target
    }

    /// Only the address, so that a pause ends when it changes.
    fn fingerprint(&self) -> String {
        segment::sha256(self.address.as_bytes())[..16].to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn write(&mut self, files: &[SegmentFile], timeout: Duration) -> Answer<Vec<Receipt>> {
        let mut receipts = Vec::new();
        let mut http_status = None;
        for file in files {
            let body = gzip(&file.content);
            let (answer, status) = self.post("/v1/events", timeout, |request| {
                request
                    .header(CONTENT_TYPE, "application/x-ndjson")
                    .header(CONTENT_ENCODING, "gzip")
                    .header("Idempotency-Key", key(file))
                    .body(body.clone())
            })?;
            let receipt = proof(file, answer, format!("{}/v1/events", self.address))
                .map_err(|why| unproven(status, why))?;
            receipts.push(receipt);
            http_status = Some(status);
        }
        Ok(Confirmed {
            proof: receipts,
            http_status,
        })
    }

    /// A collector does not show senders what it has.
    fn look(&mut self, _: Wanted<'_>, _: Duration) -> Answer<Seen> {
        Err(Unconfirmed::later("a collector can't be looked at"))
    }

    /// A collector has no files.
    fn delete(&mut self, _: &[String], _: Duration) -> Answer<()> {
        Err(Unconfirmed::later("a collector has no files to delete"))
    }

    fn forget(&mut self, owned: &Owned, timeout: Duration) -> Answer<()> {
        #[derive(Deserialize)]
        struct Forgotten {
            #[serde(rename = "forgotten")]
            _events: u64,
        }
        let mut http_status = None;
        for id in &owned.anonymous_ids {
            let body = json!({ "anonymous_id": id }).to_string();
            let (_, status) = self.post::<Forgotten>("/v1/forget", timeout, |request| {
                request
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.clone())
            })?;
            http_status = Some(status);
        }
        Ok(Confirmed {
            proof: (),
            http_status,
        })
    }

    /// Asks whether the collector is running. Sends nothing about this machine.
    fn probe(&mut self, timeout: Duration) -> Answer<()> {
        let url = self.url("/healthz")?;
        let deadline = Deadline::after(timeout.min(REQUEST_TIMEOUT));
        let response = http::send(&url, |url| self.client.get(url).timeout(deadline.left()))
            .map_err(|error| Unconfirmed::later(describe(error)))?;
        let (_, status) = read::<serde::de::IgnoredAny>(response)?;
        Ok(Confirmed {
            proof: (),
            http_status: Some(status),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_built_in_where_one_was_named_when_compiling_and_waits_for_the_notice() {
        for nothing in [None, Some(""), Some(" ")] {
            assert_eq!(built_in(nothing).expect("no mistake"), None);
        }
        let chosen = built_in(Some(" https://telemetry.example.org/\n"))
            .expect("no mistake")
            .expect("one is built in");
        assert_eq!(chosen.target.to_string(), "https://telemetry.example.org");
        assert!(chosen.notice_first);
    }

    #[test]
    fn an_address_that_can_t_be_built_in_is_named_by_its_variable() {
        for wrong in [
            "telemetry.example.org",
            "http://telemetry.example.org",
            "dir:/tmp",
        ] {
            let error = built_in(Some(wrong)).expect_err("no collector");
            assert!(
                error.to_string().contains("JMO_TELEMETRY_DEFAULT_ENDPOINT"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_same_content_is_compressed_into_the_same_bytes() {
        let content = "the same lines\n".repeat(100);
        assert_eq!(gzip(&content), gzip(&content));
    }
}
