//! Builds under which `build` has died before: one at a time, so that none takes another with it.

use crate::queue::{EntryId, Lane};

#[derive(Debug, Default)]
pub struct Suspects {
    running: Option<EntryId>,
    /// Those of others, which wait for it.
    lanes: Vec<Lane>,
}

impl Suspects {
    /// Does one run, or is about to?
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// This one has its turn.
    pub fn begin(&mut self, id: EntryId) {
        self.running = Some(id);
    }

    /// Another one waits, and its lane with it.
    pub fn wait(&mut self, lane: Lane) {
        self.lanes.push(lane);
    }

    /// A build is over, or is none: if it was the one, these lanes go on.
    pub fn end(&mut self, id: &EntryId) -> Vec<Lane> {
        if self.running.as_ref() != Some(id) {
            return Vec::new();
        }
        self.running = None;
        std::mem::take(&mut self.lanes)
    }
}
