//! As process 1, as in a container without an init: whatever loses its parent becomes our child, and stays in the process
//! table until somebody asks how it ended. The daemon runs as a process of its own then, which asks for its commands alone.

use std::{
    env,
    process::{self, Command, ExitCode},
    thread,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process, wait},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

/// Are we to be an init beside what we are? What systemd hands over is for this process alone.
pub fn is_needed() -> bool {
    process::id() == 1 && env::var_os("LISTEN_PID").is_none()
}

/// Starts the daemon, hands signals on to it, and asks of everybody how they ended, until it ends.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
    let child = Command::new("/proc/self/exe").args(env::args_os().skip(1)).spawn()?;
    let daemon = Pid::from_child(&child);
    thread::spawn(move || {
        for signal in signals.forever().filter_map(Signal::from_named_raw) {
            let _ = kill_process(daemon, signal);
        }
    });
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == daemon => {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                return Ok(code
                    .and_then(|code| u8::try_from(code).ok())
                    .map_or(ExitCode::FAILURE, ExitCode::from));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
