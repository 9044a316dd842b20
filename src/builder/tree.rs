//! The processes of a build, wherever they went, and their end.
//!
//! A process is a build's if its environment carries the build's mark, if it descends from the build's bash
//! or from a marked process, or if it was seen to before. `build` is a child subreaper, so whatever loses its
//! parent becomes its child: when `build` has no children but the scripts it started, nothing is left.

use std::{
    collections::{HashMap, HashSet},
    io,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group};

use crate::proc_table::{self, Process};

/// The variable that marks a build's processes; its value names home and build.
pub const MARK: &str = "AMP_CI_MARK";

/// How long processes that were sent SIGKILL may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(30);

/// So often new processes are looked for before those that are known are ended.
const LOOKS: usize = 20;

/// The children of `build`: those that it started itself and will wait for, and all others, which have been left
/// to it.
#[derive(Debug, Default)]
pub struct Children {
    known: Mutex<HashSet<i32>>,
    table: Mutex<Option<Arc<Table>>>,
}

/// The process table as it was read at some moment.
#[derive(Debug)]
struct Table {
    begun: Instant,
    processes: Vec<Marked>,
}

/// The processes of one build.
#[derive(Debug)]
pub struct Tree {
    mark: Vec<u8>,
    /// Roots and members seen before: process number and start time, which together are never reused.
    seen: HashMap<i32, u64>,
}

/// A process with the marks that it carries.
#[derive(Debug)]
struct Marked {
    process: Process,
    /// Every variable [`MARK`] of the environment that it was started with.
    marks: Vec<Vec<u8>>,
}

impl Children {
    /// Become the one to whom orphans are given.
    pub fn adopt_orphans() -> io::Result<()> {
        Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
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

    fn known(&self) -> MutexGuard<'_, HashSet<i32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process table, not older than this call. Hundreds of builds that are ended at once ask together, and
    /// those that ask while it is read share the next reading.
    fn table(&self) -> Arc<Table> {
        let asked = Instant::now();
        let mut last = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(table) if table.begun >= asked => Arc::clone(table),
            _ => Arc::clone(
                last.insert(Arc::new(Table { begun: Instant::now(), processes: marked_processes() })),
            ),
        }
    }
}

impl Tree {
    /// The processes with this mark, and `root` (not yet waited for) with its descendants.
    pub fn new(mark: &str, root: Option<i32>) -> Self {
        let seen = root.and_then(|root| Some((root, proc_table::process(root)?.start))).into_iter().collect();
        Self { mark: format!("{MARK}={mark}").into_bytes(), seen }
    }

    /// Sends a signal to all that are alive; says whether there are any.
    pub fn signal(&mut self, children: &Children, what: Signal) -> bool {
        let table = children.table();
        let members = self.members(&table);
        let pids: HashSet<i32> = members.iter().map(|process| process.pid).collect();
        // Whole groups first: the kernel signals a group in one step, which a forking process cannot outrun.
        let groups: HashSet<i32> =
            members.iter().map(|process| process.group).filter(|group| pids.contains(group)).collect();
        for group in groups.iter().filter_map(|group| Pid::from_raw(*group)) {
            let _ = kill_process_group(group, what);
        }
        for process in &members {
            if !groups.contains(&process.group) {
                signal(process.pid, what);
            }
        }
        !members.is_empty()
    }

    /// Is anything alive?
    pub fn is_alive(&mut self, children: &Children) -> bool {
        !self.members(&children.table()).is_empty()
    }

    /// SIGKILL until nothing is left; false if something will not go.
    pub fn kill(&mut self, children: &Children) -> bool {
        // Stopped first: who cannot fork cannot slip away between two looks, nor lose the parent that it is known by.
        for _ in 0..LOOKS {
            let seen = self.seen.len();
            if !self.signal(children, Signal::STOP) || self.seen.len() == seen {
                break;
            }
        }
        until_gone(|| {
            children.orphans();
            !self.signal(children, Signal::KILL)
        })
    }

    /// All that belong to the build and are not dead.
    fn members(&mut self, table: &Table) -> Vec<Process> {
        let own = getpid().as_raw_nonzero().get();
        let is_root = |Marked { process, marks }: &&Marked| {
            process.pid != own
                && (self.seen.get(&process.pid) == Some(&process.start) || marks.contains(&self.mark))
        };
        let roots = table.processes.iter().filter(is_root).map(|marked| marked.process).collect();
        let members = with_descendants(roots, &table.processes);
        self.seen.extend(members.iter().map(|process| (process.pid, process.start)));
        members
    }
}

/// `roots` and all their descendants.
fn with_descendants(roots: Vec<Process>, all: &[Marked]) -> Vec<Process> {
    let mut below: HashMap<i32, Vec<Process>> = HashMap::new();
    for Marked { process, .. } in all {
        below.entry(process.parent).or_default().push(*process);
    }
    let mut found = HashMap::new();
    let mut next = roots;
    while let Some(process) = next.pop() {
        if found.insert(process.pid, process).is_none() {
            next.extend(below.get(&process.pid).into_iter().flatten());
        }
    }
    found.into_values().collect()
}

fn until_gone(mut gone: impl FnMut() -> bool) -> bool {
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

fn signal(pid: i32, what: Signal) {
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

/// Every process that is not dead, with its marks.
fn marked_processes() -> Vec<Marked> {
    let is_mark = |variable: &Vec<u8>| {
        variable.strip_prefix(MARK.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    };
    let marks = |pid| proc_table::environment(pid).into_iter().filter(is_mark).collect();
    proc_table::processes().into_iter().map(|process| Marked { process, marks: marks(process.pid) }).collect()
}
