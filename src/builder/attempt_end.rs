//! How an attempt at a claimed entry ended.

use super::fault::Fault;

#[derive(Debug)]
pub enum AttemptEnd {
    /// It has its final record.
    Recorded,
    /// It is in the queue again, because we were told to stop.
    PutBack,
    /// It is in the queue again, because the engine failed; the attempt counts.
    NoVerdict,
    /// The machine is at fault; the entry is in the queue again, unless even that failed.
    Fault(Fault),
}
