//! One request as it came.

/// What was read off the wire. Bytes stay as they came.
#[derive(Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// `ip:port`, `[v6]:port`, or `@` for a Unix socket; the real client's when a trusted proxy names it.
    pub remote_addr: String,
    /// Header names in canonical form with all their values, in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The query string as received, without the question mark.
    pub raw_query: String,
    /// The body as received (of a multipart request too: the signature is over it).
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of the header with this name in canonical form.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Its `Content-Type`, empty if there is none.
    pub fn content_type(&self) -> String {
        String::from_utf8_lossy(self.header("Content-Type").unwrap_or_default()).into_owned()
    }
}
