//! Running a hook's command.

mod files;
mod job;
mod lookup;
mod output;
mod process;
mod queue;
mod tree;

pub use job::{Finished, Job, Reader, say};
pub use queue::{Line, Place};
