//! Statuses that the forge has not taken yet: `outbox/ID.status.json`, one file for each build.
//!
//! A build's next state replaces the file, so what is not sent yet and not true any more is never sent, and whoever
//! sends removes only the file that it has read. Nothing is tried before a file's mtime: so a pause outlives the
//! process, and `touch` means now. Of what concerns the forge as a whole, `outbox/forge.json` tells.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::{Refusal, Status};
use crate::{
    directory, durable,
    error_chain::in_full,
    home::Home,
    queue::{EntryId, fields::Repository},
    regular_file,
};

const SUFFIX: &str = ".status.json";

/// No status is larger; a file that is has been put there by mistake.
const LARGEST: u64 = 64 << 10;

/// No pause of ours is longer: an mtime beyond it was set by a clock that was wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(25 * 3600);

/// The directory.
#[derive(Debug)]
pub struct Unsent {
    home: Home,
    dir: PathBuf,
    /// Held where a file is replaced or removed, so that nothing is removed that has just been put in.
    changing: Mutex<()>,
}

/// A file that waits, as it was when it was read.
#[derive(Debug)]
pub struct Waiting {
    /// The build.
    pub id: EntryId,
    /// What is to be said.
    pub status: Status,
    /// Not before.
    pub due: SystemTime,
}

/// The same, kept open: it is known again whatever has its name meanwhile.
#[derive(Debug)]
pub struct Opened {
    /// What was read.
    pub waiting: Waiting,
    file: File,
}

/// `outbox/forge.json`: nothing is sent to the forge before a certain time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Not before.
    pub until: Timestamp,
    /// How long that was, from when it was said.
    pub seconds: u64,
    /// For people.
    pub why: String,
    /// The version of the token that was refused: another one ends the wait.
    pub token: Option<String>,
}

impl Opened {
    /// Not before `until`, unless it is replaced.
    pub fn pause(&self, until: SystemTime) -> io::Result<()> {
        self.file.set_modified(until)
    }
}

impl Unsent {
    /// Nothing is touched yet.
    pub fn new(home: &Home) -> Self {
        Self { home: home.clone(), dir: home.outbox(), changing: Mutex::default() }
    }

    /// Stores a build's state in place of the one before; durable when this returns `Ok`. While nothing is sent at
    /// all, this one waits with the others.
    pub fn put(&self, id: &EntryId, status: &Status) -> io::Result<()> {
        durable::create_dir(&self.dir, 0o750)?;
        let _changing = self.changing();
        durable::replace(&self.path(id), &durable::json_line(status), 0o600)?;
        if let Some(wait) = self.wait()
            && wait.until > Timestamp::now()
        {
            self.set_due(id, wait.until.into())?;
        }
        durable::sync_dir(&self.dir)
    }

    /// All that waits, in the order in which it came.
    pub fn list(&self) -> io::Result<Vec<Waiting>> {
        let ids = directory::entries(&self.dir)?
            .flatten()
            .filter_map(|entry| EntryId::parse(entry.file_name().to_str()?.strip_suffix(SUFFIX)?));
        let mut waiting: Vec<Waiting> = ids.filter_map(|id| Some(self.open(&id)?.waiting)).collect();
        waiting.sort_by(|a, b| (a.status.since, &a.id).cmp(&(b.status.since, &b.id)));
        Ok(waiting)
    }

    /// What waits for this build now. What is no status is put away.
    pub fn open(&self, id: &EntryId) -> Option<Opened> {
        let path = self.path(id);
        match read(&path) {
            Ok((file, status)) => {
                let due = file
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .unwrap_or(SystemTime::UNIX_EPOCH);
                let is_wrong = due > SystemTime::now() + LONGEST_PAUSE;
                let due = if is_wrong { SystemTime::UNIX_EPOCH } else { due };
                Some(Opened { waiting: Waiting { id: id.clone(), status, due }, file })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!("{}: {}", path.display(), in_full(&error));
                if error.kind() == ErrorKind::InvalidData {
                    let moved = self.make_failed().and_then(|()| fs_err::rename(&path, self.failed(id)));
                    let _ = moved.inspect_err(|error| tracing::error!("{}", in_full(error)));
                }
                None
            }
        }
    }

