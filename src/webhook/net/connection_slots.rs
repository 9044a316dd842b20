//! How many connections are open at a time, and which one goes when there are too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

/// Descriptors that we want to be allowed, and those kept for other things than connections and commands.
const DESCRIPTORS: u64 = 8192;
const SPARE_DESCRIPTORS: u64 = 64;

/// A command's pipes, files and handle.
const DESCRIPTORS_PER_COMMAND: u64 = 6;

/// Connections at a time, if there are descriptors for them.
const CONNECTIONS: u64 = 4096;

/// The open connections. When all slots are taken, the one goes that has been idle for the longest, that is,
/// whose request is not there yet: however many idle or slow clients there are, a new one gets its turn.
#[derive(Debug)]
pub struct ConnectionSlots {
    capacity: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    clock: u64,
    /// Those whose request is not there yet, by the time since when.
    idle: BTreeMap<u64, Arc<Notify>>,
}

/// A connection's slot.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    idle_since: Mutex<Option<u64>>,
    evicted: Arc<Notify>,
}

impl ConnectionSlots {
    /// Slots beside `commands` running commands, as far as the system grants descriptors.
    pub fn beside(commands: u32) -> Self {
        let limits = getrlimit(Resource::Nofile);
        let wanted = limits.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS);
        let mut granted = limits.current.unwrap_or(u64::MAX);
        if granted < wanted
            && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limits.maximum }).is_ok()
        {
            granted = wanted;
        }
        let commands = u64::from(commands) * DESCRIPTORS_PER_COMMAND;
        let left = granted.saturating_sub(SPARE_DESCRIPTORS + commands.min(granted / 2));
        Self::new(usize::try_from(left.clamp(16, CONNECTIONS)).unwrap_or(usize::MAX))
    }

    fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), freed: Notify::new() }
    }

    /// A slot, as soon as there is one.
    pub async fn acquire(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            {
                let mut state = self.state();
                if state.taken < self.capacity {
                    state.taken += 1;
                    let evicted = Arc::new(Notify::new());
                    let since = state.idle(Arc::clone(&evicted));
                    return ConnectionSlot {
                        slots: Arc::clone(self),
                        idle_since: Mutex::new(Some(since)),
                        evicted,
                    };
                }
            }
            self.evict_one();
            self.freed.notified().await;
        }
    }

    /// Makes the one go that has been idle for the longest, if there is one.
    pub fn evict_one(&self) {
        if let Some((_, longest)) = self.state().idle.pop_first() {
            longest.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn idle(&mut self, evicted: Arc<Notify>) -> u64 {
        self.clock += 1;
        self.idle.insert(self.clock, evicted);
        self.clock
    }
}

impl ConnectionSlot {
    /// The request is there: from now on it is our turn, and the connection is safe.
    pub fn request_received(&self) {
        if let Some(since) = self.idle_since().take() {
            self.slots.state().idle.remove(&since);
        }
    }

    /// It is answered: the client is waited for again.
    fn request_answered(&self) {
        let mut idle_since = self.idle_since();
        if idle_since.is_none() {
            *idle_since = Some(self.slots.state().idle(Arc::clone(&self.evicted)));
        }
    }

    /// Is it the client's turn?
    pub fn is_idle(&self) -> bool {
        self.idle_since().is_some()
    }

    /// Waits until the slot is needed for somebody else.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn idle_since(&self) -> MutexGuard<'_, Option<u64>> {
        self.idle_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.request_received();
        self.slots.state().taken -= 1;
        self.slots.freed.notify_one();
    }
}

/// A request that is being answered; when this value goes, the client is waited for again.
#[derive(Debug)]
pub struct ActiveRequest(pub Arc<ConnectionSlot>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.request_answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_was_idle_for_the_longest_goes() {
        let slots = Arc::new(ConnectionSlots::new(3));
        let answering = slots.acquire().await;
        let idle = slots.acquire().await;
        let younger = slots.acquire().await;
        answering.request_received();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.acquire().await }
        });
        idle.evicted().await;
        drop(idle);
        let fourth = waiting.await.unwrap();
        drop((answering, younger, fourth));
        assert_eq!(slots.state().taken, 0);
        assert!(slots.state().idle.is_empty());
    }
}
