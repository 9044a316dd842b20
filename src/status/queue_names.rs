//! The names in `queue/` that mean something.

use std::io;

use super::folder::Folder;
use crate::queue::EntryId;

/// By what they say of an entry, each in the queue's order.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct QueueNames {
    /// It waits.
    pub waiting: Vec<EntryId>,
    /// It is being built.
    pub claimed: Vec<EntryId>,
    /// Somebody does not want it.
    pub cancelled: Vec<EntryId>,
    /// It pauses.
    pub paused: Vec<EntryId>,
}

impl QueueNames {
    /// Until two readings agree, as an entry may be renamed while the directory is read; but not for ever. A name that
    /// is there both ways was renamed in between, or somebody has put a second entry beside the first.
    pub fn read(queue: &Folder) -> io::Result<Self> {
        let mut names = Self::read_once(queue)?;
        for _ in 0..3 {
            let again = Self::read_once(queue)?;
            if again == names {
                break;
            }
            names = again;
        }
        Ok(names)
    }

    fn read_once(queue: &Folder) -> io::Result<Self> {
        let mut names = Self::default();
        queue.each_name(|name| {
            let Some(rest) = name.strip_prefix("build-") else { return };
            let (id, of_its_kind) = if let Some(id) = rest.strip_suffix(".lock") {
                (id, &mut names.claimed)
            } else if let Some(id) = rest.strip_suffix(".cancel") {
                (id, &mut names.cancelled)
            } else if let Some(id) = rest.strip_suffix(".retry") {
                (id, &mut names.paused)
            } else {
                (rest, &mut names.waiting)
            };
            of_its_kind.extend(EntryId::parse(id));
        })?;
        for of_a_kind in [&mut names.waiting, &mut names.claimed, &mut names.cancelled, &mut names.paused] {
            of_a_kind.sort_unstable();
        }
        Ok(names)
    }

    /// Is there an entry of this name?
    pub fn has(&self, id: &EntryId) -> bool {
        self.is_waiting(id) || self.is_claimed(id)
    }

    /// Does it wait?
    pub fn is_waiting(&self, id: &EntryId) -> bool {
        self.waiting.binary_search(id).is_ok()
    }

    /// Is it being built?
    pub fn is_claimed(&self, id: &EntryId) -> bool {
        self.claimed.binary_search(id).is_ok()
    }

    /// Is it to be cancelled?
    pub fn is_cancelled(&self, id: &EntryId) -> bool {
        self.cancelled.binary_search(id).is_ok()
    }

    /// Does it pause?
    pub fn is_paused(&self, id: &EntryId) -> bool {
        self.paused.binary_search(id).is_ok()
    }
}
