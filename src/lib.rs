//! amp_ci: three programs that meet only in a directory.
//!
//! One folder for each program's work, the queue in the middle, leaves below; whoever stands higher may
//! use what stands lower, never the other way round, and `webhook` and `build` never use each other.
//!
//! * [`webhook`]: `webhookd`. Takes a request, decides by the hooks file, runs the hook's command.
//! * [`build`]: `build`. Drains the queue, runs each build, keeps its record, writes to the committer.
//! * [`queue`]: what both sides of the directory `queue/` agree on: the request, the entry, the order.
//! * [`home`]: where everything is.
//! * [`durable`]: writing a file that survives a power cut.
//! * [`text`]: how words from outside are shown in logs.
//! * [`timeout`]: a limit of time, as people write it.

pub mod build;
pub mod durable;
pub mod home;
pub mod queue;
pub mod text;
pub mod timeout;
pub mod webhook;
