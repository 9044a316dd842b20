//! How an attempt at a claimed entry ended.

use super::fault::Fault;

#[derive(Debug)]
pub enum AttemptEnd {
    /// It is over.
    Recorded,
    /// It is in the queue again, because we were told to stop.
    PutBack,
    /// It is in the queue again, because the engine failed; the attempt counts.
    NoVerdict,
    /// It is in the queue again, and pauses: what it met is its own affair.
    Later,
    /// The machine is at fault; the entry is in the queue again and pauses, unless even that failed.
    Fault(Fault),
}
