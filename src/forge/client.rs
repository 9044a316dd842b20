//! The one place that talks to a forge over the network.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use ureq::{
    Agent, Body,
    http::{HeaderMap, Response},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::{
    api::{Api, Post},
    reply::Reply,
    token::Token,
};

/// So much of a reply's body is read.
const BODY_LIMIT: u64 = 64 << 10;

/// A connection to a forge, kept between requests.
#[derive(Debug)]
pub struct Client(Agent);

impl Client {
    /// With the system's certificates, and so long for the whole of one request; nothing is sent yet.
    pub fn new(patience: Duration) -> Self {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            // Then no https address can be trusted, and each request says so.
            tracing::warn!("the system's certificates cannot be read: {:?}", found.errors);
        }
        let certificates: Vec<_> =
            found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&certificates))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(patience))
            // A status is a reply to be read, whatever its code; where a redirect may lead, we decide ourselves.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            // A missing one is refused by GitHub.
            .user_agent(concat!("amp_ci/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(64 << 10)
            .build();
        Self(Agent::new_with_config(config))
    }

    /// Sends one status.
    pub fn post(&self, api: &Api, post: &Post, token: &Token) -> Result<Reply, ureq::Error> {
        let (name, value) = api.authorization(token);
        let mut request =
            self.0.post(&post.url).header(name, value).header("content-type", "application/json");
        for (name, value) in api.headers() {
            request = request.header(*name, *value);
        }
        Ok(reply(request.send(&post.body)?, token))
    }

    /// Asks whom the token belongs to, and hears on the way what it is good for: whether it is known at all, and
    /// the scopes of a classic token of GitHub.
    pub fn rights(&self, api: &Api, token: &Token) -> Result<Rights, ureq::Error> {
        let (name, value) = api.authorization(token);
        let mut request = self.0.get(format!("{}/user", api.url())).header(name, value);
        for (name, value) in api.headers() {
            request = request.header(*name, *value);
        }
        let response = request.call()?;
        let scopes = header(response.headers(), "x-oauth-scopes", token);
        Ok(Rights {
            refused: response.status() == 401,
            scopes: scopes.as_deref().map(split_scopes).unwrap_or_default(),
        })
    }
}

/// What a forge says of a token.
#[derive(Debug)]
pub struct Rights {
    /// It is not known, or not any more.
    pub refused: bool,
    /// As far as the forge tells.
    pub scopes: Vec<String>,
}

fn split_scopes(header: &str) -> Vec<String> {
    header.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_string).collect()
}

fn reply(response: Response<Body>, token: &Token) -> Reply {
    let (parts, body) = response.into_parts();
    let header = |name| header(&parts.headers, name, token);
    Reply {
        code: parts.status.as_u16(),
        location: header("location"),
        retry_after: header("retry-after"),
        remaining: header("x-ratelimit-remaining"),
        reset: header("x-ratelimit-reset"),
        permissions: header("x-accepted-github-permissions"),
        body: token.hide_in(&String::from_utf8_lossy(&beginning(body))),
    }
}

/// The code decides; a body that breaks off, or never ends, changes nothing.
fn beginning(body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read: io::Result<usize> = body.into_reader().take(BODY_LIMIT).read_to_end(&mut bytes);
    drop(read);
    bytes
}

fn header(headers: &HeaderMap, name: &str, token: &Token) -> Option<String> {
    Some(token.hide_in(headers.get(name)?.to_str().ok()?))
}
