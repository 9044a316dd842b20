//! The Python original, which may still run beside us.

use std::{io, path::Path};

use crate::{proc_table, regular_file};

/// The Python original's `build.py` keeps its PID in `queue/lock`: while it lives, the queue is its own, and
/// nothing in it may be touched.
pub fn refuse_beside_the_original(queue: &Path) -> io::Result<()> {
    let lock = regular_file::read(&queue.join("lock")).ok().flatten().unwrap_or_default();
    let lock = String::from_utf8_lossy(&lock);
    let Some(pid) = lock.lines().next().and_then(|line| line.trim().parse().ok()) else {
        return Ok(());
    };
    let is_original = |word: &Vec<u8>| word == b"build.py" || word.ends_with(b"/build.py");
    if proc_table::command_line(pid).iter().any(is_original) {
        let what = format!(
            "queue/lock names process {pid}, a build.py that still runs: let it end, and take it out of the crontab"
        );
        return Err(io::Error::other(what));
    }
    Ok(())
}
