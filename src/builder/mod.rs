//! `build`: one pass over the queue, `--threads N` builds at a time.
//!
//! From above: [`cli`] reads the command line; [`drain`] does what the [`scheduler`] decides; an [`attempt`] prepares,
//! runs, judges and concludes one build, and [`recovery`] takes up what a dead `build` left. All of them stand on the
//! [`builder`] and on folders that know neither it nor each other: [`script`] composes, [`process`] runs, [`mail`]
//! writes, [`outbox`] sends; [`launcher`] stands on [`process`].

pub mod after;
pub mod announce;
pub mod attempt;
pub mod attempt_end;
pub mod builder;
pub mod catch_up;
pub mod cli;
pub mod completion;
pub mod drain;
pub mod fault;
pub mod fault_log;
pub mod heartbeat;
pub mod judgement;
pub mod launcher;
pub mod left_over;
pub mod log;
pub mod machine;
pub mod mail;
pub mod mirror;
pub mod original;
pub mod outbox;
pub mod process;
pub mod recovery;
pub mod scheduler;
pub mod script;
pub mod script_end;
pub mod secrets;
pub mod settings;
pub mod shipped;
pub mod version;
pub mod watch;
pub mod withdrawal;
