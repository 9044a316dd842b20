//! `build`: one pass over the queue, `--threads N` builds at a time.
//!
//! [`drain`] takes entries in order and gives each to [`one_build`], which composes the [`script`], runs it as
//! a [`process`] in a [`workspace`], keeps the [`record`] and writes the [`letter`]; the [`outbox`] sends it.
//! What starts a process, what follows its output, what says how it ended and what ends it are four
//! things, so that a launcher can stand in front.

pub mod announce;
pub mod check;
pub mod drain;
pub mod launched;
pub mod launcher;
pub mod letter;
pub mod log;
pub mod one_build;
pub mod original;
pub mod outbox;
pub mod output;
pub mod placeholder;
pub mod process;
pub mod recovery;
pub mod script;
pub mod settings;
pub mod tree;
pub mod trouble;
pub mod verdict;
pub mod watch;
pub mod workspace;
