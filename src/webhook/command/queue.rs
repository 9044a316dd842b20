//! Commands at a time, and requests that wait for one.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on commands at a time, and on those that wait.
#[derive(Debug, Clone)]
pub struct CommandQueue {
    running: Arc<Semaphore>,
    /// For those that run and those that wait, together.
    slots: Arc<Semaphore>,
    bounds: (u32, u32),
}

/// A place in the queue, held until the command is over.
#[derive(Debug)]
pub struct Slot {
    running: Arc<Semaphore>,
    _slot: OwnedSemaphorePermit,
}

/// The right to run a command now.
#[derive(Debug)]
pub struct Permit {
    _running: OwnedSemaphorePermit,
    _slot: Slot,
}

impl CommandQueue {
    /// Bounds of `at_a_time` and `waiting`; none at a time is no bound, and no queue.
    pub fn new(at_a_time: u32, waiting: u32) -> Option<Self> {
        let slots = at_a_time as usize + waiting as usize;
        (at_a_time > 0).then(|| Self {
            running: Arc::new(Semaphore::new(at_a_time as usize)),
            slots: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            bounds: (at_a_time, waiting),
        })
    }

    pub fn has_bounds_of(&self, other: &Self) -> bool {
        self.bounds == other.bounds
    }

    /// A slot, unless the queue is full.
    pub fn enter(&self) -> Option<Slot> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some(Slot { running: Arc::clone(&self.running), _slot: slot })
    }
}

impl Slot {
    /// Waits until it is this one's turn, in order of entry.
    pub async fn permit(self) -> Permit {
        let running = Arc::clone(&self.running).acquire_owned().await;
        Permit { _running: running.expect("the semaphore is never closed"), _slot: self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_sent_away() {
        let queue = CommandQueue::new(1, 1).unwrap();
        let first = queue.enter().unwrap().permit().await;
        let second = queue.enter().unwrap();
        assert!(queue.enter().is_none());
        let second = timeout(Duration::ZERO, second.permit()).await;
        assert!(second.is_err(), "the second must wait");
        drop(second);
        let second = queue.enter().unwrap();
        drop(first);
        let _second = second.permit().await;
    }
}
