//! What builds leave in `builds/`: what was asked, what ran, what came out, and which of it is kept.
//!
//! Knows the queue's names and nothing of how builds are made, so that whoever only reads may stand on it.

pub mod drain_state;
pub mod excerpt;
pub mod history;
pub mod left_over;
pub mod outcome;
pub mod record;
pub mod requested;
pub mod retention;

pub use drain_state::DrainState;
pub use history::History;
pub use left_over::{LeftOver, LeftProcess};
pub use outcome::{Cause, Outcome, Rc, Verdict};
pub use record::{BuildResult, OnRecord, Record, RunningAttempt};
pub use requested::Requested;
