//! Bytes of requests and outputs that are held at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body past this size is dealt with where it holds up no other request.
pub const LARGE: usize = 256 * 1024;

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
    use super::*;

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
