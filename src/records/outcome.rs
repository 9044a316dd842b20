//! How a build came out: a value, never an error of ours.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use serde::{Deserialize, Serialize};

use crate::{queue::EntryId, timeout::Timeout};

/// How the script ended, as Python counts it: an exit code, or minus the number of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rc(i32);

impl From<ExitStatus> for Rc {
    fn from(status: ExitStatus) -> Self {
        Self(status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1))
    }
}

impl std::fmt::Display for Rc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Rc {
    /// As a shell that knows both would tell it.
    pub const fn new(rc: i32) -> Self {
        Self(rc)
    }

    /// Exit code 0?
    pub fn is_success(self) -> bool {
        self.0 == 0
    }
}

/// The final word on a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit code 0.
    Succeeded,
    /// Any other exit code, or a signal.
    Failed,
    /// Ended by us after its limit.
    TimedOut,
    /// No chunk is meant for it.
    Skipped,
    /// CI could not do it, and another try will not mend that.
    Error,
    /// Somebody did not want it any more.
    Cancelled,
    /// A newer entry was built in its place.
    Superseded,
}

impl Outcome {
    /// Does it say how the branch does? What was never run to a verdict of its own does not.
    pub fn is_counted(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::TimedOut)
    }
}

/// What is at fault where the outcome does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The launcher, or what it submits builds to.
    Engine,
    /// What the operator put in its place: the chunks.
    Installation,
    /// What was asked for.
    Request,
    /// `build` died while it ran.
    Crash,
    /// What it left of its record, or of its place in the queue, could not be worked with.
    Record,
    /// The machine, time and again: no space, no processes, no work directory.
    Machine,
    /// It asked for another try (exit code 75) for a whole day.
    Tempfail,
    /// Memory had run out, and the kernel ended it.
    Memory,
    /// One that a later version knows.
    #[serde(other)]
    Other,
}

/// A verdict: the outcome with what belongs to it. Invalid combinations cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The script ran to its end.
    Ran(Rc),
    /// The kernel ended all of it, because memory had run out.
    OutOfMemory(Rc),
    /// The script was ended; the reason is a phrase that goes on after "The script was".
    TimedOut(Rc, String),
    /// Nothing ran, and nobody needs to hear of it.
    Skipped(String),
    /// Nothing ran, or what ran says nothing.
    Error(Cause, String),
    /// Somebody did not want it any more: who and why. It was ended, if it ran.
    Cancelled(Option<Rc>, String),
    /// Nothing ran, because this newer one was built in its place.
    Superseded(EntryId),
}

impl Verdict {
    /// The script was ended when it reached `limit`.
    pub fn timed_out(rc: Rc, limit: Timeout) -> Self {
        Self::TimedOut(rc, format!("ended after its limit of {limit}"))
    }

    /// The outcome.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Ran(rc) if rc.is_success() => Outcome::Succeeded,
            Self::Ran(_) | Self::OutOfMemory(_) => Outcome::Failed,
            Self::TimedOut(..) => Outcome::TimedOut,
            Self::Skipped(_) => Outcome::Skipped,
            Self::Error(..) => Outcome::Error,
            Self::Cancelled(..) => Outcome::Cancelled,
            Self::Superseded(_) => Outcome::Superseded,
        }
    }

    /// The exit code, if something ran.
    pub fn rc(&self) -> Option<Rc> {
        match self {
            Self::Ran(rc) | Self::OutOfMemory(rc) | Self::TimedOut(rc, _) => Some(*rc),
            Self::Cancelled(rc, _) => *rc,
            Self::Skipped(_) | Self::Error(..) | Self::Superseded(_) => None,
        }
    }

    /// The reason, where an exit code does not say it.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ran(_) | Self::Superseded(_) => None,
            Self::OutOfMemory(_) => Some("ended by the kernel, because memory had run out"),
            Self::TimedOut(_, reason)
            | Self::Skipped(reason)
            | Self::Error(_, reason)
            | Self::Cancelled(_, reason) => Some(reason),
        }
    }

    /// What is at fault.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Error(cause, _) => Some(*cause),
            Self::OutOfMemory(_) => Some(Cause::Memory),
            _ => None,
        }
    }

    /// The build in whose favour it was not run.
    pub fn superseded_by(&self) -> Option<&EntryId> {
        match self {
            Self::Superseded(by) => Some(by),
            _ => None,
        }
    }
}
