//! The deciding part: what the hooks file says, and what it says about one request.
//!
//! Nothing here knows the server, starts a process or, but for [`file`], reads a file. The way through:
//! [`file::load`] gives hooks; [`request::Request::new`] takes what came off the wire;
//! [`hook::Hook::decide`] says whether the hook fires; [`hook::Hook::inputs`] what its command is given.

pub mod file;
pub mod header_name;
pub mod hook;
pub mod line;
pub mod request;
pub mod rule;
pub mod source;

pub mod go_regex;
pub mod ip_range;
pub mod signature;

mod base64;
mod document;
mod form;
mod json;
mod media_type;
mod multipart;
mod payload;
mod properties;
mod scalr;
mod template;
mod xml;
mod yaml;

#[cfg(test)]
mod tests;
