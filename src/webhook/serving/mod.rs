//! Connections are taken, requests led through their steps, and hooks replaced while that goes on.

mod connection;
mod hook_request;
mod hook_run;
mod hook_table;
mod respond;
mod server;
mod service;
mod watch;

pub use hook_table::HookTable;
pub use server::Server;
pub use service::Service;
pub use watch::Watcher;
