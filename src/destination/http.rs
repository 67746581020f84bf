//! GitHub's API as every request reaches it: where it may be, who asks, and how far a redirect is
//! followed.

use std::error::Error as _;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::sync::Arc;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Url, redirect};

use super::UploadError;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use super::dns::SystemFiles;
use crate::destination::Token;
use crate::limits::{CONNECT_TIMEOUT, REDIRECTS};

/// Says who we are; GitHub refuses requests without it.
const USER_AGENT: &str = concat!("jmo-telemetry/", env!("CARGO_PKG_VERSION"));

/// One Gist of the API, and the token to ask with, if there is one.
#[derive(Debug)]
pub(super) struct Api {
    url: Url,
    authorization: Option<HeaderValue>,
    client: Client,
}

impl Api {
    /// Contacts nobody.
    pub(super) fn new(id: &str, token: Option<&Token>, api: &str) -> Result<Self, UploadError> {
        let url = Url::parse(&format!("{}/gists/{id}", api.trim_end_matches('/')))
            .map_err(|_| UploadError::BadApi)?;
        if !is_safe(&url) {
            return Err(UploadError::InsecureApi);
        }
        // It would end up in receipts and messages, which are no place for a secret.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UploadError::SecretInApi);
        }
        let authorization = token.map(bearer).transpose()?;
        // The first call decides for the process; a second one finds the same provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            // The client itself would follow to other hosts, and as a GET.
            .redirect(redirect::Policy::none());
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        let client = client.dns_resolver(Arc::new(SystemFiles));
        let client = client.build().map_err(UploadError::Client)?;
        Ok(Self {
            url,
            authorization,
            client,
        })
    }

    /// Where the Gist is asked for.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether there is a token.
    pub(super) fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// Makes a request, and the same again where this very host redirects it to. A redirect to
    /// anywhere else is an answer like any other that is no success: the token goes nowhere but to
    /// the host it is for.
    pub(super) fn send(
        &self,
        make: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> reqwest::Result<Response> {
        let mut url = self.url.clone();
        let mut hops = 0;
        loop {
            let mut request = make(&self.client, url.clone())
                .header(ACCEPT, "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28");
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = request.send()?;
            match redirected(&url, &response) {
                Some(next) if hops < REDIRECTS => url = next,
                _ => return Ok(response),
            }
            hops += 1;
        }
    }

    /// A request to an address that the API named, on whatever host: without the token, and without
    /// anything else that the API is told.
    pub(super) fn elsewhere(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }
}

fn bearer(token: &Token) -> Result<HeaderValue, UploadError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| UploadError::NoToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Https, or this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
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
