//! The drain lock, and what a build may have done about it.

use std::io;

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpid, kill_process, test_kill_process},
};

use crate::{
    builder::{
        log,
        process::sender::{self, Sender},
    },
    home::Home,
    proc_table,
    queue::DrainLock,
};

/// Takes the lock, also from what a build of a `build` that died has left, and whose file is then put aside: it may have
/// waited for it.
pub fn take(home: &Home) -> io::Result<Option<(DrainLock, Option<i32>)>> {
    let queue = home.queue();
    if let Some(lock) = DrainLock::lock(&queue)? {
        return Ok(Some((lock, None)));
    }
    let is_gone = |pid| test_kill_process(pid) == Err(Errno::SRCH);
    let is_left = |pid: i32| match sender::look(pid, &home.tag()) {
        Sender::Build(_) => true,
        // And something that it has started keeps the file open, as no `build` has it.
        Sender::Gone => Pid::from_raw(pid).is_some_and(is_gone),
        Sender::Other => false,
    };
    let Some(pid) = DrainLock::holder(&queue).filter(|pid| is_left(*pid)) else { return Ok(None) };
    DrainLock::displace(&queue)?;
    Ok(DrainLock::lock(&queue)?.map(|lock| (lock, Some(pid))))
}

/// One that is stopped (`kill -STOP $PPID` in a build) holds everything up, and holds its lock for ever.
pub fn let_go_on(home: &Home, pid: i32) -> anyhow::Result<()> {
    let is_ours = || proc_table::name(pid) == proc_table::name(getpid().as_raw_nonzero().get());
    if let Some(process) = Pid::from_raw(pid)
        && proc_table::is_stopped(pid)
        && is_ours()
    {
        log::start(&home.build_log(), false)?;
        kill_process(process, Signal::CONT)?;
        tracing::warn!(
            "build (process {pid}) had been stopped by a signal, and with it everything here: it goes on"
        );
    }
    Ok(())
}
