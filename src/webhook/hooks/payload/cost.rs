//! What parsing a body takes in memory, at most: told from its text before it is parsed.

use super::{
    json::MAX_NODES,
    node::Node,
    parse::Format,
    xml::{COST_OF_NAME, MAX_NAMES},
};
use crate::webhook::hooks::{hook::Hook, request::Request};

/// The bytes that the payload of `request` and all that is made of it while it is parsed take at most, besides the
/// body itself.
pub fn cost(hook: &Hook, request: &Request) -> usize {
    let body = &request.body;
    // All that a value can follow, also where it is escaped.
    let values = |text: &[u8]| {
        let marks = memchr::memchr3_iter(b',', b':', b'[', text).count();
        marks + memchr::memchr3_iter(b'{', b'%', b'\\', text).count() + 1
    };
    let nodes = values(body).min(MAX_NODES) * size_of::<Node>();
    let own = match Format::of(hook, request) {
        Format::Json => nodes,
        Format::Form | Format::Multipart => 2 * body.len() + nodes,
        Format::Xml => {
            let names = memchr::memchr2_iter(b'<', b'=', body).count();
            2 * body.len() + names.min(MAX_NAMES) * COST_OF_NAME
        }
        Format::Unknown => 0,
    };
    // Each parameter that is parsed takes a copy of its text, and nodes for it.
    own + hook.parse_as_json.len() * (body.len() + nodes)
}
