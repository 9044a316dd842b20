//! Commands at a time, and requests that wait for one.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::webhook::hooks::Hook;

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
}
