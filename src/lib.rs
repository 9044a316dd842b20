//! amp_ci: four programs that meet only in a directory.
//!
//! One folder for each program's work, the queue in the middle, leaves below; whoever stands higher may
//! use what stands lower, never the other way round, and `webhook` and `builder` never use each other.
//!
//! * [`webhook`]: `webhookd`. Takes a request, decides by the hooks file, runs the hook's command.
//! * [`builder`]: `build`. Drains the queue, runs each build, keeps its record, writes to the committer.
//! * [`forge`]: what GitHub, Gitea, Forgejo or GitLab hears of builds.
//! * [`records`]: what builds leave in `builds/`.
//! * [`status`]: what is to be seen of an installation. Only reads.
//! * [`queue`]: what both sides of the directory `queue/` agree on: the request, the entry, the order.
//! * [`home`]: where everything is.
//! * [`host`]: the names of this host and of our account.
//! * [`asker`]: who sits at the terminal.
//! * [`connection_slots`]: which client goes when there are too many.
//! * [`detached`]: starting programs as if nobody had started us.
//! * [`directory`]: what lies in a directory that need not be there.
//! * [`durable`]: writing a file that survives a power cut.
//! * [`error_chain`]: errors that keep their causes.
//! * [`git`]: what git is told of us.
//! * [`log_file`]: a log that may be rotated.
//! * [`own_name`]: what people call `build`.
//! * [`proc_table`]: the kernel's table of processes.
//! * [`program`]: finding a program.
//! * [`terminal_text`]: what a terminal would show of an output, as plain text.
//! * [`text`]: how words from outside are shown in logs.
//! * [`regular_file`]: opening what somebody else may have put there.
//! * [`size`], [`timeout`]: bytes and times, as people write them.

mod asker;
mod builder;
mod connection_slots;
mod detached;
mod directory;
mod durable;
mod error_chain;
pub mod forge;
pub mod git;
pub mod home;
mod host;
mod log_file;
mod own_name;
mod proc_table;
mod program;
pub mod queue;
pub mod records;
mod regular_file;
mod size;
pub mod status;
pub mod terminal_text;
pub mod text;
mod timeout;
pub mod webhook;

pub use builder::cli as build;
pub use queue::command_line as queue_build;
pub use status::web::command_line as statusd;

/// What the fuzz targets reach into.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::{
        builder::{outbox::smtp::read_reply, process::mask::Mask, script::placeholder},
        status::web::{ansi, log::Range},
    };
}
