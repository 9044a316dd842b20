//! The pid file: the daemon's number while it runs.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use rustix::fs::OFlags;

use crate::{error_chain::at, regular_file};

/// A pid file of ours, removed with this value.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes `path`, unless it holds the number of a process that lives.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Ok(text) = read(path)
            && let Ok(pid) = text.trim().parse::<u32>()
            && pid != process::id()
            && Path::new("/proc").join(pid.to_string()).exists()
        {
            let found = "pid file found, ensure webhookd is not running or delete the pid file";
            return Err(at(path.display())(io::Error::other(found)));
        }
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(at(path.display()))?;
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            // It may be a FIFO, and nobody is at its other end.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(at(path.display()))?;
        file.write_all(process::id().to_string().as_bytes()).map_err(at(path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A second daemon may have taken the name meanwhile, in spite of everything: its file stays.
        let own = process::id().to_string();
        if read(&self.0).is_ok_and(|text| text.trim() == own) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // No number is longer.
    regular_file::open_through_links(path)?.take(64).read_to_string(&mut text)?;
    Ok(text)
}
