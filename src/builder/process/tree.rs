//! The processes of a build, wherever they went, and their end.
//!
//! A process is a build's if it is in the build's cgroup, where it has one, if its environment carries the build's mark,
//! if it descends from the build's bash or from such a process, or if it was seen to before. `build` is a child subreaper,
//! so whatever loses its parent becomes its child: when `build` has no children but the scripts it started, nothing is left.

use std::collections::{HashMap, HashSet};

use rustix::process::{Pid, Signal, getpid, kill_process_group};

use super::{
    cgroup::Cgroup,
    mark::{MARK, Marked},
    supervisor::{Supervisor, signal, until_gone},
};
use crate::proc_table::{self, Process};

/// So often new processes are looked for before those that are known are ended.
const LOOKS: usize = 20;

/// The processes of one build.
#[derive(Debug)]
pub struct Tree {
    mark: Vec<u8>,
    /// Roots and members seen before: process number and start time, which together are never reused.
    seen: HashMap<i32, u64>,
    cgroup: Option<Cgroup>,
}

impl Tree {
    /// The processes with this mark, those in the cgroup, and `root` (not yet waited for) with its descendants.
    pub fn new(mark: &str, root: Option<i32>, cgroup: Option<Cgroup>) -> Self {
        let seen = root.and_then(|root| Some((root, proc_table::process(root)?.start))).into_iter().collect();
        Self { mark: format!("{MARK}={mark}").into_bytes(), seen, cgroup }
    }

    /// Sends a signal to all that are alive; says whether there are any.
    pub fn signal(&mut self, supervisor: &Supervisor, what: Signal) -> bool {
        let members = self.members(&supervisor.processes());
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
    pub fn is_alive(&mut self, supervisor: &Supervisor) -> bool {
        !self.members(&supervisor.processes()).is_empty()
    }

    /// Has the kernel killed any of it because memory had run out? Only a cgroup can tell.
    pub fn ran_out_of_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::ran_out_of_memory)
    }

    /// When the root has been waited for: SIGKILL until nothing is left, nor its cgroup; false if something will not go.
    pub fn end(&mut self, supervisor: &Supervisor) -> bool {
        // All that stayed where it was put goes in one step, whatever it did to hide.
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        // Whoever lost its parent has become our child. No such child: nothing to walk.
        let is_over = supervisor.orphans().is_empty() || self.kill(supervisor);
        is_over && self.cgroup.take().is_none_or(|cgroup| until_gone(|| cgroup.remove()))
    }

    /// SIGKILL until nothing is left; false if something will not go.
    pub fn kill(&mut self, supervisor: &Supervisor) -> bool {
        // Stopped first: who cannot fork cannot slip away between two looks, nor lose the parent that it is known by.
        for _ in 0..LOOKS {
            let seen = self.seen.len();
            if !self.signal(supervisor, Signal::STOP) || self.seen.len() == seen {
                break;
            }
        }
        until_gone(|| {
            supervisor.orphans();
            !self.signal(supervisor, Signal::KILL)
        })
    }

    /// All that belong to the build and are not dead.
    fn members(&mut self, processes: &[Marked]) -> Vec<Process> {
        let own = getpid().as_raw_nonzero().get();
        let inside = self.cgroup.as_ref().map(Cgroup::processes).unwrap_or_default();
        let is_root = |Marked { process, marks }: &&Marked| {
            process.pid != own
                && (inside.contains(&process.pid)
                    || self.seen.get(&process.pid) == Some(&process.start)
                    || marks.contains(&self.mark))
        };
        let roots = processes.iter().filter(is_root).map(|marked| marked.process).collect();
        let members = with_descendants(roots, processes);
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
