//! What a hooks file says of requests, from its text on.

mod hooks_file;
mod payloads;
mod rules;
mod signatures;

use std::time::{Duration, SystemTime};

use super::{Decision, Delivery, Hook, Inputs, LogLine, Outcome, Request, decide, file};

/// The one hook that `text` describes.
fn hook(text: &str) -> Hook {
    let mut loaded =
        file::parse("hooks.json", &format!("[{text}]")).unwrap_or_else(|error| panic!("{text}: {error}"));
    loaded.hooks.remove(0)
}

/// A request that is still to be sent; a POST of JSON from 127.0.0.1 if nothing else is said.
#[derive(Clone)]
struct Ask {
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    query: &'static str,
    body: Vec<u8>,
    from: &'static str,
}

fn post(body: impl AsRef<[u8]>) -> Ask {
    Ask {
        content_type: "application/json",
        headers: Vec::new(),
        query: "",
        body: body.as_ref().to_vec(),
        from: "127.0.0.1:4711",
    }
}

impl Ask {
    fn content_type(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    fn from(self, from: &'static str) -> Self {
        Self { from, ..self }
    }

    fn delivery<'a>(&'a self, hook: &'a Hook) -> Delivery<'a> {
        let mut headers = vec![("content-type", self.content_type.as_bytes())];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request {
            method: "POST",
            remote_addr: self.from.to_owned(),
            headers,
            raw_query: self.query,
            body: self.body.clone(),
        };
        Delivery::new(hook, request)
    }

    fn decide(self, hook: &Hook) -> Decision {
        // Thu 02 Jan 2020 03:04:05 UTC
        decide(&self.delivery(hook), SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_934_245))
    }

    fn outcome(self, hook: &Hook) -> Outcome {
        self.decide(hook).outcome
    }

    fn inputs(self, hook: &Hook) -> Inputs {
        Inputs::of(self.delivery(hook))
    }

    /// What the command gets as its arguments.
    fn arguments(self, hook: &Hook) -> Vec<String> {
        self.inputs(hook).arguments.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| match line {
            LogLine::Tagged(text) | LogLine::Plain(text) => text.as_str(),
        })
        .collect()
}

const FIRES: Outcome = Outcome::Fires;
const MISMATCH: Outcome = Outcome::Mismatch { unsigned: false };
const ERROR: Outcome = Outcome::RuleError { unsigned: false };
