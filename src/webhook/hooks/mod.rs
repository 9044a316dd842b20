//! The deciding part: what the hooks file says, and what it says about one request.
//!
//! Nothing here knows the server, starts a process or, but for [`load`], reads a file. The way through: [`load`]
//! gives a [`Hook`]; a [`Delivery`] is a [`Request`] for it; [`decide`] says whether the hook fires, [`Inputs::of`]
//! what its command is given.

mod decision;
mod delivery;
mod evaluation;
mod file;
mod hook;
mod inputs;
mod ip_range;
mod log_line;
mod payload;
mod request;
mod rule;
mod scalr;
mod signature;
mod source;

pub use decision::{Decision, Outcome, decide};
pub use delivery::Delivery;
pub use file::{Loaded, load};
pub use hook::Hook;
pub use inputs::Inputs;
pub use log_line::LogLine;
pub use request::Request;

#[cfg(test)]
mod tests;
