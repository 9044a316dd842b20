//! The promises of amp_ci, kept on real processes, bash, git, sockets and SMTP: one program, a file per promise.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "our own names")]

mod check;
mod chunks;
mod crash_points;
mod daemon;
mod drain_order;
mod faulty_mail_server;
mod github;
mod installation;
mod intake;
mod isolation;
mod launcher;
mod log;
mod machine;
mod mail;
mod mail_faults;
mod mail_server;
mod one_drain;
mod one_push;
mod order;
mod output;
mod process_end;
mod queue_by_hand;
mod records;
mod rooms;
mod settings;
mod shipped_chunks;
mod slurm;
mod start_stop;
mod stored;
mod storm;
mod strace;
mod untrusted;
mod webhook_answers;
mod webhook_command;
mod webhook_flags;
mod webhook_limits;
mod webhook_log;
mod webhook_peer;
mod webhook_reload;
mod webhook_signals;
mod webhook_sockets;
mod webhook_tls;
mod whole_tree;
mod work_dir;
