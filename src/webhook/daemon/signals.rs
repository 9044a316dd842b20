//! The signals that mean something.

use std::{io, sync::Arc};

use tokio::signal::unix::{self, SignalKind, signal};
use tracing::info;

use crate::detached;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To read all anew, the certificate too.
    HangUp,
    /// To read the hooks files anew.
    Reload,
    Stop,
}

/// What we were told to ignore (by nohup(1), a shell's `&`) would be ignored by all commands too: execve(2) hands that on,
/// but not a handler that does nothing.
pub fn ignore_alone() -> io::Result<()> {
    for signal in detached::ignored_signals() {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Where they arrive.
#[derive(Debug)]
pub struct Signals {
    hang_up: unix::Signal,
    user: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        let (line, signal) = tokio::select! {
            _ = self.hang_up.recv() => ("caught HUP signal", Signal::HangUp),
            _ = self.user.recv() => ("caught USR1 signal", Signal::Reload),
            _ = self.terminate.recv() => ("caught terminated signal; exiting", Signal::Stop),
            _ = self.interrupt.recv() => ("caught interrupt signal; exiting", Signal::Stop),
        };
        info!("{line}");
        signal
    }

    /// Waits for somebody who is in a hurry.
    pub async fn stop_again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
