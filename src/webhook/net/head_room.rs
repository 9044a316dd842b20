//! What a connection holds of a head that is not answered yet.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::webhook::memory::{MemoryShare, Reservation};

/// So much of a head is nobody's business: more than any forge sends.
const FREE: usize = 8 << 10;

/// After a request of more bytes the buffer that took them in would stay with the connection: it is not kept.
const LARGE: usize = 64 << 10;

/// The bytes read for one request, and the room that its head takes.
#[derive(Debug)]
pub struct HeadRoom {
    memory: MemoryShare,
    read: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The head is there: what comes now is counted by who takes it in.
    complete: bool,
    reservation: Option<Reservation>,
}

/// The head is there, and held until this value goes.
#[derive(Debug)]
pub struct HeadHeld<'r>(&'r HeadRoom);

impl HeadRoom {
    pub fn new(memory: MemoryShare) -> Self {
        Self { memory, read: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// Counts what has been read; false if there is no room for a head of that size.
    pub fn take(&self, bytes: usize) -> bool {
        let read = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if read <= FREE {
            return true;
        }
        let mut state = self.state();
        let have = state.reservation.as_ref().map_or(0, Reservation::bytes);
        if state.complete || read <= have {
            return true;
        }
        let Some(more) = self.memory.reserve(read - have) else { return false };
        match &mut state.reservation {
            Some(reservation) => reservation.add(more),
            none => *none = Some(more),
        }
        true
    }

    /// All of a head has come.
    pub fn complete(&self) -> HeadHeld<'_> {
        self.state().complete = true;
        HeadHeld(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeadHeld<'_> {
    /// Has the request been so large that its connection is better closed?
    pub fn is_large(&self) -> bool {
        self.0.state().reservation.is_some() || self.0.read.load(Ordering::Relaxed) > LARGE
    }
}

impl Drop for HeadHeld<'_> {
    fn drop(&mut self) {
        self.0.read.store(0, Ordering::Relaxed);
        *self.0.state() = State::default();
    }
}
