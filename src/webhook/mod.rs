//! `webhookd`: a request comes in, the hooks file decides, a command runs, its output goes back.
//!
//! [`hooks`] decides and knows no server, no process and no clock; everything else here is the thin outer
//! part that does: sockets, requests, commands and the log.

pub mod hooks;
