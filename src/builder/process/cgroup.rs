//! A control group for each build, where a part of the hierarchy is left to us: whatever a process does to hide, it stays
//! in its group, and the kernel ends a group in one step.
//!
//! cgroups(7); the kernel's `admin-guide/cgroup-v2.rst`; systemd's `CGROUP_DELEGATION.md`. Where there is none, or it cannot
//! be used, nobody is told: what is known of processes by their marks and parents has to do.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::mounts::mounts;

/// What systemd marks a group with that it leaves to a service (`Delegate=yes`). All others are its own to divide, also
/// where root could.
const DELEGATED: &str = "user.delegate";

/// Where `build` itself goes: a group with processes of its own may not hand controllers down.
const OURS: &str = "drain";

/// Goes in and becomes the program. One that cannot go in is found as without a group.
const ENTER: &str = "{ echo $$ > \"$0\"; } 2> /dev/null; exec \"$@\"";

/// The part of the hierarchy that is left to us.
#[derive(Debug)]
pub struct Hierarchy {
    dir: PathBuf,
}

/// A build's group.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Hierarchy {
    /// None without cgroup v2, or if nothing is left to us.
    pub fn delegated() -> Option<Self> {
        let own = own_group()?;
        // We may be the successor of a `build` that has stepped aside.
        let dir = [own.as_path(), own.parent()?].into_iter().find(|dir| is_delegated(dir))?;
        let ours = make(dir.join(OURS))?;
        fs::write(ours.join("cgroup.procs"), "0").ok()?;
        let knows_memory = fs::write(dir.join("cgroup.subtree_control"), "+memory").is_ok();
        let memory = if knows_memory {
            ""
        } else {
            "; what is killed for memory cannot be told, without its controller"
        };
        tracing::info!("each build has a cgroup of its own in {}{memory}", dir.display());
        Some(Self { dir: dir.to_path_buf() })
    }

    /// One with this name.
    pub fn group(&self, name: &str) -> Option<Cgroup> {
        let dir = make(self.dir.join(name))?;
        // A build of which the kernel had to end a part is no build any more.
        let _ = fs::write(dir.join("memory.oom.group"), "1");
        Some(Cgroup(dir))
    }

    /// Those that there are with names that begin so.
    pub fn groups(&self, prefix: &str) -> Vec<Cgroup> {
        let is_meant =
            |dir: &PathBuf| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        below(&self.dir).into_iter().filter(is_meant).map(Cgroup).collect()
    }
}

impl Cgroup {
    /// What starts a program in it: goes before the program's own words.
    pub fn enter(&self) -> [OsString; 4] {
        // Privileged mode reads no BASH_ENV.
        ["/bin/bash".into(), "-pc".into(), ENTER.into(), self.0.join("cgroup.procs").into()]
    }

    /// The numbers of all processes in it and below.
    pub fn processes(&self) -> HashSet<i32> {
        let mut processes = HashSet::new();
        for dir in self.tree() {
            let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            processes.extend(pids.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        processes
    }

    /// SIGKILL to all of them in one step.
    pub fn kill(&self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Has the kernel killed any of them because memory had run out?
    pub fn ran_out_of_memory(&self) -> bool {
        counts_a_kill(&fs::read_to_string(self.0.join("memory.events")).unwrap_or_default())
    }

    /// Removes it with those below; false as long as anything in them is alive.
    pub fn remove(&self) -> bool {
        for dir in self.tree().iter().rev() {
            let _ = fs::remove_dir(dir);
        }
        !self.0.exists()
    }

    /// It and those that a build has made below, each after the one it is in.
    fn tree(&self) -> Vec<PathBuf> {
        let mut tree = vec![self.0.clone()];
        let mut next = 0;
        while let Some(dir) = tree.get(next) {
            tree.extend(below(dir));
            next += 1;
        }
        tree
    }
}

/// Where we are.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    // Version 2 is the one without number and controllers.
    let group = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts().into_iter().filter(|mount| mount.kind == b"cgroup2").find_map(|mount| {
        // Of a container only a part of the hierarchy may be mounted.
        Some(mount.point.join(group.strip_prefix(&mount.root).ok()?))
    })
}

fn is_delegated(dir: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(dir, DELEGATED, &mut value).is_ok_and(|length| value[..length] == *b"1")
}

fn make(dir: PathBuf) -> Option<PathBuf> {
    match fs::create_dir(&dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => None,
        _ => Some(dir),
    }
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// `memory.events`: a line for each counter. `oom_group_kill` is not counted by kernels before 5.17.
fn counts_a_kill(events: &str) -> bool {
    events
        .lines()
        .filter_map(|line| line.split_once(' '))
        .any(|(name, count)| matches!(name, "oom_kill" | "oom_group_kill") && count.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::counts_a_kill;

    #[test]
    fn a_limit_that_was_reached_is_no_kill() {
        assert!(!counts_a_kill("low 0\nhigh 7\nmax 40\noom 2\noom_kill 0\noom_group_kill 0\n"));
        assert!(counts_a_kill("low 0\nhigh 0\nmax 40\noom 2\noom_kill 3\n"));
        assert!(counts_a_kill("max 1\noom 1\noom_kill 0\noom_group_kill 1\n"));
        assert!(!counts_a_kill(""));
    }
}
