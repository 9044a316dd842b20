//! The builds that are under way.

use std::collections::{HashMap, HashSet};

use crate::queue::{EntryId, Lane};

#[derive(Debug)]
pub struct Slots {
    threads: usize,
    taken: HashMap<EntryId, Lane>,
    /// Those of `taken` whose scripts are over.
    recording: HashSet<EntryId>,
}

impl Slots {
    pub fn new(threads: usize) -> Self {
        Self { threads, taken: HashMap::new(), recording: HashSet::new() }
    }

    pub fn take(&mut self, id: EntryId, lane: Lane) {
        self.taken.insert(id, lane);
    }

    pub fn script_over(&mut self, id: EntryId) {
        self.recording.insert(id);
    }

    /// Which lane may go on.
    pub fn release(&mut self, id: &EntryId) -> Option<Lane> {
        self.recording.remove(id);
        self.taken.remove(id)
    }

    pub fn hold(&self, id: &EntryId) -> bool {
        self.taken.contains_key(id)
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// A build that is being recorded takes no slot, as long as the disk keeps up.
    pub fn is_one_free(&self) -> bool {
        let recording = self.recording.len();
        self.taken.len() - recording < self.threads && recording <= self.threads
    }
}
