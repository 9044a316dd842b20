//! One request as the rules see it: parts that were read off the wire, and a body that is parsed when the
//! first rule or argument asks for it, so that a wrong signature costs no parsing.

/// What the outer part hands over. Bytes stay as they came.
#[derive(Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// `ip:port`, `[v6]:port`, or `@` for a Unix socket; the real client's when a trusted proxy names it.
    pub remote_addr: String,
    /// Header names in canonical form with all their values, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The query string as received, without the question mark.
    pub raw_query: String,
    /// The body as received (of a multipart request too: the signature is over it).
    pub body: Vec<u8>,
}
