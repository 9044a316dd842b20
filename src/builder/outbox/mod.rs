//! Messages that nobody has accepted yet: first a file, then sent, then removed.

pub mod delivery;
mod headers;
pub mod mail_server;
pub mod mail_url;
pub mod outbox;
pub mod postman;
pub mod smtp;
