//! The deciding part: what the hooks file says, and what it says about one request.
//!
//! Nothing here knows the server, starts a process or, but for [`load`], reads a file. The way through:
//! [`load`] gives hooks; [`Request::new`] takes what came off the wire; [`Hook::decide`] says whether the hook
//! fires; [`Hook::inputs`] what its command is given.

mod file;
mod hook;
mod ip_range;
mod log_line;
mod payload;
mod request;
mod rule;
mod scalr;
mod signature;
mod source;

pub use file::{Loaded, load};
pub use hook::{Decision, Hook, Inputs, Outcome};
pub use log_line::Line;
pub use request::Request;

#[cfg(test)]
mod tests;
