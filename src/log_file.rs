//! A log that other programs may rotate: lines go to the end of the file that has the name now.

use std::{
    fs::{File, Metadata},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::{fs::OFlags, io::ioctl_fionbio};
use tracing_subscriber::fmt::MakeWriter;

/// The file and its name.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    opened: Mutex<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    identity: (u64, u64),
}

impl LogFile {
    /// Opens the file, and makes it if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), opened: Mutex::new(append_to(path)?) })
    }

    /// Opens the file of that name again: the old one may have been moved away.
    pub fn reopen(&self) -> io::Result<()> {
        let fresh = append_to(&self.path)?;
        *self.opened() = fresh;
        Ok(())
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_moved(&self) -> bool {
        self.path.metadata().map_or(true, |named| identity(&named) != self.opened().identity)
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn append_to(path: &Path) -> io::Result<Opened> {
    let mut options = fs_err::OpenOptions::new();
    // A FIFO that nobody reads is an error, and no reason to wait.
    options.append(true).create(true).mode(0o640).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?.into_file();
    ioctl_fionbio(&file, false)?;
    Ok(Opened { identity: identity(&file.metadata()?), file })
}

/// Writes whole lines; the next one after a rename goes to a new file.
#[derive(Debug)]
pub struct LogWriter<'a>(MutexGuard<'a, Opened>);

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> LogWriter<'a> {
        if self.is_moved() {
            // Else the lines go on into the old one.
            let _ = self.reopen();
        }
        LogWriter(self.opened())
    }
}

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_rename_or_a_removal_lines_go_to_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("x.log"), dir.path().join("x.log.1"));
        let log = LogFile::open(&path).unwrap();
        let say = |line: &[u8]| log.make_writer().write_all(line).unwrap();
        say(b"1\n");
        fs_err::rename(&path, &old).unwrap();
        say(b"2\n");
        assert_eq!([fs_err::read(&old).unwrap(), fs_err::read(&path).unwrap()], [b"1\n", b"2\n"]);
        fs_err::remove_file(&path).unwrap();
        say(b"3\n");
        assert_eq!(fs_err::read(&path).unwrap(), b"3\n");
    }
}
