//! The deciding part: what the hooks file says, and what it says about one request.
//!
//! Nothing here knows the server, starts a process or, but for [`file`], reads a file.

pub mod file;
pub mod hook;
pub mod request;
pub mod rule;
pub mod source;
