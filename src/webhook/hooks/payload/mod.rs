//! The payload of a request, whatever it is written in.

mod cost;
mod document;
mod json;
mod node;
mod parse;
mod xml;

pub use cost::cost;
pub use document::{Builder, Document, PathError, View};
pub use json::parse_object;
pub use node::Kind;
pub use parse::{BrokenMultipart, Format, parse};
