//! The processes of a build, wherever they went, and their end.
//!
//! A process is a build's if it is in the build's cgroup, where it has one, if its environment carries the build's mark,
//! if it descends from the build's bash or from such a process, or if it was seen to before. `build` is a child subreaper,
//! so whatever loses its parent becomes its child: when `build` has no children but the scripts it started, nothing is left.
//! Of another account's processes (sudo, a setuid program) the mark cannot be read: after a death of `build` the script's
//! process group tells.

use std::collections::{HashMap, HashSet};

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpid, kill_process_group, test_kill_process},
};

use super::{
    cgroup::Cgroup,
    mark::{MARK, Marked},
    supervisor::{Met, Supervisor, signal, until_gone},
};
use crate::proc_table::Process;

/// So often new processes are looked for before those that are known are ended.
const LOOKS: usize = 20;

/// The processes of one build.
#[derive(Debug)]
pub struct Tree {
    mark: String,
    /// The variable that its processes carry.
    variable: Vec<u8>,
    /// Its script: number and start, in this boot.
    script: Option<(i32, u64)>,
    /// Roots and members seen before: process number and start time, which together are never reused.
    seen: HashMap<i32, u64>,
    cgroup: Option<Cgroup>,
}

impl Tree {
    /// The processes with this mark, those in the cgroup, and its script, by number and start, with its descendants.
    pub fn new(mark: &str, script: Option<(i32, u64)>, cgroup: Option<Cgroup>) -> Self {
        let variable = format!("{MARK}={mark}").into_bytes();
        Self { mark: mark.to_string(), variable, script, seen: script.into_iter().collect(), cgroup }
    }

    /// What a dead `build` left. By its number and start alone its script is not ended: the record may be a copy.
    pub fn left(mark: &str, script: Option<(i32, u64)>) -> Self {
        Self { seen: HashMap::new(), ..Self::new(mark, script, None) }
    }

    /// When the script was started, in ticks since boot.
    pub fn start(&self) -> Option<u64> {
        self.script.map(|(_, start)| start)
    }

    /// Sends a signal to all that are alive; says how many there are.
    pub fn signal(&mut self, supervisor: &Supervisor, what: Signal) -> Met {
        let members = self.members(supervisor);
        let pids: HashSet<i32> = members.iter().map(|process| process.pid).collect();
        // Whole groups first: the kernel signals a group in one step, which a forking process cannot outrun.
        let groups: HashSet<i32> =
            members.iter().map(|process| process.group).filter(|group| pids.contains(group)).collect();
        for group in groups.iter().filter_map(|group| Pid::from_raw(*group)) {
            let _ = kill_process_group(group, what);
        }
        let mut met = Met { alive: members.len(), refusing: 0 };
        for Process { pid, group, .. } in members {
            let heeds = if groups.contains(&group) { may_signal(pid) } else { signal(pid, what) };
            met.refusing += usize::from(!heeds);
        }
        met
    }

    /// Is anything alive?
    pub fn is_alive(&mut self, supervisor: &Supervisor) -> bool {
        !self.members(supervisor).is_empty()
    }

    /// Has the kernel killed any of it because memory had run out? Only a cgroup can tell.
    pub fn ran_out_of_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::ran_out_of_memory)
    }

    /// When the script has been waited for: SIGKILL until nothing is left, nor its cgroup. What will not go is given up.
    pub fn end(&mut self, supervisor: &Supervisor) {
        // All that stayed where it was put goes in one step, whatever it did to hide, and whose ever it is.
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        // Whoever lost its parent has become our child. No such child: nothing to walk.
        if !supervisor.orphans().is_empty() {
            self.kill(supervisor);
            supervisor.note_refusing(&self.mark, self.start().unwrap_or_default());
        }
        if let Some(cgroup) = self.cgroup.take() {
            supervisor.remove(&cgroup);
        }
    }

    /// SIGKILL until nothing is left. What will not go is given up.
    pub fn kill(&mut self, supervisor: &Supervisor) {
        // Stopped first: who cannot fork cannot slip away between two looks, nor lose the parent that it is known by.
        for _ in 0..LOOKS {
            let seen = self.seen.len();
            if self.signal(supervisor, Signal::STOP).alive == 0 || self.seen.len() == seen {
                break;
            }
        }
        let are_gone = until_gone(|| {
            supervisor.orphans();
            self.signal(supervisor, Signal::KILL)
        });
        if !are_gone {
            let members = self.members(supervisor);
            supervisor.give_up(Some(&self.mark), members);
        }
    }

    /// All that belong to the build, are not dead, and have not been given up.
    fn members(&mut self, supervisor: &Supervisor) -> Vec<Process> {
        let processes = &*supervisor.processes();
        let own = getpid().as_raw_nonzero().get();
        let inside = self.cgroup.as_ref().map(Cgroup::processes).unwrap_or_default();
        let group = self.script.map(|(script, _)| script).filter(|_| self.group_is_its_own(processes));
        let is_root = |Marked { process, marks, hides }: &&Marked| {
            process.pid != own
                && (inside.contains(&process.pid)
                    || self.seen.get(&process.pid) == Some(&process.start)
                    || marks.contains(&self.variable)
                    || *hides && Some(process.group) == group && !may_signal(process.pid))
        };
        let roots = processes.iter().filter(is_root).map(|marked| marked.process).collect();
        let mut members = with_descendants(roots, processes);
        self.seen.extend(members.iter().map(|process| (process.pid, process.start)));
        members.retain(|process| !supervisor.has_given_up(process.pid));
        members
    }

    /// A group keeps its number for itself as long as it has members. Is the script's still the script's?
    fn group_is_its_own(&self, processes: &[Marked]) -> bool {
        let leader = |(pid, start): (i32, u64)| {
            processes.iter().all(|Marked { process, .. }| process.pid != pid || process.start == start)
        };
        self.script.is_some_and(leader)
    }
}

fn may_signal(pid: i32) -> bool {
    Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid) != Err(Errno::PERM))
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
