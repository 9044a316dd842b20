//! What the kernel sees of the queue, and tells in its time.

use crate::queue::EntryId;

pub enum Change {
    Arrived(EntryId),
    Resumed(EntryId),
    Cancelled(EntryId),
    Hold,
    Unclear,
    Lost,
}
