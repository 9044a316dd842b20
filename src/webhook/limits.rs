//! What is bounded: commands at a time, requests that wait for one, and bytes held in memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hooks::Hook;

/// A body past this size is dealt with where it holds up no other request.
pub const LARGE: usize = 256 * 1024;

/// A bound on commands at a time, with a line, bounded too, for those that wait.
#[derive(Debug)]
pub struct Line {
    running: Arc<Semaphore>,
    /// Places for those that run and those that wait, together.
    places: Arc<Semaphore>,
    bounds: (u32, u32),
}

/// A place in the line, held until the command is over.
#[derive(Debug)]
pub struct Place {
    running: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

/// The right to run a command now.
#[derive(Debug)]
pub struct Turn {
    _running: OwnedSemaphorePermit,
    _place: Place,
}

impl Line {
    pub fn new(at_a_time: u32, waiting: u32) -> Self {
        let places = at_a_time as usize + waiting as usize;
        Self {
            running: Arc::new(Semaphore::new(at_a_time as usize)),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            bounds: (at_a_time, waiting),
        }
    }

    /// The line of a hook that has a bound of its own.
    pub fn of(hook: &Hook) -> Option<Self> {
        (hook.max_concurrency > 0).then(|| Self::new(hook.max_concurrency, hook.max_waiting))
    }

    pub fn bounds(&self) -> (u32, u32) {
        self.bounds
    }

    /// A place in the line, unless it is full.
    pub fn enter(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { running: Arc::clone(&self.running), _place: place })
    }
}

impl Place {
    /// Waits until it is this one's turn, in order of entry.
    pub async fn turn(self) -> Turn {
        let running = Arc::clone(&self.running).acquire_owned().await;
        Turn { _running: running.expect("the semaphore is never closed"), _place: self }
    }
}

/// The bytes of requests and outputs that may be held at a time, by all together.
#[derive(Debug)]
pub struct Memory(Arc<Semaphore>);

/// Some of it, given back with this value.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

const PAGE: usize = 1024;

impl Memory {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PAGE).min(Semaphore::MAX_PERMITS))))
    }

    /// Room for `bytes` more, if there is any.
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let pages = u32::try_from(bytes.div_ceil(PAGE)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(pages).ok().map(Held)
    }
}

impl Held {
    pub fn bytes(&self) -> usize {
        self.0.num_permits() * PAGE
    }

    pub fn and(&mut self, more: Self) {
        self.0.merge(more.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_sent_away() {
        let line = Line::new(1, 1);
        let first = line.enter().unwrap().turn().await;
        let second = line.enter().unwrap();
        assert!(line.enter().is_none());
        let second = timeout(Duration::ZERO, second.turn()).await;
        assert!(second.is_err(), "the second must wait");
        drop(second);
        let second = line.enter().unwrap();
        drop(first);
        let _second = second.turn().await;
    }

    #[test]
    fn memory_is_given_out_once_and_comes_back() {
        let memory = Memory::new(10 * PAGE);
        let mut held = memory.hold(9 * PAGE).unwrap();
        assert!(memory.hold(PAGE + 1).is_none());
        held.and(memory.hold(1).unwrap());
        assert!(memory.hold(1).is_none());
        drop(held);
        assert!(memory.hold(10 * PAGE).is_some());
    }
}
