//! A letter's way to a mail server, as in RFC 5321: a connection for each, so that none can spoil another's.
//!
//! lettre composes the messages and the commands. The conversation is ours, because lettre 0.11 limits each
//! read instead of each step (RFC 5321, 4.5.3.2), waits for the answer to its QUIT without a limit of its own,
//! and takes a reply for a reply only if it is UTF-8 with a blank behind its code (4.2: the code decides).

mod reply;
mod server;
mod session;
mod tls;
mod wire;

#[cfg(fuzzing)]
pub use reply::read as read_reply;
pub use server::Server;
pub use session::{Fate, Limits, Mailer};

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
