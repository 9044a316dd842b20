//! What the drain tells the scheduler.

use std::{io, time::Duration};

use crate::{
    builder::{attempt_end::AttemptEnd, fault::Fault},
    queue::{Claimed, EntryId, EntryState, Listing},
};

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// `build` has the lock.
    Begun,
    /// An entry has appeared.
    Arrived(EntryId),
    /// Changes were lost: look again.
    Unclear,
    /// The kernel tells of no changes any more.
    WatchLost,
    /// It pauses no longer.
    Resumed(EntryId),
    /// Somebody does not want this build any more.
    Cancelled(EntryId),
    /// Of [`Action::Withdraw`].
    Withdrawn,
    /// It is to be built all the same.
    Wanted(EntryId),
    /// The file `hold` is there, or not.
    Held(bool),
    /// Of [`Action::Recover`] and [`Action::List`].
    Listed { listing: Listing, held: bool },
    /// Of [`Action::Look`].
    Looked { id: EntryId, state: io::Result<EntryState>, past: Past, held: bool },
    /// Of [`Action::Reject`].
    Rejected,
    /// Of [`Action::Claim`].
    Claimed(Box<Claimed>),
    /// The entry is gone, or one of its name is claimed already.
    NotClaimed(EntryId),
    /// The entry can be neither claimed nor rejected, and that is its own fault: it stays.
    Stuck(EntryId, Fault),
    /// It was written again before it was claimed, and waits again.
    Rewritten(EntryId),
    /// It waits again, because its build could not be started.
    NotStarted(EntryId, Fault),
    /// What was asked for last could not be done.
    Failed(Fault),
    /// The script of a build is over, and its processes are gone: its slot is free while it is recorded.
    ScriptOver(EntryId),
    /// A build is over.
    Finished(EntryId, AttemptEnd),
    /// The round of mail of this number is over.
    MailSent(usize),
    /// Told to stop by a signal.
    Signal(i32),
    /// The program or its settings have become others: one that stays ends when it is idle.
    Outdated,
}

impl Event {
    /// Is it the answer to what was asked for last?
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Listed { .. }
            | Self::Looked { .. }
            | Self::Rejected
            | Self::Withdrawn
            | Self::Wanted(_)
            | Self::Claimed(_)
            | Self::NotClaimed(_)
            | Self::Stuck(..)
            | Self::Rewritten(_)
            | Self::Failed(_) => true,
            Self::Begun
            | Self::Arrived(_)
            | Self::Unclear
            | Self::WatchLost
            | Self::Resumed(_)
            | Self::Cancelled(_)
            | Self::Held(_)
            | Self::NotStarted(..)
            | Self::ScriptOver(_)
            | Self::Finished(..)
            | Self::MailSent(_)
            | Self::Signal(_)
            | Self::Outdated => false,
        }
    }
}

/// What became of an entry before.
#[derive(Debug, Default)]
pub struct Past {
    /// Its name has a final record.
    pub is_final: bool,
    /// It was put back, and still pauses for so long.
    pub pause: Duration,
    /// It was put back so often that a person has to hear of it.
    pub standing: Option<Fault>,
    /// `build` died while it ran.
    pub is_suspect: bool,
    /// A record of before has the same commit of the same branch. Known only where the newest push wins.
    pub is_recorded: bool,
}
