//! The files in the queue that kernel locks are taken on. Only their owner may open one: a lock needs no more than
//! an open file, and whoever holds it holds everybody up (flock(2)).

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, OFlags, fcntl_getfl, flock},
    io::{Errno, retry_on_intr},
};

use crate::{
    error_chain::at,
    regular_file::{self, Opened},
};

const MODE: u32 = 0o600;

/// Opens a lock file, making it if it is not there. Its mode is mended; what stands under its name and is no file
/// is moved aside, to `NAME.strange-PID`. On a read-only disk it is opened for reading: a lock needs no more.
pub fn open(path: &Path) -> io::Result<File> {
    loop {
        let opened = regular_file::open_with(
            path,
            File::options().read(true).write(true).create(true).truncate(false).mode(MODE),
        );
        match opened {
            Ok(Opened::File(file)) => {
                if file.metadata()?.mode() & 0o777 != MODE {
                    // Not ours to mend: then it has to serve as it is.
                    let _ = file.set_permissions(Permissions::from_mode(MODE));
                }
                return Ok(file);
            }
            // It would have been made: what is not there is its directory.
            Ok(Opened::Missing) => {
                let dir = path.parent().unwrap_or(path).display();
                return Err(at(format_args!("there is no {dir}"))(ErrorKind::NotFound.into()));
            }
            Ok(Opened::NotAFile) => move_aside(path)?,
            Err(error) => {
                return match regular_file::open(path) {
                    Ok(Opened::File(file)) => Ok(file),
                    _ => Err(error),
                };
            }
        }
    }
}

/// The same for one that is written to: if it is somebody else's (root has been at work here), it makes room, as its
/// directory is ours.
pub fn open_to_write(path: &Path) -> io::Result<File> {
    let opened = open(path);
    let is_foreign = match &opened {
        Ok(file) => !fcntl_getfl(file)?.contains(OFlags::RDWR),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    };
    if is_foreign && move_aside(path).is_ok() { open(path) } else { opened }
}

/// Takes the lock if nobody has it; false if somebody does.
pub fn try_lock(file: &File) -> io::Result<bool> {
    try_to(file, FlockOperation::NonBlockingLockExclusive)
}

/// Takes it beside others that share it; false if somebody has it alone.
pub fn try_lock_shared(file: &File) -> io::Result<bool> {
    try_to(file, FlockOperation::NonBlockingLockShared)
}

fn try_to(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match retry_on_intr(|| flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the lock, at most for `limit`; false if that is over.
pub fn lock_within(file: &File, limit: Duration) -> io::Result<bool> {
    lock_while(file, limit, || true)
}

/// The same, as long as this holds.
pub fn lock_while(file: &File, limit: Duration, goes_on: impl Fn() -> bool) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(100);
    while !try_lock(file)? {
        if Instant::now() > deadline || !goes_on() {
            return Ok(false);
        }
        // flock(2) knows no limit of time.
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    Ok(true)
}

/// The process that has taken the lock on a file, by /proc/locks (proc(5)): `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE ...`.
pub fn holder(path: &Path) -> Option<i32> {
    let file = path.symlink_metadata().ok()?;
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&&*file)).then(|| fields[4].parse().ok())?
    })
}

/// Is the file that was opened still the one of that name? A lock on one that was removed keeps nobody out.
pub fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(opened), Ok(named)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (opened.dev(), opened.ino()) == (named.dev(), named.ino())
}

/// What is of no use makes room, and is kept as `NAME.strange-PID`.
pub fn move_aside(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".strange-{}", std::process::id()));
    match fs::rename(path, path.with_file_name(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(at(format_args!("{} is of no use, and cannot be moved aside", path.display()))(error))
        }
        _ => Ok(()),
    }
}
