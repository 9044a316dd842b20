//! How many connections are open at a time, and which one goes when there are too many.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

/// Descriptors that we want to be allowed, and those kept for other things than connections and commands.
const DESCRIPTORS: u64 = 8192;
const SPARE_DESCRIPTORS: u64 = 64;

/// A command's pipes, files and handle.
const DESCRIPTORS_PER_COMMAND: u64 = 6;

/// The open connections. When all slots are taken, the one goes that has been idle for the longest, that is,
/// whose request is not there yet: however many idle or slow clients there are, a new one gets its turn. An address
/// has a quarter of them; beyond that it is one of its own that goes, so that nobody alone drives others out.
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
    idle: BTreeMap<u64, (Option<IpAddr>, Arc<Notify>)>,
    shares: HashMap<IpAddr, Share>,
}

/// What one address has of it.
#[derive(Debug, Default)]
struct Share {
    taken: usize,
    /// As above.
    idle: BTreeSet<u64>,
}

/// A connection's slot.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    share: Option<IpAddr>,
    idle_since: Mutex<Option<u64>>,
    evicted: Arc<Notify>,
}

impl ConnectionSlots {
    /// So many slots at most, beside `commands` running commands, as far as the system grants descriptors.
    pub fn beside(commands: u32, most: u64) -> Self {
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
        Self::new(usize::try_from(left.clamp(16, most)).unwrap_or(usize::MAX))
    }

    fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), freed: Notify::new() }
    }

    /// A slot for whoever uses `share`, as soon as there is one; none if it has its share of them, all busy.
    pub async fn acquire(self: &Arc<Self>, share: Option<IpAddr>) -> Option<ConnectionSlot> {
        if let Some(address) = share {
            let is_full = || self.state().taken_by(address) >= self.capacity.div_ceil(4);
            if is_full() && !self.state().evict(share) {
                return None;
            }
            // The one that has to go is waited for: else it would take somebody else's slot meanwhile.
            while is_full() {
                self.freed.notified().await;
            }
        }
        loop {
            {
                let mut state = self.state();
                if state.taken < self.capacity {
                    let evicted = Arc::new(Notify::new());
                    let since = state.take(share, &evicted);
                    return Some(ConnectionSlot {
                        slots: Arc::clone(self),
                        share,
                        idle_since: Mutex::new(Some(since)),
                        evicted,
                    });
                }
            }
            self.evict_one();
            self.freed.notified().await;
        }
    }

    /// Makes the one go that has been idle for the longest, if there is one.
    pub fn evict_one(&self) {
        self.state().evict(None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, share: Option<IpAddr>, evicted: &Arc<Notify>) -> u64 {
        self.taken += 1;
        if let Some(address) = share {
            self.shares.entry(address).or_default().taken += 1;
        }
        self.idle(share, evicted)
    }

    fn give_back(&mut self, share: Option<IpAddr>) {
        self.taken -= 1;
        if let Some(address) = share
            && let Some(own) = self.shares.get_mut(&address)
        {
            own.taken -= 1;
            if own.taken == 0 {
                self.shares.remove(&address);
            }
        }
    }

    fn idle(&mut self, share: Option<IpAddr>, evicted: &Arc<Notify>) -> u64 {
        self.clock += 1;
        self.idle.insert(self.clock, (share, Arc::clone(evicted)));
        if let Some(own) = share.and_then(|address| self.shares.get_mut(&address)) {
            own.idle.insert(self.clock);
        }
        self.clock
    }

    fn busy(&mut self, since: u64) -> Option<Arc<Notify>> {
        let (share, evicted) = self.idle.remove(&since)?;
        if let Some(own) = share.and_then(|address| self.shares.get_mut(&address)) {
            own.idle.remove(&since);
        }
        Some(evicted)
    }

    /// Makes the one go that has been idle for the longest, of all or of an address; false if none is idle.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        let longest = match of {
            Some(address) => self.shares.get(&address).and_then(|own| own.idle.first().copied()),
            None => self.idle.keys().next().copied(),
        };
        let evicted = longest.and_then(|since| self.busy(since));
        evicted.inspect(|evicted| evicted.notify_one()).is_some()
    }

    fn taken_by(&self, address: IpAddr) -> usize {
        self.shares.get(&address).map_or(0, |own| own.taken)
    }
}

impl ConnectionSlot {
    /// The request is there: from now on it is our turn, and the connection is safe.
    pub fn request_received(&self) {
        if let Some(since) = self.idle_since().take() {
            self.slots.state().busy(since);
        }
    }

    /// It is answered: the client is waited for again.
    fn request_answered(&self) {
        let mut idle_since = self.idle_since();
        if idle_since.is_none() {
            *idle_since = Some(self.slots.state().idle(self.share, &self.evicted));
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
        self.slots.state().give_back(self.share);
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
        let acquire = async || slots.acquire(None).await.unwrap();
        let answering = acquire().await;
        let idle = acquire().await;
        let younger = acquire().await;
        answering.request_received();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.acquire(None).await.unwrap() }
        });
        idle.evicted().await;
        drop(idle);
        let fourth = waiting.await.unwrap();
        drop((answering, younger, fourth));
        assert_eq!(slots.state().taken, 0);
        assert!(slots.state().idle.is_empty());
    }

    #[tokio::test]
    async fn beyond_its_share_an_address_drives_out_its_own_alone() {
        let slots = Arc::new(ConnectionSlots::new(8));
        let of = |address: &str| {
            let (slots, share) = (Arc::clone(&slots), address.parse().ok());
            async move { slots.acquire(share).await }
        };
        let other = of("192.0.2.2").await.unwrap();
        let mut flood = vec![of("192.0.2.1").await.unwrap(), of("192.0.2.1").await.unwrap()];
        for _ in 0..50 {
            let next = tokio::spawn(of("192.0.2.1"));
            flood[0].evicted().await;
            drop(flood.remove(0));
            flood.push(next.await.unwrap().unwrap());
        }
        for busy in &flood {
            busy.request_received();
        }
        assert!(of("192.0.2.1").await.is_none(), "all of its own are busy");
        assert!(of("192.0.2.2").await.is_some());
        assert!(other.is_idle() && slots.state().idle.len() == 1, "nobody else had to go");
        drop((other, flood));
        assert!(slots.state().shares.is_empty());
    }
}
