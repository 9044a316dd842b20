//! What lies in a directory that need not be there.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

/// Its entries; none if there is no such directory.
pub fn entries(dir: &Path) -> io::Result<impl Iterator<Item = io::Result<fs_err::DirEntry>>> {
    let entries = match fs_err::read_dir(dir) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(entries.into_iter().flatten())
}
