//! A build's output as letters and build.log show it: what a terminal would show at the end, its head and its tail.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::{
    host,
    regular_file::{self, Opened},
    terminal_text::plain,
};

/// Output of up to this many bytes is shown whole.
const CAP: u64 = 200_000;

/// Of longer output, the head that is shown; the rest of the cap is its tail, where the error is.
const HEAD: u64 = 40_000;

/// The excerpt of the file at `path`; empty if there is none.
pub fn read(path: &Path) -> io::Result<String> {
    match regular_file::open(path)? {
        Opened::File(file) => of(&file, path),
        Opened::Missing => Ok(String::new()),
        Opened::NotAFile => Ok(format!("[{} is no file]\n", path.display())),
    }
}

/// The excerpt of an open file, which says that all is in `path`.
pub fn of(file: &File, path: &Path) -> io::Result<String> {
    let length = file.metadata()?.len();
    if length <= CAP {
        return Ok(plain(&piece(file, 0, length)?));
    }
    let tail = CAP - HEAD;
    Ok(format!(
        "{}\n[... {} bytes are left out here; the whole log is {} on {} ...]\n{}",
        plain(&piece(file, 0, HEAD)?),
        length - CAP,
        path.display(),
        host::name(),
        plain(&piece(file, length - tail, tail)?)
    ))
}

fn piece(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}
