//! One request as the rules see it: parts that were read off the wire, and a body that is parsed when the
//! first rule or argument asks for it, so that a wrong signature costs no parsing.

use std::sync::OnceLock;

use super::{
    hook::Hook,
    payload::{self, Format, Parsed},
    source::Argument,
};

/// What the outer part hands over, with the settings of the hook it is for. Bytes stay as they came.
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
    /// `incoming-payload-content-type`.
    content_type: String,
    /// `payload-form-field`.
    pub form_field: String,
    /// `parse-parameters-as-json`.
    pub parse_as_json: Vec<Argument>,
    parsed: OnceLock<Parsed>,
}

impl Request {
    /// A request for `hook`. Nothing is parsed yet.
    pub fn new(
        hook: &Hook,
        method: String,
        remote_addr: String,
        headers: Vec<(String, Vec<u8>)>,
        raw_query: String,
        body: Vec<u8>,
    ) -> Self {
        Self {
            method,
            remote_addr,
            headers,
            raw_query,
            body,
            content_type: hook.payload_content_type.clone(),
            form_field: hook.payload_form_field.clone(),
            parse_as_json: hook.parse_as_json.clone(),
            parsed: OnceLock::new(),
        }
    }

    /// The first value of the header with this name in canonical form.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// What the body is taken for: the hook's word, else the header.
    pub fn content_type(&self) -> String {
        if self.content_type.is_empty() { self.real_content_type() } else { self.content_type.clone() }
    }

    /// The `Content-Type` that came.
    pub fn real_content_type(&self) -> String {
        String::from_utf8_lossy(self.header("Content-Type").unwrap_or_default()).into_owned()
    }

    /// Is the body a multipart form?
    pub fn is_multipart(&self) -> bool {
        Format::of(&self.content_type()) == Format::Multipart
    }

    /// Must the body be parsed before the rules are looked at, because they see what is made of it, or
    /// because it costs nothing?
    pub fn must_be_parsed_first(&self) -> bool {
        !self.parse_as_json.is_empty()
            || self.body.is_empty()
            || matches!(Format::of(&self.content_type()), Format::Multipart | Format::Unknown)
    }

    /// Payload and parameters, parsed at the first call.
    pub fn parsed(&self) -> &Parsed {
        self.parsed.get_or_init(|| payload::parse(self))
    }

    /// The same, if it has been asked for.
    pub fn parsed_so_far(&self) -> Option<&Parsed> {
        self.parsed.get()
    }
}
