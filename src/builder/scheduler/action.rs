//! What the scheduler decides.

use super::withdrawals::Withdrawal;
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
