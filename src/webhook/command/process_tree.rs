//! A command and what it has started, when it has to be ended: its process group, and whatever descends from
//! it in groups of its own, as far as it was seen before its parent was gone.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::proc_table;

/// A tree that is being ended.
#[derive(Debug)]
pub struct ProcessTree {
    group: Pid,
    /// Descendants, held by descriptors: a number could be somebody else's by the time it is signalled.
    seen: Vec<(Pid, OwnedFd)>,
}

impl ProcessTree {
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
            // Again if a thread of it ended meanwhile.
            let children = (0..3).find_map(|_| proc_table::children(parent.as_raw_pid()));
            let children = children.unwrap_or_default();
            for child in children.into_iter().filter_map(Pid::from_raw) {
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
