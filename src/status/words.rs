//! How each outcome is called and marked, the same in every face: a word and a sign, never a colour alone.

use super::document::{Asked, Finished, Running, RunningStage};
use crate::{
    queue::origin::Why,
    records::{Outcome, outcome::Cause},
};

/// In words, as after "the build".
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed out",
        Outcome::Skipped => "skipped",
        Outcome::Error => "error",
        Outcome::Cancelled => "cancelled",
        Outcome::Superseded => "superseded",
    }
}

/// The outcome, or that its record cannot be read.
pub fn outcome_of(finished: &Finished) -> &'static str {
    finished.outcome.map_or("unreadable", outcome)
}

/// Whose fault it was.
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Engine => "the launcher",
        Cause::Installation => "the installation",
        Cause::Request => "the request",
        Cause::Crash => "a crash of build",
        Cause::Record => "its record",
        Cause::Machine => "the machine",
        Cause::Memory => "too little memory",
        Cause::Tempfail => "something that it needs",
        Cause::Other => "something else",
    }
}

/// One character that every font has.
pub fn sign(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Succeeded) => "✓",
        Some(Outcome::Failed) => "✗",
        Some(Outcome::TimedOut) => "⏱",
        Some(Outcome::Error) => "!",
        Some(Outcome::Skipped) => "–",
        Some(Outcome::Cancelled) => "⊘",
        Some(Outcome::Superseded) => "»",
        None => "?",
    }
}

/// How far a running build is.
pub fn stage(running: &Running) -> &'static str {
    match running.stage {
        _ if running.cancel.is_some() => "is being cancelled",
        RunningStage::Preparing => "is being prepared",
        RunningStage::Running => "runs",
        RunningStage::Recording => "is being recorded",
        RunningStage::EntryRemoved => "runs, its entry has been removed",
    }
}

/// What queued it, if it was no push.
pub fn origin(asked: &Asked) -> Option<&'static str> {
    Some(match asked.why? {
        Why::Rerun => "rerun",
        Why::Queue => "by hand",
        Why::CatchUp => "caught up",
    })
}

/// Enough of a hash.
pub fn short_commit(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// `1 build`, `2 builds`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
