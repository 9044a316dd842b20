//! The payload of a request, whatever it was written in.

mod document;
mod json;
mod node;
mod parse;
mod xml;

pub use parse::{Format, Parsed, headers, parse, query};
