//! GitHub's API for one Gist: its address, and the token for requests, if there is one.

use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};

use super::info;
use crate::destination::config::{self, ConfigError};
use crate::destination::http::{self, is_loopback, is_safe};
use crate::destination::{Config, Target, Token, UploadError};
use crate::env::Environment;

/// The API of github.com.
const GITHUB_API: &str = "https://api.github.com";

/// A token and the API's base URL that it is for.
#[derive(Debug, Clone, Default)]
pub(in crate::destination) struct Access {
    /// The token, if there is one.
    pub(in crate::destination) token: Option<Token>,
    /// The API's base URL, if it is not GitHub's own.
    pub(in crate::destination) api: Option<String>,
}

impl Access {
    /// The token and the API from the environment.
    pub(in crate::destination) fn given(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            token: config::token(environment, info::TOKEN, info::TOKEN_FILE)?,
            api: environment.get(info::API).map(str::to_owned),
        })
    }

    /// The token and the API for this Gist. A token from the environment is sent to the API from
    /// the environment or to GitHub's own, never to one that a file names. A remembered token is
    /// sent only to the API that was remembered with it.
    pub(in crate::destination) fn find(
        config: &Config<'_>,
        target: &Target,
    ) -> Result<Self, ConfigError> {
        let given = Self::given(config.environment)?;
        if given.token.is_some() {
            return Ok(given);
        }
        let Some(remembered) = config.remembered(target) else {
            return Ok(given);
        };
        Ok(Self {
            token: remembered.token.clone(),
            api: given.api.or_else(|| remembered.api.clone()),
        })
    }
}

/// One Gist of the API.
#[derive(Debug)]
pub(super) struct Api {
    url: Url,
    authorization: Option<HeaderValue>,
    client: Client,
}

impl Api {
    /// Contacts nobody.
    pub(super) fn new(id: &str, access: &Access) -> Result<Self, UploadError> {
        let base = access.api.as_deref().unwrap_or(GITHUB_API);
        let url = Url::parse(&format!("{}/gists/{id}", base.trim_end_matches('/')))
            .map_err(|_| UploadError::BadApi)?;
        if !is_safe(&url) {
            return Err(UploadError::InsecureApi);
        }
        // They would end up in receipts and messages, where no secret may be.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UploadError::SecretInApi);
        }
        Ok(Self {
            authorization: access.token.as_ref().map(bearer).transpose()?,
            client: http::client(&url)?,
            url,
        })
    }

    /// The URL of the Gist.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether there is a token.
    pub(super) fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// Makes a request. `finish` adds its body and its own headers.
    pub(super) fn send(
        &self,
        method: &Method,
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> reqwest::Result<Response> {
        http::send(&self.url, |url| {
            let request = self
                .client
                .request(method.clone(), url)
                .header(ACCEPT, "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28");
            finish(match &self.authorization {
                Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
                None => request,
            })
        })
    }

    /// Requests a file from an address that an answer named, without the token and the headers for
    /// the API. Only https is allowed, and this machine only if the API is on it too: a remote
    /// answer must not make us send a request to a service on this machine.
    pub(super) fn raw(&self, address: &str, timeout: Duration) -> Result<Response, String> {
        let url = Url::parse(address)
            .ok()
            .filter(is_safe)
            .filter(|url| !may_be_this_machine(url) || is_loopback(&self.url))
            .ok_or("requests to its address are not allowed")?;
        self.client
            .get(url)
            .timeout(timeout)
            .send()
            .map_err(http::describe)
    }
}

fn bearer(token: &Token) -> Result<HeaderValue, UploadError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| UploadError::NoToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether an address may be that of this machine, under any of its names.
fn may_be_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost"
        || host.ends_with(".localhost")
        || ip.is_ok_and(|ip| ip.to_canonical().is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_answer_causes_no_request_to_this_machine_and_none_in_plain_text() {
        let api = Api::new("0123456789abcdef0123", &Access::default()).expect("GitHub's");
        for address in [
            "http://gist.githubusercontent.com/raw/x",
            "http://127.0.0.1/x",
            "https://127.0.0.1:6443/x",
            "https://127.1/x",
            "https://2130706433/x",
            "https://localhost/x",
            "https://localhost./x",
            "https://api.localhost/x",
            "https://0.0.0.0/x",
            "https://[::1]/x",
            "https://[::]/x",
            "https://[::ffff:127.0.0.1]/x",
            "file:///etc/passwd",
            "ftp://example.com/x",
            "//example.com/x",
            "",
        ] {
            let asked = api.raw(address, Duration::ZERO);
            let refused = asked.expect_err(address);
            assert_eq!(
                refused, "requests to its address are not allowed",
                "{address}"
            );
        }
        let asked = api.raw("https://gist.invalid/x", Duration::ZERO);
        assert_ne!(
            asked.expect_err("no such host"),
            "requests to its address are not allowed"
        );
    }
}
