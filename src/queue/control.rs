//! What people tell the drain by files in the queue.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{durable, regular_file};

/// Has somebody made the file `hold`?
pub fn is_held(queue: &Path) -> bool {
    path(queue).symlink_metadata().is_ok()
}

/// Makes it, whole and durable, with this line in it. False, and nothing is changed, if there is one already.
pub fn hold(queue: &Path, line: &str) -> io::Result<bool> {
    durable::create(&path(queue), format!("{line}\n").as_bytes(), 0o640)
}

/// What the file says, in one text without its last line end; empty if somebody has only touched it.
pub fn said(queue: &Path) -> io::Result<Option<String>> {
    let bytes = regular_file::read(&path(queue))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_string()))
}

/// Removes it; false if there was none.
pub fn unhold(queue: &Path) -> io::Result<bool> {
    let was_held = durable::remove(&path(queue))?;
    if was_held {
        durable::sync_dir(queue)?;
    }
    Ok(was_held)
}

fn path(queue: &Path) -> PathBuf {
    queue.join("hold")
}
