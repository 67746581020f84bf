//! The HTTP rules for every request: which addresses are allowed, how far redirects are followed,
//! and how an answer that is not a success is read.

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

/// The `User-Agent`, without which GitHub refuses requests.
const USER_AGENT: &str = concat!("jmo-telemetry/", env!("CARGO_PKG_VERSION"));

/// A client for requests to this address. Requests to this machine use no proxy, whatever the
/// environment says, because a plain-text proxy could read them.
pub(super) fn client(url: &Url) -> Result<Client, UploadError> {
    // Only the first call in a process has an effect; later ones find the same provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        // reqwest would follow redirects to other hosts, and as a GET.
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

/// Makes a request, and follows a redirect within the same host. A redirect to anywhere else is
/// treated as a failure: the content of a request goes only to the host that it is for.
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

/// The target of a redirect, if it keeps the method and the body, and stays on the same scheme,
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

/// The address in this text, without a trailing slash. It is used in requests and shown in
/// messages, so it must not have a user, a password, a query or a fragment.
pub(super) fn address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (is_plain && is_safe(&url)).then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Whether the connection is safe: https, or to this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether the address is on this machine.
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

/// Judges an answer that is not a success.
pub(super) fn refusal(response: Response) -> Unconfirmed {
    let now = clock::now();
    let status = response.status();
    let headers = response.headers().clone();
    // GitHub's messages are always in English. An HTML page just does not match.
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
        "a redirect to another server, which is not followed"
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

/// A success status without proof: a temporary failure.
pub(super) fn unproven(status: u16, why: &str) -> Unconfirmed {
    Unconfirmed {
        http_status: Some(status),
        ..Unconfirmed::later(format!("HTTP {status}: {why}"))
    }
}

/// A transport error as one line, without the URL, which is already known.
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
        // The rest is technical detail of the resolver.
        if text == "dns error" {
            return "network: its host name can't be resolved".to_owned();
        }
        source = cause.source();
    }
    format!("network: {text}")
}
