//! Builds under which `build` may die, as it has before: one at a time, so that it takes no other one with it.

use std::collections::HashMap;

use crate::queue::{EntryId, Lane};

#[derive(Debug, Default)]
pub struct Suspects {
    /// The one that is tried.
    tried: Option<EntryId>,
    /// The others wait for that, and their lanes with them.
    waiting: HashMap<EntryId, Lane>,
}

impl Suspects {
    pub fn is_one_tried(&self) -> bool {
        self.tried.is_some()
    }

    pub fn try_alone(&mut self, id: EntryId) {
        self.tried = Some(id);
    }

    pub fn wait(&mut self, id: EntryId, lane: Lane) {
        self.waiting.insert(id, lane);
    }

    /// It waits no longer; which lane may go on, if one waited with it.
    pub fn leave(&mut self, id: &EntryId) -> Option<Lane> {
        self.waiting.remove(id)
    }

    /// If it was the one that is tried, these lanes may go on.
    pub fn clear(&mut self, id: &EntryId) -> Vec<Lane> {
        if self.tried.as_ref() == Some(id) { self.clear_all() } else { Vec::new() }
    }

    /// None is tried, whatever was to be.
    pub fn clear_all(&mut self) -> Vec<Lane> {
        self.tried = None;
        self.waiting.drain().map(|(_, lane)| lane).collect()
    }
}
