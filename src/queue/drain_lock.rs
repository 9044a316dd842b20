//! The right to take entries out of the queue: whoever holds a [`DrainLock`] is the only one.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::{
    fs::{CWD, RenameFlags},
    io::{Errno, retry_on_intr},
};

use super::{BuildRequest, EntryId, EntryState, lock_file, reading};
use crate::{durable, error_chain::at};

/// The drain lock: a kernel lock on `queue/.drain`, held until this value is dropped or the process dies.
///
/// Not inherited by children (the file is closed on exec), so a daemon that a build leaves behind cannot
/// hold it.
#[derive(Debug)]
pub struct DrainLock {
    dir: PathBuf,
    lock: File,
}

/// Room for the note in the lock file. Written once in full, so that a note finds room on a full disk.
const NOTE_ROOM: usize = 4096;

/// An entry that is claimed: `queue/build-<id>.lock`.
#[derive(Debug)]
pub struct Claimed {
    /// Its name.
    pub id: EntryId,
    /// What is asked for.
    pub request: BuildRequest,
    /// The entry byte for byte, unknown fields included.
    pub bytes: Vec<u8>,
}

/// Tells somebody that an entry is about to be in `bad/` under this name.
pub type Tell<'a> = dyn Fn(&str) -> io::Result<()> + 'a;

impl DrainLock {
    /// Takes the lock; none if somebody has it.
    pub fn lock(queue: &Path) -> io::Result<Option<Self>> {
        let path = queue.join(".drain");
        loop {
            let lock = lock_file::open(&path)?;
            if !lock_file::try_lock(&lock).map_err(at(format_args!("cannot lock {}", path.display())))? {
                return Ok(None);
            }
            let drain = Self { dir: queue.to_path_buf(), lock };
            // Removed between the two: the next one of that name is another lock.
            if drain.is_held() {
                if drain.lock.metadata()?.len() == 0 {
                    let _ = drain.set_note("");
                }
                return Ok(Some(drain));
            }
        }
    }

    /// The process that has taken it, if the kernel tells.
    pub fn holder(queue: &Path) -> Option<i32> {
        lock_file::holder(&queue.join(".drain"))
    }

    /// Makes room for a lock that nobody has.
    pub fn displace(queue: &Path) -> io::Result<()> {
        lock_file::move_aside(&queue.join(".drain"))
    }

    /// Is the file that we hold the lock on still the one of that name? If somebody has removed it, it keeps no
    /// other `build` out, and nothing more may be claimed.
    pub fn is_held(&self) -> bool {
        lock_file::is_in_place(&self.lock, &self.dir.join(".drain"))
    }

    /// What the last holder of the lock left in its file for the next.
    pub fn note(&self) -> String {
        let mut bytes = vec![0; NOTE_ROOM];
        let read = self.lock.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).trim_end().to_string()
    }

    /// Leaves a note for the next holder, cut off at 4 KiB. In place: it needs no space.
    pub fn set_note(&self, note: &str) -> io::Result<()> {
        let mut bytes = note.as_bytes().to_vec();
        bytes.resize(NOTE_ROOM, b'\n');
        self.lock.write_all_at(&bytes, 0)
    }

    /// Reads a waiting entry. An error means that it could not be opened or read: it stays.
    pub fn read(&self, id: &EntryId) -> io::Result<EntryState> {
        reading::read(&self.dir.join(id.waiting()))
    }

    /// Where a claimed entry is.
    pub fn path_of_claimed(&self, id: &EntryId) -> PathBuf {
        self.dir.join(id.claimed())
    }

    /// Reads a claimed entry.
    pub fn read_claimed(&self, id: &EntryId) -> io::Result<EntryState> {
        reading::read(&self.path_of_claimed(id))
    }

    /// Claims a waiting entry by renaming it; false if it is gone, or if its name is claimed already (the
    /// build of that name is running: this one is looked at again when that has a record).
    pub fn claim(&self, id: &EntryId) -> io::Result<bool> {
        if !self.is_held() {
            let why = "queue/.drain was removed while build ran, so another build may be at work: nothing more is claimed";
            return Err(io::Error::other(why));
        }
        self.rename(&id.waiting(), &id.claimed())
    }

    /// Puts a claimed entry back; false if it is not there, or if another of its name waits.
    pub fn put_back(&self, id: &EntryId) -> io::Result<bool> {
        self.rename(&id.claimed(), &id.waiting())
    }

    /// Writes an entry again whose `.lock` somebody removed.
    pub fn restore(&self, id: &EntryId, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(id.waiting());
        let mut new = durable::new_file(&self.dir, 0o640)?;
        new.write_all(bytes)?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(path) {
            Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    }

    /// The last step of a build: the claimed entry goes.
    pub fn finish(&self, id: &EntryId) -> io::Result<()> {
        durable::remove(&self.dir.join(id.claimed())).map(drop)
    }

    /// Moves a waiting entry to `bad/` with the reason beside it, after `tell` has told somebody under which name;
    /// returns that name, or none if the entry is gone. Nothing that is in `bad/` is overwritten.
    pub fn reject(&self, id: &EntryId, why: &str, tell: &Tell) -> io::Result<Option<String>> {
        self.move_to_bad(&id.waiting(), why, tell)
    }

    /// The same for a claimed entry.
    pub fn reject_claimed(&self, id: &EntryId, why: &str, tell: &Tell) -> io::Result<Option<String>> {
        self.move_to_bad(&id.claimed(), why, tell)
    }

    fn move_to_bad(&self, name: &str, why: &str, tell: &Tell) -> io::Result<Option<String>> {
        if self.dir.join(name).symlink_metadata().is_err() {
            return Ok(None);
        }
        durable::create_dir(&self.dir.join("bad"), 0o750)?;
        // The reason first: an entry in bad/ always has one. Then whoever is told: whatever dies here, somebody hears.
        let target = self.reserve(name.strip_suffix(".lock").unwrap_or(name), why)?;
        let moved = tell(&target).and_then(|()| self.rename(name, &format!("bad/{target}")));
        if !matches!(moved, Ok(true)) {
            let _ = fs_err::remove_file(self.reason(&target));
        }
        Ok(moved?.then_some(target))
    }

    /// A name in `bad/` that nobody has, taken by writing down the reason under it.
    fn reserve(&self, plain: &str, why: &str) -> io::Result<String> {
        let numbered = (1..).map(|number| format!("{plain}.{number}"));
        for target in std::iter::once(plain.to_string()).chain(numbered) {
            if self.dir.join("bad").join(&target).symlink_metadata().is_ok() {
                continue;
            }
            let path = self.reason(&target);
            let written =
                fs_err::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).and_then(
                    |mut file| {
                        // On a full disk the next try must not find its name taken.
                        writeln!(file, "{}", crate::text::printable(why))
                            .inspect_err(|_| _ = fs_err::remove_file(&path))
                    },
                );
            match written {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                written => return written.map(|()| target),
            }
        }
        unreachable!("the numbers do not end")
    }

    fn reason(&self, target: &str) -> PathBuf {
        self.dir.join("bad").join(format!("{target}.why"))
    }

    /// Renames without overwriting; false if the source is not there or the target is.
    fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let (from, to) = (self.dir.join(from), self.dir.join(to));
        match retry_on_intr(|| rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::EXIST) => Ok(false),
            // A file system without that flag: we are the only one who renames here.
            Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_err() => {
                match fs_err::rename(&from, &to) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                    renamed => renamed.map(|()| true),
                }
            }
            Err(error) => {
                let what = format_args!("cannot rename {} to {}", from.display(), to.display());
                Err(at(what)(error.into()))
            }
        }
    }
}
