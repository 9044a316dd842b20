//! Running a program for a build: what starts it, what follows it, what ends all that came of it.
//!
//! Knows no record, no entry and no mail: a directory, words, variables and a mark are all that it is given.

pub mod bell;
pub mod cgroup;
pub mod environment;
pub mod mark;
pub mod mask;
pub mod mounts;
pub mod output_log;
pub mod run;
pub mod sender;
pub mod supervisor;
pub mod tree;
pub mod workspace;
