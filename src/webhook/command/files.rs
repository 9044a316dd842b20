//! The temporary files that a command is given, there from just before it starts until it is over.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::{Builder, TempPath};
use tracing::{info, warn};

use crate::webhook::{go::syscall::reason, request_id::RequestId};

/// A file, and the variable that names it. It is removed with this value at the latest.
#[derive(Debug)]
pub struct PassedFile {
    pub variable: String,
    /// The path as the command gets it: relative if the working directory is.
    pub path: PathBuf,
    file: TempPath,
}

/// Writes `files`. One that cannot be written is said and left out.
pub fn write(files: Vec<(String, Vec<u8>)>, working_directory: &str, id: &RequestId) -> Vec<PassedFile> {
    let dir = match working_directory {
        "" => std::env::temp_dir(),
        dir => PathBuf::from(dir),
    };
    let written = files.into_iter().map(|(variable, contents)| {
        let (path, file) = create(&dir, &variable)
            .inspect_err(|error| warn!(request = %id, "error creating temp file [{error}]"))
            .ok()?;
        info!(request = %id, "writing env {variable} file {}", path.display());
        let (mut file, kept) = file.into_parts();
        file.write_all(&contents)
            .inspect_err(|error| {
                warn!(request = %id, "error writing file {} [{}]", path.display(), reason(error));
            })
            .ok()?;
        Some(PassedFile { variable, path, file: kept })
    });
    written.flatten().collect()
}

/// A new file for its owner alone, called `name` and random digits, which replace the last `*` if there is one.
fn create(dir: &Path, name: &str) -> io::Result<(PathBuf, tempfile::NamedTempFile)> {
    if name.contains('/') {
        return Err(io::Error::other(format!("createtemp {name}: pattern contains path separator")));
    }
    let (prefix, suffix) = name.rsplit_once('*').unwrap_or((name, ""));
    loop {
        let digits = fastrand::u32(..).to_string();
        let name: OsString = format!("{prefix}{digits}{suffix}").into();
        match Builder::new().prefix(&name).rand_bytes(0).tempfile_in(dir) {
            Ok(file) => return Ok((dir.join(name), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes them, and says so.
pub fn remove(files: Vec<PassedFile>, id: &RequestId) {
    for PassedFile { path, file, .. } in files {
        info!(request = %id, "removing file {}", path.display());
        if let Err(error) = file.close() {
            warn!(request = %id, "error removing file {} [{error}]", path.display());
        }
    }
}
