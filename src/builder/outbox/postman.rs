//! Delivery on a thread of its own, so that a slow mail server holds up no build.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use super::delivery::Delivery;

/// Between two passes while `build` runs: then a pause may be over.
const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Postman(Sender<Errand>);

enum Errand {
    /// Something may have been put in.
    Pass,
    /// The same, and say when it is over.
    PassThen(Box<dyn FnOnce() + Send>),
}

impl Postman {
    /// Starts with a pass; then on request, and every minute.
    pub fn start(delivery: Delivery) -> io::Result<Self> {
        let (errands, received) = channel();
        thread::Builder::new().name("postman".to_string()).spawn(move || work(&delivery, &received))?;
        Ok(Self(errands))
    }

    /// Goes through the outbox soon.
    pub fn pass(&self) {
        let _ = self.0.send(Errand::Pass);
    }

    /// Goes through it once more and then calls `tell`.
    pub fn pass_then(&self, tell: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Errand::PassThen(Box::new(tell)));
    }
}

fn work(delivery: &Delivery, errands: &Receiver<Errand>) {
    pass(delivery);
    loop {
        let mut told = Vec::new();
        let first = errands.recv_timeout(INTERVAL);
        if matches!(first, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        // Many builds that end together are one pass.
        for errand in first.into_iter().chain(errands.try_iter()) {
            if let Errand::PassThen(tell) = errand {
                told.push(tell);
            }
        }
        pass(delivery);
        for tell in told {
            tell();
        }
    }
}

/// Whatever a mail server makes of us, the drain waits for an answer.
fn pass(delivery: &Delivery) {
    if catch_unwind(AssertUnwindSafe(|| delivery.pass())).is_err() {
        tracing::error!("a pass through the outbox met a mistake in amp_ci; see stderr");
    }
}
