//! GitHub, as it posts to the shipped hook.

use std::{env, fs, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::Sha256;

use super::{
    daemon::{Daemon, Setup},
    http::Reply,
    installation::Installation,
};

pub const SECRET: &str = "It's a \"Secret\" to Everybody";

/// The daemon with the shipped hooks file, and the queue behind it.
pub struct Intake {
    pub ci: Installation,
    pub daemon: Daemon,
}

/// How the body is sent: the two that GitHub offers.
#[derive(Clone, Copy)]
pub enum ContentType {
    Json,
    Form,
}

impl Intake {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(variables: &[(&str, &str)]) -> Self {
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks.json");
        Self::of(&fs::read_to_string(hooks).unwrap(), variables)
    }

    /// With the text of another hooks file.
    pub fn of(hooks: &str, variables: &[(&str, &str)]) -> Self {
        let ci = Installation::new();
        let programs = Path::new(env!("CARGO_BIN_EXE_queue_build")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap());
        let mut setup = Setup::new(hooks)
            .flags(&["-urlprefix", "webhook", "-template"])
            .variable("PATH", &path)
            .variable("AMP_CI_HOME", ci.home().to_str().unwrap())
            .variable("SECRET", SECRET)
            .variable("SECRET_OLD", "");
        for (name, value) in variables {
            setup = setup.variable(name, value);
        }
        Self { ci, daemon: setup.start() }
    }

    pub fn deliver(&self, event: &str, payload: &str) -> Reply {
        self.deliver_as(ContentType::Json, event, payload, SECRET)
    }

    pub fn deliver_as(&self, content_type: ContentType, event: &str, payload: &str, secret: &str) -> Reply {
        let (content_type, body) = match content_type {
            ContentType::Json => ("application/json", payload.to_string()),
            ContentType::Form => (
                "application/x-www-form-urlencoded",
                format!("payload={}", utf8_percent_encode(payload, NON_ALPHANUMERIC)),
            ),
        };
        self.post(event, content_type, &body, Some(&signature(secret, &body)))
    }

    pub fn post(&self, event: &str, content_type: &str, body: &str, signature: Option<&str>) -> Reply {
        let mut headers = vec![
            ("User-Agent", "GitHub-Hookshot/044aadd"),
            ("Accept", "*/*"),
            ("Content-Type", content_type),
            ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("X-GitHub-Event", event),
        ];
        headers.extend(signature.map(|signature| ("X-Hub-Signature-256", signature)));
        self.daemon.request("POST", "/webhook/amp_main", &headers, body.as_bytes())
    }

    /// The requests in the queue, in its order.
    pub fn queued(&self) -> Vec<Value> {
        let entries = self.ci.entries();
        let read = |name: String| fs::read(self.ci.path("queue").join(name)).unwrap();
        entries.into_iter().map(|name| serde_json::from_slice(&read(name)).unwrap()).collect()
    }
}

pub fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/github").join(name);
    fs::read_to_string(path).unwrap()
}
