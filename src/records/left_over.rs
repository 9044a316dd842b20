//! `queue/left-over.json`: what builds have left that could not be ended or removed, as a process of root's is for any other
//! account. No build waits for it but those that it is of. Whoever removes the file lets these go on beside it.

use std::{io, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    durable,
    home::Home,
    proc_table::{self, Process},
    queue::EntryId,
    regular_file,
    text::printable,
};

/// The file's name in `queue/`.
pub const FILE_NAME: &str = "left-over.json";

const MODE: u32 = 0o640;

/// All that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOver {
    /// Those that do not end.
    pub processes: Vec<LeftProcess>,
    /// Directories of builds that are over, with what only another account may remove.
    pub workspaces: Vec<PathBuf>,
}

/// A process that does not end on SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    /// Whose it is: one of these. None if it cannot be known.
    pub builds: Vec<EntryId>,
    /// Its number.
    pub pid: i32,
    /// When it was started, in ticks since the boot of this id. With its number it is never another.
    pub start: u64,
    /// That id.
    pub boot: String,
    /// Whose rights it has.
    pub user: Option<u32>,
    /// Its words, for people.
    pub command: String,
    /// Since when it is known.
    pub since: Timestamp,
}

impl LeftProcess {
    /// As it is seen now.
    pub fn new(builds: Vec<EntryId>, Process { pid, start, .. }: Process) -> Self {
        let words = proc_table::command_line(pid).join(&b' ');
        Self {
            builds,
            pid,
            start,
            boot: proc_table::boot_id().to_string(),
            user: proc_table::user(pid),
            command: printable(&String::from_utf8_lossy(&words)).to_string(),
            since: Timestamp::now(),
        }
    }

    /// Is it there still?
    pub fn is_alive(&self) -> bool {
        self.boot == proc_table::boot_id()
            && proc_table::process(self.pid).is_some_and(|process| process.start == self.start)
    }
}

impl LeftOver {
    /// What is left now. What cannot be read keeps nobody waiting.
    pub fn of(home: &Home) -> Self {
        let mut left: Self = regular_file::json(&home.queue().join(FILE_NAME)).unwrap_or_default();
        left.processes.retain(LeftProcess::is_alive);
        left.workspaces.retain(|path| path.symlink_metadata().is_ok());
        left
    }

    /// Nothing?
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.workspaces.is_empty()
    }

    /// Would this build run beside itself?
    pub fn is_of(&self, id: &EntryId) -> bool {
        self.processes.iter().any(|process| process.builds.contains(id))
    }

    /// One more, or one that may be of this build's, too; false if it was known.
    pub fn add(&mut self, new: LeftProcess) -> bool {
        let mut known = self.processes.iter_mut();
        let Some(known) = known.find(|known| (known.pid, known.start) == (new.pid, new.start)) else {
            self.processes.push(new);
            return true;
        };
        let others = new.builds.into_iter().filter(|id| !known.builds.contains(id));
        let others: Vec<EntryId> = others.collect();
        known.builds.extend(others);
        false
    }

    /// Replaces the file, or removes it if nothing is left. Not synced: a power cut ends processes.
    pub fn store(&self, home: &Home) -> io::Result<()> {
        let path = home.queue().join(FILE_NAME);
        if self.is_empty() {
            durable::remove(&path).map(drop)
        } else {
            durable::replace_unsynced(&path, &durable::json_line(self), MODE).map(drop)
        }
    }

    /// A line for each: what it is, and what to do.
    pub fn lines(&self) -> Vec<String> {
        let processes = self.processes.iter().map(|LeftProcess { builds, pid, user, command, .. }| {
            let whose = match &builds[..] {
                [] => "a build".to_string(),
                ids => ids.iter().map(EntryId::as_str).collect::<Vec<_>>().join(" or "),
            };
            let user = user.map_or("another account".to_string(), |user| format!("user {user}"));
            format!(
                "process {pid} of {whose} does not end on SIGKILL ({user}: {command}): end it as that account; \
                 until then this build is not tried again, unless you remove queue/{FILE_NAME}"
            )
        });
        let workspaces = self.workspaces.iter().map(|path| {
            format!(
                "{} is left of a build that is over, and could not be removed: see whose files are in it, then remove it",
                path.display()
            )
        });
        processes.chain(workspaces).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::process::id;

    use super::*;

    #[test]
    fn one_that_lives_is_known_by_number_start_and_boot() {
        let build = EntryId::parse("1.5").unwrap();
        let ours = proc_table::process(id().cast_signed()).unwrap();
        let left = LeftProcess::new(vec![build.clone()], ours);
        assert!(left.is_alive());
        assert!(!LeftProcess { start: left.start + 1, ..left.clone() }.is_alive());
        assert!(!LeftProcess { boot: String::new(), ..left.clone() }.is_alive());
        let mut all = LeftOver::default();
        assert!(all.add(LeftProcess { builds: Vec::new(), ..left.clone() }));
        assert!(!all.is_of(&build));
        assert!(!all.add(left.clone()) && !all.add(left.clone()));
        assert_eq!(all.processes, [left]);
        assert!(all.is_of(&build));
    }
}
