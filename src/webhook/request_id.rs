//! The id that ties the log lines of one request together.

use std::fmt;

use axum::http::HeaderMap;
use tracing::info;

use super::hooks::LogLine;

/// Six random hex digits, or what the client's `X-Request-Id` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    Ours(u32),
    Theirs(String),
}

impl RequestId {
    /// `limit`: whether the client may name it, and to how many bytes (0: all) that is cut.
    pub fn new(headers: &HeaderMap, limit: Option<usize>) -> Self {
        limit
            .and_then(|limit| {
                let id = headers.get("x-request-id")?.as_bytes();
                let id = if limit > 0 { &id[..id.len().min(limit)] } else { id };
                (!id.is_empty()).then(|| Self::Theirs(clean(id)))
            })
            .unwrap_or_else(|| Self::Ours(fastrand::u32(0..1 << 24)))
    }

    /// Logs a line of the deciding part.
    pub fn log(&self, line: &LogLine) {
        match line {
            LogLine::Tagged(text) => info!(request = %self, "{text}"),
            LogLine::Plain(text) => info!("{text}"),
        }
    }
}

/// A client's id could otherwise end its bracket in the log and put words into somebody else's mouth.
fn clean(id: &[u8]) -> String {
    String::from_utf8_lossy(id)
        .chars()
        .map(|c| if c == ']' || c == '[' || c.is_whitespace() { '_' } else { c })
        .collect()
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(number) => write!(f, "{number:06x}"),
            Self::Theirs(id) => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(header: Option<&str>, limit: Option<usize>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("x-request-id", header.parse().unwrap());
        }
        RequestId::new(&headers, limit).to_string()
    }

    #[test]
    fn a_clients_id_is_taken_only_when_allowed_and_is_cut_and_cleaned() {
        assert_eq!(id(Some("abc-1"), Some(0)), "abc-1");
        assert_eq!(id(Some("abcdef"), Some(3)), "abc");
        assert_eq!(id(Some("a] root got matched"), Some(0)), "a__root_got_matched");
        for ours in [id(Some("abc"), None), id(Some(""), Some(0)), id(None, Some(0))] {
            assert!(ours.len() == 6 && ours.chars().all(|c| c.is_ascii_hexdigit()), "{ours}");
        }
    }
}
