//! `webhookd`: a request comes in, the hooks file decides, a command runs, its output goes back.
//!
//! [`hooks`] decides and knows no server, no process and no clock; everything else here is the thin outer
//! part that does. A request's way: `server` accepts it, `respond` routes it, `visit` leads it through `body`,
//! `hooks` and `command` to its `answer`.

mod access_log;
mod answer;
mod body;
mod check;
mod client;
mod command;
mod connections;
mod daemon;
mod dump;
mod go;
pub mod hooks;
mod limits;
mod listener;
mod log;
pub mod options;
mod pid_file;
mod privileges;
mod reload;
mod request_id;
mod respond;
mod route;
mod server;
mod service;
mod status;
mod stop;
mod stream;
mod tls;
mod visit;
mod watch;

pub use daemon::run;
