//! How many connections are open at a time, and which one goes when there are too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The open connections. When all seats are taken, the one that has owed the rest of its request for the
/// longest has to go: however many idle or slow clients there are, a new one gets its turn.
#[derive(Debug)]
pub struct Connections {
    seats: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    clock: u64,
    /// Those that owe us a request, by the time since when.
    owing: BTreeMap<u64, Arc<Notify>>,
}

/// A connection's seat.
#[derive(Debug)]
pub struct Seat {
    connections: Arc<Connections>,
    owing_since: Mutex<Option<u64>>,
    unseated: Arc<Notify>,
}

impl Connections {
    pub fn new(seats: usize) -> Self {
        Self { seats, state: Mutex::default(), freed: Notify::new() }
    }

    /// A seat, as soon as there is one.
    pub async fn seat(self: &Arc<Self>) -> Seat {
        loop {
            {
                let mut state = self.state();
                if state.taken < self.seats {
                    state.taken += 1;
                    let unseated = Arc::new(Notify::new());
                    let since = state.owe(Arc::clone(&unseated));
                    return Seat {
                        connections: Arc::clone(self),
                        owing_since: Mutex::new(Some(since)),
                        unseated,
                    };
                }
            }
            self.unseat_one();
            self.freed.notified().await;
        }
    }

    /// Makes the one go that has owed its request for the longest, if there is one.
    pub fn unseat_one(&self) {
        if let Some((_, longest)) = self.state().owing.pop_first() {
            longest.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn owe(&mut self, unseated: Arc<Notify>) -> u64 {
        self.clock += 1;
        self.owing.insert(self.clock, unseated);
        self.clock
    }
}

impl Seat {
    /// The request is there: from now on it is our turn, and the connection is safe.
    pub fn request_is_there(&self) {
        if let Some(since) = self.owing_since().take() {
            self.connections.state().owing.remove(&since);
        }
    }

    /// It is answered: the next one is owed.
    fn request_is_answered(&self) {
        let mut owing_since = self.owing_since();
        if owing_since.is_none() {
            *owing_since = Some(self.connections.state().owe(Arc::clone(&self.unseated)));
        }
    }

    /// Is it the client's turn?
    pub fn is_owed_a_request(&self) -> bool {
        self.owing_since().is_some()
    }

    /// Waits until the seat is needed for somebody else.
    pub async fn unseated(&self) {
        self.unseated.notified().await;
    }

    fn owing_since(&self) -> MutexGuard<'_, Option<u64>> {
        self.owing_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.request_is_there();
        self.connections.state().taken -= 1;
        self.connections.freed.notify_one();
    }
}

/// A request that is being answered; when this value goes, the next one is owed.
#[derive(Debug)]
pub struct Answering(pub Arc<Seat>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.request_is_answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_owes_its_request_for_the_longest_goes() {
        let connections = Arc::new(Connections::new(3));
        let answering = connections.seat().await;
        let idle = connections.seat().await;
        let younger = connections.seat().await;
        answering.request_is_there();
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.seat().await }
        });
        idle.unseated().await;
        drop(idle);
        let fourth = waiting.await.unwrap();
        drop((answering, younger, fourth));
        assert_eq!(connections.state().taken, 0);
        assert!(connections.state().owing.is_empty());
    }
}
