//! One request as it came.

use std::borrow::Cow;

/// What was read off the wire. Bytes stay as they came.
#[derive(Debug)]
pub struct Request<'r> {
    /// The HTTP method.
    pub method: &'r str,
    /// `ip:port`, `[v6]:port`, or `@` for a Unix socket; the real client's when a trusted proxy names it.
    pub remote_addr: String,
    /// Header names, in capitals or not, with all their values, in the order they came.
    pub headers: Vec<(&'r str, &'r [u8])>,
    /// The query string as received, without the question mark.
    pub raw_query: &'r str,
    /// The body as received (of a multipart request too: the signature is over it).
    pub body: Vec<u8>,
}

impl Request<'_> {
    /// The first value of the header with this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Its `Content-Type`, empty if there is none.
    pub fn content_type(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.header("Content-Type").unwrap_or_default())
    }
}
