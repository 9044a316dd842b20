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
pub fn cost(hook: &Hook, request: &Request<'_>) -> usize {
    let body = &request.body;
    let nodes = (marks(body) + 1).min(MAX_NODES) * size_of::<Node>();
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

/// How many bytes of `text` are such that a value can follow them, also where it is escaped.
fn marks(text: &[u8]) -> usize {
    let is_mark = |byte: &u8| matches!(byte, b',' | b':' | b'[' | b'{' | b'%' | b'\\');
    // In pieces whose count fits a byte: many are compared at a time then.
    let count = |piece: &[u8]| piece.iter().map(|byte| u8::from(is_mark(byte))).sum::<u8>();
    text.chunks(128).map(|piece| usize::from(count(piece))).sum()
}
