//! Running a hook's command.

mod files;
mod job;
mod lookup;
mod output;
mod process;
mod process_tree;
mod queue;

pub use job::{CommandResult, Job};
pub use output::OutputTo;
pub use queue::{CommandQueue, Slot};
