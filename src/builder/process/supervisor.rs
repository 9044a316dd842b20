//! The children of `build`: those that it started and will wait for, and all others, which have been left to it;
//! and the word to end.

use std::{
    collections::HashSet,
    io,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper};

use super::{
    bell::Bell,
    cgroup::{Cgroup, Hierarchy},
    mark::{self, Marked},
};
use crate::proc_table;

/// How long processes that were sent SIGKILL may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(30);

/// Who starts processes, knows which of our children they are, and tells them to end.
#[derive(Debug)]
pub struct Supervisor {
    stop: Bell,
    doubted: AtomicBool,
    known: Mutex<HashSet<i32>>,
    table: Mutex<Table>,
    cgroups: Option<Hierarchy>,
}

/// The process table as it was read at some moment.
#[derive(Debug, Default)]
struct Table {
    begun: Option<Instant>,
    processes: Arc<[Marked]>,
}

impl Supervisor {
    /// From here on orphans are given to us.
    pub fn new() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        Ok(Self {
            stop: Bell::new()?,
            doubted: AtomicBool::new(false),
            known: Mutex::default(),
            table: Mutex::default(),
            cgroups: Hierarchy::delegated(),
        })
    }

    /// Tells everything that runs, and whatever is started from now on, to end.
    pub fn stop(&self) {
        self.stop.ring();
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.has_rung()
    }

    /// That we are told to end may be the doing of a build.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    pub fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// Rings when we are told to end.
    pub fn stop_bell(&self) -> &Bell {
        &self.stop
    }

    /// Starts a process that its caller will wait for.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Under the lock, so that nobody takes the newcomer for an orphan.
        let mut known = self.known();
        let child = command.spawn()?;
        known.insert(child.id().cast_signed());
        Ok(child)
    }

    /// Runs a short-lived program of our own.
    pub fn run(&self, command: &mut Command) -> io::Result<ExitStatus> {
        let mut child = self.spawn(command)?;
        let status = child.wait();
        self.forget(&child);
        status
    }

    /// Forgets a child, which its caller has waited for.
    pub fn forget(&self, child: &Child) {
        self.known().remove(&child.id().cast_signed());
    }

    /// The children that were left to us. The dead among them are reaped on the way.
    pub fn orphans(&self) -> Vec<i32> {
        let known = self.known();
        loop {
            let (dead, alive): (Vec<i32>, Vec<i32>) =
                children_now().into_iter().filter(|pid| !known.contains(pid)).partition(|pid| reap(*pid));
            // Children of the dead have become ours, maybe after we looked.
            if dead.is_empty() {
                return alive;
            }
        }
    }

    /// Ends whatever was left to us. Only for when no build runs: it cannot tell whose it is.
    pub fn end_orphans(&self) -> bool {
        until_gone(|| {
            let orphans = self.orphans();
            if orphans.is_empty() {
                return true;
            }
            // At once, and not by way of the process table: one that forks and goes faster than that can be read
            // is met only so. Their children are left to us next.
            for pid in orphans {
                signal(pid, Signal::KILL);
            }
            false
        })
    }

    /// A cgroup for the processes with this mark, where we can have one.
    pub fn cgroup(&self, mark: &str) -> Option<Cgroup> {
        self.cgroups.as_ref()?.group(mark)
    }

    /// Ends and removes the cgroups of all marks that begin so. Only for when no build runs.
    pub fn end_cgroups(&self, prefix: &str) -> bool {
        let left = self.cgroups.as_ref().map(|cgroups| cgroups.groups(prefix)).unwrap_or_default();
        left.iter().for_each(Cgroup::kill);
        until_gone(|| {
            self.orphans();
            left.iter().all(Cgroup::remove)
        })
    }

    fn known(&self) -> MutexGuard<'_, HashSet<i32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process table, not older than this call. Hundreds of builds that are ended at once ask together, and
    /// those that ask while it is read share the next reading.
    pub fn processes(&self) -> Arc<[Marked]> {
        let asked = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.begun.is_none_or(|begun| begun < asked) {
            *table = Table { begun: Some(Instant::now()), processes: mark::processes().into() };
        }
        Arc::clone(&table.processes)
    }
}

/// Asks until it is so, or 30 seconds have passed.
pub fn until_gone(mut gone: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + LAST_BREATH;
    let mut pause = Duration::from_micros(200);
    while !gone() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    true
}

pub fn signal(pid: i32, what: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, what);
    }
}

/// Takes the status of a child that is dead; false if it is not.
fn reap(pid: i32) -> bool {
    Pid::from_raw(pid)
        .is_some_and(|pid| matches!(rustix::process::waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))))
}

/// All our children, the dead included where the kernel lists them.
fn children_now() -> Vec<i32> {
    let own = getpid().as_raw_nonzero().get();
    proc_table::children(own).unwrap_or_else(|| {
        proc_table::processes()
            .iter()
            .filter(|process| process.parent == own)
            .map(|process| process.pid)
            .collect()
    })
}
