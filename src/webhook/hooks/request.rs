//! One request as the rules see it: parts that were read off the wire, and a body that is parsed when the
//! first rule or argument asks for it, so that a wrong signature costs no parsing.

use super::{hook::Hook, source::Argument};

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
    form_field: String,
    /// `parse-parameters-as-json`.
    parse_as_json: Vec<Argument>,
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
        }
    }
}
