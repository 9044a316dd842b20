//! Entries that were put back and pause. Their lanes wait for them.

use std::{collections::HashMap, io, time::Duration};

use super::event::Past;
use crate::queue::{EntryId, EntryState, Lane};

#[derive(Debug, Default)]
pub struct Pauses(HashMap<EntryId, (Lane, Duration)>);

impl Pauses {
    pub fn begin(&mut self, id: EntryId, lane: Lane, until: Duration) {
        self.0.insert(id, (lane, until));
    }

    /// Which lane may go on, if it paused.
    pub fn end(&mut self, id: &EntryId) -> Option<Lane> {
        self.0.remove(id).map(|(lane, _)| lane)
    }

    /// Those whose time has come.
    pub fn over(&self, now: Duration) -> Vec<EntryId> {
        self.0.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| id.clone()).collect()
    }

    pub fn first_end(&self) -> Option<Duration> {
        self.0.values().map(|(_, until)| *until).min()
    }

    /// Somebody may have ended its pause or written it again, and then its lane need not wait for it.
    pub fn lasts(&self, id: &EntryId, state: &io::Result<EntryState>, past: &Past) -> bool {
        let (Some((lane, _)), Ok(EntryState::Request(request, _))) = (self.0.get(id), state) else {
            return false;
        };
        *lane == request.lane() && !past.pause.is_zero()
    }
}
