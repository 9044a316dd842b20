//! amp_ci: three programs that meet only in a directory.
//!
//! One folder for each program's work, the queue in the middle, leaves below; whoever stands higher may
//! use what stands lower, never the other way round, and `webhook` and `builder` never use each other.
//!
//! * [`webhook`]: `webhookd`. Takes a request, decides by the hooks file, runs the hook's command.
//! * [`builder`]: `build`. Drains the queue, runs each build, keeps its record, writes to the committer.
//! * [`forge`]: what GitHub, Gitea, Forgejo or GitLab hears of builds.
//! * [`records`]: what builds leave in `builds/`.
//! * [`queue`]: what both sides of the directory `queue/` agree on: the request, the entry, the order.
//! * [`home`]: where everything is.
//! * [`host`]: the names of this host and of our account.
//! * [`durable`]: writing a file that survives a power cut.
//! * [`text`]: how words from outside are shown in logs.
//! * [`timeout`]: a limit of time, as people write it.

pub mod builder;
pub mod durable;
pub mod forge;
pub mod home;
pub mod host;
pub mod queue;
pub mod records;
pub mod text;
pub mod timeout;
pub mod webhook;
