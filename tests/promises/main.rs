//! The promises of amp_ci, kept on real processes, bash, git, sockets and SMTP: one program, a file per promise.

mod installation;
mod one_push;
mod rooms;
mod shipped_chunks;
mod start_stop;
