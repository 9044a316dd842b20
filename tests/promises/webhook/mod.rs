//! What `webhookd` and its two scripts promise.

mod answers;
mod command;
mod flags;
mod forges;
mod github;
mod hostile_http;
mod limits;
mod log;
mod page;
mod reload;
mod signals;
mod sockets;
mod start_stop;
mod tls;
