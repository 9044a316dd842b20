//! The promises of amp_ci, kept on real processes, bash, git, sockets and SMTP: one program, a file per promise.

mod crash_points;
mod daemon;
mod github;
mod installation;
mod machine;
mod one_drain;
mod one_push;
mod order;
mod output;
mod rooms;
mod shipped_chunks;
mod start_stop;
mod stored;
mod storm;
mod strace;
mod webhook_answers;
mod webhook_command;
mod webhook_flags;
mod webhook_limits;
mod webhook_log;
mod webhook_reload;
mod webhook_signals;
mod webhook_sockets;
mod webhook_tls;
mod whole_tree;
