//! What both sides of the directory `queue/` agree on: what a request is, what its file is called, how it
//! gets in and how it is claimed.
//!
//! A request is in one place at a time:
//!
//! | name | state |
//! |---|---|
//! | `build-<seconds>.<fraction>` | waiting |
//! | `build-<seconds>.<fraction>.lock` | claimed by the holder of the drain lock |
//! | `bad/build-...` and `bad/build-....why` | no valid request, and why |
//! | `build-<seconds>.<fraction>.cancel` | beside it: nobody wants it any more |
//! | `build-<seconds>.<fraction>.retry` | beside it: it was put back, and pauses |
//!
//! Beside them: `.last` (the last name given), `.drain` (the drain lock), `lock` (its PID, for people),
//! `hold` (made by `build hold` or by hand: nothing is claimed), `.new-*` (entries being written). What it means to build
//! something is not known here.

pub mod backlog;
pub mod cancel;
pub mod command_line;
pub mod control;
pub mod drain_lock;
pub mod enqueue;
pub mod entry_id;
pub mod fields;
pub mod lock_file;
pub mod origin;
pub mod reading;
pub mod request;
pub mod retry;

pub use backlog::Backlog;
pub use cancel::Cancel;
pub use drain_lock::{Claimed, DrainLock};
pub use enqueue::enqueue;
pub use entry_id::EntryId;
pub use origin::Origin;
pub use reading::{EntryState, Listing};
pub use request::{BuildRequest, Lane};
pub use retry::Retry;
