//! A build behind a launcher, on an engine's node or behind walls.

pub mod command_line;
pub mod launched;
pub mod launcher;
pub mod run_sh;
pub mod verdict_line;
