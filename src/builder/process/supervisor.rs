//! The children of `build`: those that it started and will wait for, and all others, which have been left to it;
//! and the word to end.

use std::{
    collections::{HashMap, HashSet},
    io, mem,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, test_kill_process},
};

use super::{
    bell::Bell,
    cgroup::{Cgroup, Hierarchy},
    mark::{self, Marked},
};
use crate::proc_table::{self, Process};

/// How long processes that were sent SIGKILL may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(30);

/// How long those that we may not signal may take: they end by themselves, soon or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who starts processes, knows which of our children they are, and tells them to end.
#[derive(Debug)]
pub struct Supervisor {
    stop: Bell,
    doubted: AtomicBool,
    known: Mutex<HashSet<i32>>,
    table: Mutex<Table>,
    cgroups: Option<Hierarchy>,
    /// What would not end: nobody waits for it again. By number and start.
    given_up: Mutex<HashMap<i32, u64>>,
    left: Mutex<Vec<Left>>,
}

/// A process that would not end.
#[derive(Debug)]
pub struct Left {
    /// The mark of the build that it is of, or may be.
    pub mark: Option<String>,
    pub process: Process,
}

/// What is being ended, as it was met.
#[derive(Debug, Default)]
pub struct Met {
    pub alive: usize,
    /// Those of them that we may not signal.
    pub refusing: usize,
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
            given_up: Mutex::default(),
            left: Mutex::default(),
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

    /// The children that were left to us, but for those that were given up. The dead among them are reaped on the way.
    pub fn orphans(&self) -> Vec<i32> {
        // Mostly there are none, and then nobody waits for a process that is being started.
        if children_now().is_empty() {
            return Vec::new();
        }
        let known = self.known();
        loop {
            let (dead, alive): (Vec<i32>, Vec<i32>) =
                children_now().into_iter().filter(|pid| !known.contains(pid)).partition(|pid| reap(*pid));
            // Children of the dead have become ours, maybe after we looked.
            if dead.is_empty() {
                return alive.into_iter().filter(|pid| !self.has_given_up(*pid)).collect();
            }
        }
    }

    /// Ends whatever was left to us. Only for when no build runs: it cannot tell whose it is.
    pub fn end_orphans(&self) {
        let are_gone = until_gone(|| {
            let mut met = Met::default();
            // At once, and not by way of the process table: one that forks and goes faster than that can be read
            // is met only so. Their children are left to us next.
            for pid in self.orphans() {
                met.alive += 1;
                met.refusing += usize::from(!signal(pid, Signal::KILL));
            }
            met
        });
        if !are_gone {
            self.give_up(None, self.orphans().into_iter().filter_map(proc_table::process));
        }
    }

    /// They do not end: nobody waits for them again.
    pub fn give_up(&self, mark: Option<&str>, processes: impl IntoIterator<Item = Process>) {
        for process in processes {
            self.ignore(process.pid, process.start);
            self.note_left(mark, process);
        }
    }

    /// This one was given up before.
    pub fn ignore(&self, pid: i32, start: u64) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, start);
    }

    /// Those left to us since `start` that we may not signal: of which build they are, nothing tells any more, so they may
    /// be of this one.
    pub fn note_refusing(&self, mark: &str, start: u64) {
        let may_not_signal =
            |pid: &i32| Pid::from_raw(*pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::PERM));
        let refusing = self.orphans().into_iter().filter(may_not_signal).filter_map(proc_table::process);
        for process in refusing.filter(|process| process.start >= start) {
            self.note_left(Some(mark), process);
        }
    }

    fn note_left(&self, mark: Option<&str>, process: Process) {
        let mark = mark.map(str::to_string);
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(Left { mark, process });
    }

    /// What has been noted since this was asked last.
    pub fn take_left(&self) -> Vec<Left> {
        mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn has_given_up(&self, pid: i32) -> bool {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up
            .get(&pid)
            .is_some_and(|start| proc_table::process(pid).is_some_and(|process| process.start == *start))
    }

    /// A cgroup for the processes with this mark, where we can have one.
    pub fn cgroup(&self, mark: &str) -> Option<Cgroup> {
        self.cgroups.as_ref()?.group(mark)
    }

    /// Ends and removes the cgroups of all marks that begin so. Only for when no build runs.
    pub fn end_cgroups(&self, prefix: &str) {
        let left = self.cgroups.as_ref().map(|cgroups| cgroups.groups(prefix)).unwrap_or_default();
        left.iter().for_each(Cgroup::kill);
        for cgroup in &left {
            self.remove(cgroup);
        }
    }

    /// Removes one that was ended. If something in it will not go, it stays.
    pub fn remove(&self, cgroup: &Cgroup) {
        until_gone(|| {
            let stays = cgroup.processes().iter().any(|pid| self.has_given_up(*pid));
            Met { alive: usize::from(!stays && !cgroup.remove()), refusing: 0 }
        });
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

/// Ends them until none is left; false if some will not go.
pub fn until_gone(mut end: impl FnMut() -> Met) -> bool {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        let Met { alive, refusing } = end();
        if alive == 0 {
            return true;
        }
        if begun.elapsed() > if refusing == alive { PATIENCE } else { LAST_BREATH } {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// False if it is not ours to signal.
pub fn signal(pid: i32, what: Signal) -> bool {
    Pid::from_raw(pid).is_none_or(|pid| kill_process(pid, what) != Err(Errno::PERM))
}

/// Takes the status of a child that is dead; false if it is not.
fn reap(pid: i32) -> bool {
    Pid::from_raw(pid)
        .is_some_and(|pid| matches!(rustix::process::waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))))
}

/// All children that were left to us, and maybe others; the dead included where the kernel lists them. Our first thread, the
/// drain, lives as long as we do.
fn children_now() -> Vec<i32> {
    let own = getpid().as_raw_nonzero().get();
    proc_table::left_to(own).unwrap_or_else(|| {
        proc_table::processes()
            .iter()
            .filter(|process| process.parent == own)
            .map(|process| process.pid)
            .collect()
    })
}
