//! The process: its log, its signals, its files, from its first step to its last.

mod check;
mod init;
mod log;
mod log_queue;
mod pid_file;
mod privileges;
mod run;
mod signals;

pub use run::run;
