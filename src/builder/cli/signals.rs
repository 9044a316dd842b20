//! Signals that somebody sends to a drain, and those that a build does.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::{
    consts::{
        SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
    },
    iterator::{
        SignalsInfo,
        exfiltrator::{WithOrigin, origin::Origin},
    },
};

use crate::{
    builder::{
        builder::Builder,
        process::sender::{self, Sender},
        scheduler::Event,
    },
    text::printable,
};

/// What a build may send us by mistake, and we can hear of: each would end us.
const ENDS: [i32; 8] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGALRM, SIGUSR1, SIGUSR2];

/// Each of these would stop us.
const STOPS: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// Makes an event of the first signal that is meant.
pub fn watch(tell: mpsc::Sender<Event>, builder: Arc<Builder>) -> io::Result<()> {
    let mut signals = SignalsInfo::<WithOrigin>::new(ENDS.iter().chain(&STOPS))?;
    thread::Builder::new().name("signals".to_string()).spawn(move || {
        let mut said = None;
        let meant = signals.forever().filter(|origin| is_meant(origin, &builder, &mut said));
        let mut signals = meant.filter(|origin| {
            let stops = STOPS.contains(&origin.signal);
            if stops {
                // As without our handler: somebody at a terminal, who will have us go on.
                let _ = kill_process(getpid(), Signal::STOP);
            }
            !stops
        });
        if let Some(Origin { signal, .. }) = signals.next() {
            let _ = tell.send(Event::Signal(signal));
        }
        // A second one is meant: what is left, the next build ends.
        if let Some(Origin { signal, .. }) = signals.next() {
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Not if a build has sent it: that is its own trouble, and not the others' loss. `said` is of whom it was said last.
fn is_meant(origin: &Origin, builder: &Builder, said: &mut Option<Sender>) -> bool {
    let Some(process) = origin.process else { return true };
    let sender = sender::look(process.pid, &builder.tag);
    let (pid, signal) = (process.pid, origin.signal);
    match &sender {
        Sender::Other => return true,
        // A build, or somebody's kill(1): it is heeded, once, and what runs is suspected.
        Sender::Gone if builder.supervisor.is_doubted() => return false,
        Sender::Gone => {
            tracing::warn!("signal {signal} came from process {pid}, which is gone");
            builder.supervisor.doubt();
            return true;
        }
        // A build can send them in a loop.
        _ if said.as_ref() == Some(&sender) => return false,
        Sender::Build(entry) => {
            let whose = entry.as_ref().map_or("a build".to_string(), |entry| printable(entry).to_string());
            tracing::warn!("signal {signal} came from {whose} (process {pid}), and is not heeded");
        }
    }
    *said = Some(sender);
    false
}
