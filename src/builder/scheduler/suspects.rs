//! Builds under which `build` may die, as it has before: one at a time, so that it takes no other one with it.

use std::mem;

use crate::queue::{EntryId, Lane};

#[derive(Debug, Default)]
pub struct Suspects {
    /// The one that is tried.
    tried: Option<EntryId>,
    /// The lanes of the others, which wait for that.
    lanes: Vec<Lane>,
}

impl Suspects {
    pub fn is_one_tried(&self) -> bool {
        self.tried.is_some()
    }

    pub fn try_alone(&mut self, id: EntryId) {
        self.tried = Some(id);
    }

    pub fn wait(&mut self, lane: Lane) {
        self.lanes.push(lane);
    }

    /// If it was the one that is tried, these lanes may go on.
    pub fn clear(&mut self, id: &EntryId) -> Vec<Lane> {
        if self.tried.as_ref() != Some(id) {
            return Vec::new();
        }
        self.tried = None;
        mem::take(&mut self.lanes)
    }
}
