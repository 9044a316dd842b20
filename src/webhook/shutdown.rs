//! The end of the daemon, step by step, as those see it who serve and run.

use std::{future::pending, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// No new connections; what runs may finish.
    Stopping,
    /// What still runs is ended.
    Ending,
}

/// Held by everything that has to be over before the daemon is.
#[derive(Debug, Clone)]
pub struct Shutdown {
    phase: watch::Receiver<Phase>,
    _unfinished: mpsc::Sender<()>,
}

/// Leads through the steps.
#[derive(Debug)]
pub struct ShutdownSender {
    phase: watch::Sender<Phase>,
    finished: mpsc::Receiver<()>,
}

/// Time for what was ended to be gone and to clean up; the commands' own last signal comes well before, and so
/// does the end of the last connection.
const LAST: Duration = Duration::from_secs(10);

pub fn channel() -> (ShutdownSender, Shutdown) {
    let (sender, phase) = watch::channel(Phase::Serving);
    let (unfinished, finished) = mpsc::channel(1);
    (ShutdownSender { phase: sender, finished }, Shutdown { phase, _unfinished: unfinished })
}

impl Shutdown {
    /// Waits until no more requests are taken.
    pub async fn stopping(&mut self) {
        self.wait_for(Phase::Stopping).await;
    }

    /// Waits until running commands have to end.
    pub async fn ending(&mut self) {
        self.wait_for(Phase::Ending).await;
    }

    async fn wait_for(&mut self, phase: Phase) {
        if self.phase.wait_for(|now| *now >= phase).await.is_err() {
            // Nobody leads any more: the process is at its end.
            pending::<()>().await;
        }
    }
}

impl ShutdownSender {
    /// Stops everything: what runs has `grace`, or until `hurry`, and is ended then. Whoever holds a [`Shutdown`]
    /// is waited for.
    pub async fn shut_down(mut self, grace: Duration, hurry: impl Future<Output = ()>) {
        self.phase.send_replace(Phase::Stopping);
        tokio::select! {
            finished = timeout(grace, self.finished.recv()) => if finished.is_ok() {
                return;
            },
            () = hurry => {}
        }
        self.phase.send_replace(Phase::Ending);
        let _ = timeout(LAST, self.finished.recv()).await;
    }
}
