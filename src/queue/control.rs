//! What people tell the drain by files in the queue.

use std::{
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::{durable, error_chain::at, regular_file};

/// Has somebody made the file `hold`?
pub fn is_held(queue: &Path) -> bool {
    path(queue).symlink_metadata().is_ok()
}

/// Makes it, whole and durable, with this line in it. False, and nothing is changed, if there is one already.
pub fn hold(queue: &Path, line: &str) -> io::Result<bool> {
    let mut new = durable::new_file(queue, 0o640).map_err(at("queue/: cannot make a file in it"))?;
    let written = writeln!(new, "{line}").and_then(|()| new.as_file().sync_all());
    written.map_err(at("queue/: cannot write a file"))?;
    match new.persist_noclobber(path(queue)) {
        Ok(_) => durable::sync_dir(queue).map(|()| true),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(at("queue/hold: cannot be made")(error.error)),
    }
}

/// What the file says, in one text without its last line end; empty if somebody has only touched it.
pub fn said(queue: &Path) -> io::Result<Option<String>> {
    let bytes = regular_file::read(&path(queue))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_string()))
}

/// Removes it; false if there was none.
pub fn unhold(queue: &Path) -> io::Result<bool> {
    match fs_err::remove_file(path(queue)) {
        Ok(()) => durable::sync_dir(queue).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn path(queue: &Path) -> PathBuf {
    queue.join("hold")
}
