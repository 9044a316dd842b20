//! Bytes of requests and outputs that are held at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of requests and outputs that may be held at a time, by all together.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Semaphore>);

/// Some of it, given back with this value.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

const PAGE: usize = 1024;

impl MemoryBudget {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PAGE).min(Semaphore::MAX_PERMITS))))
    }

    /// Room for `bytes` more, if there is any.
    pub fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let pages = u32::try_from(bytes.div_ceil(PAGE)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(pages).ok().map(Reservation)
    }
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.0.num_permits() * PAGE
    }

    pub fn add(&mut self, more: Self) {
        self.0.merge(more.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_out_once_and_comes_back() {
        let memory = MemoryBudget::new(10 * PAGE);
        let mut reserved = memory.reserve(9 * PAGE).unwrap();
        assert!(memory.reserve(PAGE + 1).is_none());
        reserved.add(memory.reserve(1).unwrap());
        assert!(memory.reserve(1).is_none());
        drop(reserved);
        assert!(memory.reserve(10 * PAGE).is_some());
    }
}
