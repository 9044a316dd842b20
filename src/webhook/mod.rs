//! `webhookd`: a request comes in, the hooks file decides, a command runs, its output goes back.
//!
//! The rooms, each of which uses only those below it:
//!
//! * `daemon`: from the first step of the process to its last: log, signals, pid file.
//! * `serving`: takes connections, and leads each request through its steps; the table of hooks that are served.
//! * `http`: what the steps are made of: route, body, answer, access line, dump.
//! * `command`: runs a hook's command: its turn, its process, its output.
//! * `net`: sockets, TLS, and how many connections are open.
//! * [`hooks`]: decides. It knows no server, no process and no clock.
//! * `go`: Go's library, as far as hooks files and clients rely on it.

mod client;
mod command;
mod daemon;
mod go;
pub mod hooks;
mod http;
mod log_allowance;
mod memory;
mod net;
mod options;
mod request_id;
mod serving;
mod shutdown;

pub use daemon::run;
pub use options::{NoOptions, Options};
