//! Writing a file so that a reader sees the old or the new one, and a power cut leaves one of them.

use std::{
    fs::{DirBuilder, File, Metadata},
    io::{self, ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::Duration,
};

use fs_err::os::unix::fs::OpenOptionsExt;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::{error_chain::at, regular_file};

/// Prefix of the temporary names; what carries it and is old was left by a writer that died.
pub const NEW_PREFIX: &str = ".new-";

/// Replaces `path` by a file with `bytes` and `mode` (less the umask): temporary file in the same
/// directory, fsync, rename. The rename itself is durable after [`sync_dir`].
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_after(path, bytes, mode, File::sync_all).map(drop)
}

/// The same for readers only: a power cut may leave an empty file, or the old one. Returns the new one.
pub fn replace_unsynced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    replace_after(path, bytes, mode, |_| Ok(()))
}

fn replace_after(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<File> {
    let write = || {
        let mut new = new_file(path.parent().unwrap_or(Path::new(".")), mode)?;
        new.write_all(bytes)?;
        sync(new.as_file().file())?;
        new.persist(path).map(fs_err::File::into_file).map_err(|error| error.error)
    };
    write().map_err(at(format_args!("cannot write {}", path.display())))
}

/// Writes a file that nobody reads before we go on, with `mode` (less the umask) if it is new; a crash may leave a part.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    regular_file::create(path, mode)?
        .write_all(bytes)
        .map_err(at(format_args!("cannot write {}", path.display())))
}

/// A new file in `dir` that nobody takes for a whole one, with `mode` (less the umask); removed when it is dropped.
pub fn new_file(dir: &Path, mode: u32) -> io::Result<NamedTempFile<fs_err::File>> {
    // Opened by us: tempfile's own errors do not keep their cause.
    tempfile::Builder::new().prefix(NEW_PREFIX).make_in(dir, |path| {
        fs_err::OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
    })
}

/// A value as the text of such a file, which people `cat`: JSON in one line. It has to be one that JSON can say.
pub fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("strings, numbers and times are JSON");
    line.push(b'\n');
    line
}

/// Makes `path` with `bytes` and `mode` (less the umask), whole and durable with its name. False, and nothing is changed,
/// if it is there already.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let make = || {
        let mut new = new_file(dir, mode)?;
        new.write_all(bytes)?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(path) {
            Ok(_) => sync_dir(dir).map(|()| true),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    };
    make().map_err(at(format_args!("cannot make {}", path.display())))
}

/// Removes a file; false if it is not there.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs_err::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes temporary files in a directory whose writers died more than an hour ago.
pub fn sweep(dir: &Path) {
    for entry in fs_err::read_dir(dir).into_iter().flatten().flatten() {
        let is_new = entry.file_name().to_string_lossy().starts_with(NEW_PREFIX);
        let is_old = |metadata: Metadata| {
            let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
            metadata.is_file() && age.is_some_and(|age| age > Duration::from_secs(3600))
        };
        if is_new && entry.metadata().is_ok_and(is_old) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fs_err::File::open(dir)?.sync_all()
}

/// Makes a directory with `mode` (less the umask), if it is not there, and its name durable.
pub fn create_dir(dir: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => sync_dir(dir.parent().unwrap_or(dir)),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(at(format_args!("cannot make {}", dir.display()))(error)),
    }
}
