//! HTTP as every request uses it: where it may go, how far a redirect is followed, and what is read
//! of an answer that is no success.

use std::error::Error as _;
use std::io::Read;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::sync::Arc;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Url, redirect};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use super::dns::SystemFiles;
use super::verdict::{self, HttpAnswer, judge};
use super::{Unconfirmed, UploadError};
use crate::clock;
use crate::limits::{CONNECT_TIMEOUT, REDIRECTS};

/// Says who we are; GitHub refuses requests without it.
const USER_AGENT: &str = concat!("jmo-telemetry/", env!("CARGO_PKG_VERSION"));

/// A client for requests to this address. What goes to this machine goes through no proxy, whatever
/// the environment says: a plain-text proxy would read along.
pub(super) fn client(url: &Url) -> Result<Client, UploadError> {
    // The first call decides for the process; a second one finds the same provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        // The client itself would follow to other hosts, and as a GET.
        .redirect(redirect::Policy::none());
    let client = if is_loopback(url) {
        client.no_proxy()
    } else {
        client
    };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let client = client.dns_resolver(Arc::new(SystemFiles));
    client.build().map_err(UploadError::Client)
}

/// Makes a request, and the same again where this very host redirects it to. A redirect to anywhere
/// else is an answer like any other that is no success: what a request carries goes nowhere but to
/// the host it is for.
pub(super) fn send(url: &Url, make: impl Fn(Url) -> RequestBuilder) -> reqwest::Result<Response> {
    let mut url = url.clone();
    let mut hops = 0;
    loop {
        let response = make(url.clone()).send()?;
        match redirected(&url, &response) {
            Some(next) if hops < REDIRECTS => url = next,
            _ => return Ok(response),
        }
        hops += 1;
    }
}

/// Where a redirect leads, if it is one that keeps method and body, and leads to the same scheme,
/// host and port.
fn redirected(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = from.join(location).ok()?;
    let anonymous = to.username().is_empty() && to.password().is_none();
    (to.origin() == from.origin() && anonymous).then_some(to)
}

/// The address in this text, without a slash at its end. It goes into requests and messages, so it
/// must be safe in both: without a user, a password, a query or a fragment.
pub(super) fn address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (is_plain && is_safe(&url)).then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Https, or this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether the address is this machine's own.
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

/// Judges an answer that is no success.
pub(super) fn refusal(response: Response) -> Unconfirmed {
    let now = clock::now();
    let status = response.status();
    let headers = response.headers().clone();
    // The words are GitHub's own and English; a page in HTML just does not match.
    let mut message = String::new();
    let _ = response.take(64 * 1024).read_to_string(&mut message);
    let answer = HttpAnswer {
        status: status.as_u16(),
        retry_after: text(&headers, "retry-after")
            .and_then(|value| verdict::retry_after(value, now)),
        remaining: text(&headers, "x-ratelimit-remaining")
            .and_then(|value| value.trim().parse().ok()),
        reset: text(&headers, "x-ratelimit-reset").and_then(verdict::reset),
        secondary: message
            .to_ascii_lowercase()
            .contains("secondary rate limit"),
    };
    let reason = if status.is_redirection() {
        "a redirect that is not followed, since it leads elsewhere"
    } else {
        status.canonical_reason().unwrap_or("unknown status")
    };
    Unconfirmed {
        verdict: judge(&answer, now),
        http_status: Some(status.as_u16()),
        reason: format!("HTTP {}: {reason}", status.as_u16()),
        advice: None,
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A success that proves nothing: a failure that may pass.
pub(super) fn unproven(status: u16, why: &str) -> Unconfirmed {
    Unconfirmed {
        http_status: Some(status),
        ..Unconfirmed::later(format!("HTTP {status}: {why}"))
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
        // What comes after this are the resolver's words for its makers.
        if text == "dns error" {
            return "network: no address is found for its host name".to_owned();
        }
        source = cause.source();
    }
    format!("network: {text}")
}
