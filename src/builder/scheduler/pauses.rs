//! Entries that were put back, and whose lanes wait for them until their pauses are over.

use std::{collections::HashMap, time::Duration};

use crate::queue::{EntryId, Lane};

#[derive(Debug, Default)]
pub struct Pauses(HashMap<EntryId, (Lane, Duration)>);

impl Pauses {
    /// It pauses until then.
    pub fn begin(&mut self, id: EntryId, lane: Lane, until: Duration) {
        self.0.insert(id, (lane, until));
    }

    /// Does this lane wait for it?
    pub fn holds(&self, id: &EntryId, lane: &Lane) -> bool {
        self.0.get(id).is_some_and(|(holds, _)| holds == lane)
    }

    /// It pauses no longer, and this lane goes on with it.
    pub fn end(&mut self, id: &EntryId) -> Option<Lane> {
        self.0.remove(id).map(|(lane, _)| lane)
    }

    /// Whose pauses are over.
    pub fn over(&self, now: Duration) -> Vec<EntryId> {
        self.0.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| id.clone()).collect()
    }

    /// When the next one is.
    pub fn next(&self) -> Option<Duration> {
        self.0.values().map(|(_, until)| *until).min()
    }
}
