//! A build's output as letters and build.log show it: what a terminal would show at the end, its head and its tail.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
};

use super::Record;
use crate::{host, terminal_text::plain};

/// Output of up to this many bytes is shown whole.
const CAP: u64 = 200_000;

/// Of longer output, the head that is shown; the rest of the cap is its tail, where the error is.
const HEAD: u64 = 40_000;

/// Reads the excerpt; empty if there is no output.
pub fn read(record: &Record) -> io::Result<String> {
    let file = match fs_err::File::open(record.output()) {
        Ok(file) => file.into_file(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length <= CAP {
        return Ok(plain(&piece(&file, 0, length)?));
    }
    let tail = CAP - HEAD;
    Ok(format!(
        "{}\n[... {} bytes are left out here; the whole log is {} on {} ...]\n{}",
        plain(&piece(&file, 0, HEAD)?),
        length - CAP,
        record.output().display(),
        host::name(),
        plain(&piece(&file, length - tail, tail)?)
    ))
}

fn piece(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}
