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
//!
//! Beside them: `.last` (the last name given), `.drain` (the drain lock), `lock` (its PID, for people),
//! `hold` (made by hand: nothing is claimed), `.new-*` (entries being written). What it means to build
//! something is not known here.

pub mod drain;
pub mod entry;
pub mod intake;
pub mod origin;
pub mod request;
pub mod waiting;

pub use drain::{Claimed, Drain};
pub use entry::EntryId;
pub use origin::Origin;
pub use request::{BuildRequest, Lane};
