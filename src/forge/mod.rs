//! The forge's side: what GitHub, Gitea, Forgejo or GitLab is told about builds.
//!
//! Knows the queue and the records, and neither how builds are made nor how pushes arrive.
//!
//! * [`statuses`]: a build's states as files in the outbox; all that the builder sees of it.
//! * [`reporter`]: the thread that sends them.
//! * [`unsent`]: the files; [`status`]: what is in one.
//! * [`api`]: which forge, and its requests; [`reply`]: what its replies mean. Both pure.
//! * [`catch_up`]: heads that nobody here knows, queued; [`ls_remote`]: how git is asked for heads.
//! * [`client`]: the network. [`token`]: what lets us in.

pub mod api;
pub mod catch_up;
pub mod client;
pub mod ls_remote;
pub mod reply;
pub mod reporter;
pub mod status;
pub mod statuses;
pub mod token;
pub mod unsent;
