//! The promises of amp_ci, kept on real processes, bash, git, sockets and SMTP: one program, a folder for
//! each part that promises, a file per promise: `cargo test webhook::signals`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "our own names")]

mod builder;
mod documents;
mod faults;
mod forge;
mod house;
mod peer;
mod queue;
mod status;
mod steering;
mod support;
mod webhook;
