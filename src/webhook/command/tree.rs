//! A command and what it has started, when it has to be ended: its process group, and whatever descends from
//! it in groups of its own, as far as it was seen before its parent was gone.

use std::{fs, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

/// A tree that is being ended.
#[derive(Debug)]
pub struct Tree {
    group: Pid,
    /// Descendants, held by descriptors: a number could be somebody else's by the time it is signalled.
    seen: Vec<(Pid, OwnedFd)>,
}

impl Tree {
    /// The tree of the command that leads the process group `group`.
    pub fn of(group: Pid) -> Self {
        Self { group, seen: Vec::new() }
    }

    /// Signals everything there is now.
    pub fn signal(&mut self, signal: Signal) {
        self.look();
        let _ = kill_process_group(self.group, signal);
        for (_, process) in &self.seen {
            let _ = pidfd_send_signal(process, signal);
        }
    }

    fn look(&mut self) {
        let mut parents: Vec<Pid> = self.seen.iter().map(|(pid, _)| *pid).chain([self.group]).collect();
        while let Some(parent) = parents.pop() {
            for child in children(parent) {
                if self.seen.iter().all(|(pid, _)| *pid != child)
                    && let Ok(process) = pidfd_open(child, PidfdFlags::empty())
                {
                    self.seen.push((child, process));
                    parents.push(child);
                }
            }
        }
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .filter_map(Pid::from_raw)
        .collect()
}