    /// Removes it, unless it has been replaced since it was opened.
    pub fn remove(&self, opened: &Opened) -> io::Result<()> {
        let path = self.path(&opened.waiting.id);
        let _changing = self.changing();
        let read = opened.file.metadata()?;
        match path.symlink_metadata() {
            Ok(now) if (now.dev(), now.ino()) == (read.dev(), read.ino()) => fs_err::remove_file(path),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Nothing before `until`.
    pub fn pause_all(&self, until: SystemTime) -> io::Result<()> {
        let _changing = self.changing();
        for waiting in self.list()? {
            if waiting.due < until {
                self.set_due(&waiting.id, until)?;
            }
        }
        Ok(())
    }

    fn set_due(&self, id: &EntryId, due: SystemTime) -> io::Result<()> {
        match fs_err::File::open(self.path(id)) {
            // Its owner may set a file's times without having it open for writing.
            Ok(file) => file.into_file().set_modified(due),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Nothing at all is sent before a time, which those that are put in from now on know too.
    pub fn wait_with_all(&self, wait: &Wait) -> io::Result<()> {
        durable::replace(&self.wait_path(), &durable::json_line(wait), 0o600)?;
        self.pause_all(wait.until.into())
    }

    /// What keeps everything waiting, if anything does or did until something was sent again.
    pub fn wait(&self) -> Option<Wait> {
        regular_file::json(&self.wait_path())
    }

    /// The forge has taken one.
    pub fn end_wait(&self) -> io::Result<()> {
        durable::remove(&self.wait_path()).map(drop)
    }

    /// All may be tried at once.
    pub fn hurry_all(&self) -> io::Result<()> {
        self.end_wait()?;
        let now = SystemTime::now();
        let _changing = self.changing();
        self.list()?
            .iter()
            .filter(|waiting| waiting.due > now)
            .try_for_each(|waiting| self.set_due(&waiting.id, now))
    }

    /// Nobody will ever take it: to `failed/`, with the reason.
    pub fn give_up(&self, opened: &Opened, refusal: &Refusal) -> io::Result<()> {
        self.make_failed()?;
        let Waiting { id, status, .. } = &opened.waiting;
        let status = Status { refused: Some(refusal.clone()), ..status.clone() };
        durable::replace(&self.failed(id), &durable::json_line(&status), 0o600)?;
        self.remove(opened)
    }

    /// Does `failed/` show that this repository was refused for this reason before? On the way, what belongs to
    /// builds that have no record any more is removed.
    pub fn was_refused(&self, repository: &Repository, refusal: &Refusal) -> bool {
        let mut found = false;
        for entry in fs_err::read_dir(self.dir.join("failed")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| EntryId::parse(name.strip_suffix(SUFFIX)?)) else {
                continue;
            };
            let same = |status: &Status| {
                status.repository == *repository
                    && status.refused.as_ref().is_some_and(|refused| refused.code == refusal.code)
            };
            found |= read(&entry.path()).is_ok_and(|(_, status)| same(&status));
            if !self.home.builds().join(id.as_str()).exists() {
                let _ = fs_err::remove_file(entry.path());
            }
        }
        found
    }

    fn make_failed(&self) -> io::Result<()> {
        durable::create_dir(&self.dir.join("failed"), 0o750)
    }

    fn path(&self, id: &EntryId) -> PathBuf {
        self.dir.join(format!("{id}{SUFFIX}"))
    }

    fn failed(&self, id: &EntryId) -> PathBuf {
        self.dir.join("failed").join(format!("{id}{SUFFIX}"))
    }

    fn wait_path(&self) -> PathBuf {
        self.dir.join("forge.json")
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<(File, Status)> {
    let file = match regular_file::open(path)? {
        regular_file::Opened::File(file) => file,
        regular_file::Opened::Missing => return Err(ErrorKind::NotFound.into()),
        regular_file::Opened::NotAFile => return Err(io::Error::new(ErrorKind::InvalidData, "is no file")),
    };
    let mut bytes = Vec::with_capacity(512);
    (&file).take(LARGEST).read_to_end(&mut bytes)?;
    let status =
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok((file, status))
}
