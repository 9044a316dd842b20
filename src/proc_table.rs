//! The kernel's table of processes, as proc(5) shows it.

use std::{
    fs,
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::LazyLock,
};

/// One process that is not dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// When it was started, in ticks since boot. With its number it is never reused.
    pub start: u64,
}

/// Every process that is not dead.
pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(process).collect()
}

/// One of them; none for the dead, zombies included.
pub fn process(pid: i32) -> Option<Process> {
    let (process, state) = stat(pid)?;
    (!matches!(state, 'Z' | 'X')).then_some(process)
}

/// The parent of one, which may be dead as long as nobody has waited for it.
pub fn parent(pid: i32) -> Option<i32> {
    Some(stat(pid)?.0.parent)
}

/// When one was started, which may be dead as long as nobody has waited for it.
pub fn start(pid: i32) -> Option<u64> {
    Some(stat(pid)?.0.start)
}

/// Has a signal stopped it?
pub fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|(_, state)| state == 'T')
}

/// The name of the program that it runs, as far as the kernel keeps it.
pub fn name(pid: i32) -> Option<Vec<u8>> {
    read(format!("/proc/{pid}/comm")).ok()
}

/// One of them, and the letter of its state.
fn stat(pid: i32) -> Option<(Process, char)> {
    let line = read(format!("/proc/{pid}/stat")).ok()?;
    let line = String::from_utf8_lossy(&line);
    // The name is in parentheses and may hold anything, parentheses too.
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // The 22nd of all.
    let start = fields.nth(16)?.parse().ok()?;
    Some((Process { pid, parent, group, start }, state))
}

/// The children of a process, dead ones included; none where the kernel does not list them, or a thread ended
/// meanwhile (its children go to another thread, which may have been asked already).
pub fn children(pid: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        children.extend(children_of_thread(&thread.ok()?.path())?);
    }
    Some(children)
}

/// Those of them that were left to it by their parents, and what its first thread has started: what is left to a process
/// goes to the first of its threads that lives (`find_new_reaper` in the kernel's `kernel/exit.c`). None where the kernel
/// does not list them.
pub fn left_to(pid: i32) -> Option<Vec<i32>> {
    children_of_thread(Path::new(&format!("/proc/{pid}/task/{pid}")))
}

fn children_of_thread(thread: &Path) -> Option<Vec<i32>> {
    let pids = String::from_utf8(read(thread.join("children")).ok()?).ok()?;
    Some(pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// The words that a process was started with; none if it is gone or not ours to look at.
pub fn command_line(pid: i32) -> Vec<Vec<u8>> {
    words(pid, "cmdline")
}

/// The variables, `NAME=value`, that a process was started with; none if it is gone or not ours to look at.
pub fn environment(pid: i32) -> Vec<Vec<u8>> {
    words(pid, "environ")
}

/// Does it live, with an environment that is not ours to look at?
pub fn hides(pid: i32) -> bool {
    fs::File::open(format!("/proc/{pid}/environ"))
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Whose rights it has; none if it is gone.
pub fn user(pid: i32) -> Option<u32> {
    Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid())
}

/// This boot's own id (random(4)): with it a time in ticks since boot is one moment.
pub fn boot_id() -> &'static str {
    static BOOT_ID: LazyLock<String> = LazyLock::new(|| {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim_end().to_string()
    });
    &BOOT_ID
}

fn words(pid: i32, file: &str) -> Vec<Vec<u8>> {
    let bytes = read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// One of the kernel's files, which tell no length: std would feel its way.
fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 << 10);
    fs::File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio, id};

    use super::*;

    #[test]
    fn a_child_is_found_with_its_words_and_variables_until_it_is_dead() {
        let own = id().cast_signed();
        // It ends with us, however we end.
        let mut cat = Command::new("cat");
        let mut child = cat.arg("-").env("PROC_TABLE", "x").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id().cast_signed();
        assert_eq!(process(pid).unwrap().parent, own);
        assert!(processes().contains(&process(pid).unwrap()));
        // The threads of other tests come and go.
        while !children(own).is_some_and(|children| children.contains(&pid)) {
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::yield_now();
        }
        // Its parent goes on a moment before the kernel shows the new program's words (execve(2) after vfork(2)).
        let words = [b"cat".to_vec(), b"-".to_vec()];
        while command_line(pid) != words || !environment(pid).contains(&b"PROC_TABLE=x".to_vec()) {
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process(pid), None);
    }
}
