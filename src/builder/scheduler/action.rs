//! What the scheduler tells the drain to do.

use crate::{
    builder::fault::Fault,
    queue::{Claimed, EntryId, Lane},
};

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Bring what an earlier run left into order, and list.
    Recover,
    List,
    Look(EntryId),
    /// Move it to `bad/`.
    Reject(EntryId, String),
    /// If it is still of this lane.
    Claim(EntryId, Lane),
    Start(Box<Claimed>),
    /// Into the queue again: it was claimed, and cannot be started yet.
    PutBack(Box<Claimed>),
    /// Record it with this verdict instead of building it, if it still waits.
    Withdraw(EntryId, Withdrawal),
    /// End this build: nobody wants it any more.
    Cancel(EntryId),
    /// Say that something is wrong with the machine.
    Tell(Fault),
    /// End the builds that run; they go back.
    EndBuilds(i32),
    /// End whatever was left to us: no build runs.
    EndOrphans,
    /// Remove records that are too old.
    Sweep,
    /// All was looked at, and one that stays waits for more: what was not met again is over.
    Idle,
    /// Send what is in the outbox.
    SendMail,
    /// The same, and say when this round is over.
    SendMailAndTell(usize),
    Exit(DrainExit),
}

impl Action {
    /// Does it have an answer, before which nothing else is decided?
    pub fn is_question(&self) -> bool {
        match self {
            Self::Recover
            | Self::List
            | Self::Look(_)
            | Self::Reject(..)
            | Self::Claim(..)
            | Self::Withdraw(..) => true,
            Self::Start(_)
            | Self::PutBack(_)
            | Self::Cancel(_)
            | Self::Tell(_)
            | Self::EndBuilds(_)
            | Self::EndOrphans
            | Self::Sweep
            | Self::Idle
            | Self::SendMail
            | Self::SendMailAndTell(_)
            | Self::Exit(_) => false,
        }
    }

    /// Then the last mail is still to come.
    pub fn may_write_a_letter(&self) -> bool {
        matches!(
            self,
            Self::Recover
                | Self::Reject(..)
                | Self::Claim(..)
                | Self::Withdraw(..)
                | Self::Tell(_)
                | Self::SendMail
        )
    }
}

/// Why an entry is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawal {
    /// Somebody has asked for that.
    Cancelled,
    /// This one is built in its place.
    Superseded(EntryId),
    /// This one asked for the same, and was not begun yet when it came; unless somebody had that built before, and so wants
    /// it again.
    Repeats(EntryId),
}

/// Why the drain is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainExit {
    /// Nothing waits or runs.
    Drained,
    /// Nothing runs, and nothing may start.
    Held,
    /// The machine is at fault.
    Faulty,
    Signalled(i32),
}
