//! Bytes of requests, of what is made of them, and of answers that are held at a time.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that may be held at a time, by all together and for each address.
#[derive(Debug)]
pub struct MemoryBudget {
    all: Arc<Semaphore>,
    /// Pages that one address may hold.
    share: usize,
    shares: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// The same, as it is for one client.
#[derive(Debug, Clone)]
pub struct MemoryShare {
    all: Arc<Semaphore>,
    own: Option<Arc<Semaphore>>,
}

/// Some of it, given back with this value.
#[derive(Debug)]
pub struct Reservation {
    all: OwnedSemaphorePermit,
    own: Option<OwnedSemaphorePermit>,
}

const PAGE: usize = 1024;

/// Shares are looked through for those that nobody holds anything of when there are so many.
const MOST_SHARES: usize = 8192;

impl MemoryBudget {
    /// `bytes` for all; an address has half of it, so that nobody alone can keep others out.
    pub fn new(bytes: usize) -> Self {
        let pages = (bytes / PAGE).min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(pages)), share: pages / 2, shares: Mutex::default() }
    }

    /// What whoever shares this address may hold; without one, whatever there is.
    pub fn share(&self, of: Option<IpAddr>) -> MemoryShare {
        MemoryShare { all: Arc::clone(&self.all), own: of.map(|address| self.own(address)) }
    }

    fn own(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = shares.get(&address).and_then(Weak::upgrade) {
            return own;
        }
        if shares.len() >= MOST_SHARES {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.share));
        shares.insert(address, Arc::downgrade(&own));
        own
    }
}

impl MemoryShare {
    /// Room for `bytes` more, if there is any.
    pub fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let pages = u32::try_from(bytes.div_ceil(PAGE)).ok()?;
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_many_owned(pages).ok();
        let own = match &self.own {
            Some(own) => Some(take(own)?),
            None => None,
        };
        Some(Reservation { all: take(&self.all)?, own })
    }
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.all.num_permits() * PAGE
    }

    /// More of the same share.
    pub fn add(&mut self, more: Self) {
        self.all.merge(more.all);
        if let (Some(own), Some(more)) = (&mut self.own, more.own) {
            own.merge(more);
        }
    }

    /// `bytes` that give this back when the last of them is gone, wherever they are copied to meanwhile.
    pub fn hold(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes, _reservation: self })
    }
}

struct Held {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_out_once_and_comes_back() {
        let memory = MemoryBudget::new(10 * PAGE).share(None);
        let mut reserved = memory.reserve(9 * PAGE).unwrap();
        assert!(memory.reserve(PAGE + 1).is_none());
        reserved.add(memory.reserve(1).unwrap());
        assert!(memory.reserve(1).is_none());
        let bytes = reserved.hold(vec![0; 8]);
        let rest = bytes.slice(7..);
        drop(bytes);
        assert!(memory.reserve(1).is_none(), "the last byte is still there");
        drop(rest);
        assert!(memory.reserve(10 * PAGE).is_some());
    }

    #[test]
    fn an_address_has_half_of_it_at_most() {
        let budget = MemoryBudget::new(10 * PAGE);
        let of = |address: &str| budget.share(Some(address.parse().unwrap()));
        let mut first = of("192.0.2.1").reserve(4 * PAGE).unwrap();
        assert!(of("192.0.2.1").reserve(2 * PAGE).is_none());
        first.add(of("192.0.2.1").reserve(PAGE).unwrap());
        let _second = of("192.0.2.2").reserve(5 * PAGE).unwrap();
        assert!(budget.share(None).reserve(1).is_none());
        drop(first);
        assert!(of("192.0.2.1").reserve(5 * PAGE).is_some());
    }
}
