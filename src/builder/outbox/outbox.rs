//! The directory of messages that nobody has accepted yet.

use std::{
    fs::FileTimes,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::headers;
use crate::{builder::mail::letter::Letter, directory, durable, regular_file};

/// Between two tries of a letter lies as much time again as it is old, but no less and no more than this.
const PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// For longer no letter is put off.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// Letters quote 200,000 bytes of output, and each other, at three bytes for one at most.
const LARGEST: u64 = 16 << 20;

#[derive(Debug, Clone)]
pub struct Outbox {
    dir: PathBuf,
}

/// A letter that waits. New ones go before those that were tried before, whatever these cost the last time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// It was put off.
    pub again: bool,
    /// It is not tried before: the time of its file, so that pauses outlive us, and `touch` means now.
    pub due: SystemTime,
    /// File name without `.eml`.
    pub stem: String,
}

/// What lies in the outbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub waiting: usize,
    /// How long the oldest of them has.
    pub oldest: Duration,
    /// Letters that nobody took.
    pub failed: usize,
}

impl Outbox {
    /// Nothing is touched yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stores a letter; durable when this returns `Ok`. One of the same name is replaced.
    pub fn put(&self, letter: &Letter) -> io::Result<()> {
        durable::create_dir(&self.dir, 0o750)?;
        durable::replace(&self.path(&letter.stem), &letter.bytes, 0o600)?;
        durable::sync_dir(&self.dir)
    }

    /// The letters that wait, in the order in which they are due. What is no file is none.
    pub fn waiting(&self) -> io::Result<Vec<Waiting>> {
        letters(&self.dir)
    }

    /// How much waits, and how much nobody took.
    pub fn contents(&self) -> Contents {
        let waiting = self.waiting().unwrap_or_default();
        Contents {
            oldest: waiting.iter().map(|letter| self.age(&letter.stem)).max().unwrap_or_default(),
            waiting: waiting.len(),
            failed: letters(&self.failed()).unwrap_or_default().len(),
        }
    }

    /// None if it is not there; an error of the kind `InvalidData` if it is nothing that we have written.
    pub fn read(&self, stem: &str) -> io::Result<Option<Vec<u8>>> {
        regular_file::read_at_most(&self.path(stem), LARGEST)
    }

    pub fn path(&self, stem: &str) -> PathBuf {
        self.dir.join(format!("{stem}.eml"))
    }

    fn failed(&self) -> PathBuf {
        self.dir.join("failed")
    }

    /// Moves a letter to `failed/`.
    pub fn set_aside(&self, stem: &str) -> io::Result<()> {
        durable::create_dir(&self.failed(), 0o750)?;
        fs_err::rename(self.path(stem), self.failed().join(format!("{stem}.eml")))
    }

    /// Puts off a letter by its age.
    pub fn put_off(&self, stem: &str) -> io::Result<()> {
        self.put_off_by(stem, self.pause(stem))
    }

    pub fn put_off_by(&self, stem: &str, pause: Duration) -> io::Result<()> {
        let until = FileTimes::new().set_modified(SystemTime::now() + pause);
        fs_err::File::open(self.path(stem))?.file().set_times(until)
    }

    /// Puts off all letters, each by its age, but none to an earlier time than it has.
    pub fn put_off_all(&self) -> io::Result<()> {
        for Waiting { due, stem, .. } in self.waiting()? {
            if due < SystemTime::now() + self.pause(&stem) {
                self.put_off(&stem)?;
            }
        }
        Ok(())
    }

    fn pause(&self, stem: &str) -> Duration {
        self.age(stem).clamp(PAUSES.0, PAUSES.1)
    }

    fn age(&self, stem: &str) -> Duration {
        self.read(stem).ok().flatten().and_then(|letter| headers::age(&letter)).unwrap_or_default()
    }
}

fn letters(dir: &Path) -> io::Result<Vec<Waiting>> {
    let mut letters: Vec<_> = directory::entries(dir)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let stem = name.to_str()?.strip_suffix(".eml").filter(|stem| !stem.starts_with('.'))?;
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let due = metadata.modified().ok()?;
            // Put off by a clock that was wrong.
            let due = if due > SystemTime::now() + LONGEST_PAUSE { SystemTime::now() } else { due };
            // Its time was set to one that was to come: none was written then.
            let again = metadata.mtime() > metadata.ctime() + 30;
            Some(Waiting { again, due, stem: stem.to_string() })
        })
        .collect();
    letters.sort_unstable();
    Ok(letters)
}
