//! The promises of amp_ci, kept on real processes, bash, git, sockets and SMTP: one program, a file per promise.
// Whoever unwraps here ends a test where it stands.
#![allow(clippy::unwrap_used)]

mod daemon;
mod installation;
mod one_push;
mod rooms;
mod shipped_chunks;
mod start_stop;
mod webhook_answers;
mod webhook_command;
mod webhook_flags;
mod webhook_limits;
mod webhook_log;
mod webhook_reload;
mod webhook_signals;
mod webhook_sockets;
mod webhook_tls;
