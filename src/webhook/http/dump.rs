//! What `-debug` shows of a request and its answer.

use std::fmt::Write as _;

use axum::http::{HeaderMap, Version, header, request};
use tracing::debug;

use super::answer::Answer;
use crate::webhook::{go::textproto::canonical, request_id::RequestId};

/// Shows a request as it came, headers in order of their names.
pub fn dump_request(id: &RequestId, head: &request::Parts, body: &[u8]) {
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    if head.uri.authority().is_none() {
        for host in head.headers.get_all(header::HOST) {
            let _ = writeln!(text, "Host: {}", String::from_utf8_lossy(host.as_bytes()));
        }
    }
    let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
    if chunked {
        text.push_str("Transfer-Encoding: chunked\n");
    }
    if is_last(head) {
        text.push_str("Connection: close\n");
    }
    for (name, value) in sorted(&head.headers) {
        if !["Host", "Transfer-Encoding", "Trailer"].contains(&name.as_str()) {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    text.push('\n');
    let body = String::from_utf8_lossy(body);
    if !chunked {
        text.push_str(&body);
    } else if body.is_empty() {
        text.push_str("0\n\n");
    } else {
        let _ = write!(text, "{:x}\n{body}\n0\n\n", body.len());
    }
    for line in lines(&text) {
        debug!(request = %id, dump = ">", " {line}");
    }
}

/// Does the client say, or imply by its version, that it asks nothing more on this connection?
fn is_last(head: &request::Parts) -> bool {
    let says = |token: &str| {
        let words = head.headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
        words.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
    };
    says("close") || (head.version == Version::HTTP_10 && !says("keep-alive"))
}

/// Shows an answer as the hook made it: without what the server adds, and with status 0 if it set none.
pub fn dump_answer(id: &RequestId, answer: &Answer) {
    let mut text = match answer.status {
        Some(status) => format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or_default()),
        None => "0 \n".to_owned(),
    };
    let mut names: Vec<String> = Vec::new();
    for (name, value) in sorted(&answer.headers) {
        if names.last() == Some(&name) {
            text.pop();
            let _ = writeln!(text, ", {value}");
        } else {
            let _ = writeln!(text, "{name}: {value}");
            names.push(name);
        }
    }
    for line in lines(&text) {
        debug!(request = %id, dump = "<", " {line}");
    }
    let body = String::from_utf8_lossy(answer.body.known());
    if !body.is_empty() {
        debug!(request = %id, dump = "<", "");
    }
    for line in lines(&body) {
        debug!(request = %id, dump = "<", " {line}");
    }
}

fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            (canonical(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    sorted
}

/// Lines without their ends, up to the first one that is longer than a person reads.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.len() < 64 * 1024)
}
