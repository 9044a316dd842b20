//! A directory that others write to while we read it: nothing is followed out of it, nothing waited for.
//!
//! Only regular files are opened. A link, a directory or a FIFO where a file should be is an error that says so; what
//! has vanished since it was listed is none.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use jiff::Timestamp;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat},
    io::{Errno, retry_on_intr},
};
use serde::de::DeserializeOwned;

use crate::regular_file;

/// No file that we read whole is larger; a larger one is no record of ours.
const LARGEST: u64 = 1 << 20;

/// A directory held open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What a file's metadata tell about whether it is still the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a small file holds.
#[derive(Debug, Clone)]
pub enum Content<T> {
    /// There is none.
    Missing,
    /// It could be read.
    Value(T),
    /// Why it could not.
    Unreadable(String),
}

impl<T> Content<T> {
    /// What it holds, if it could be read.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

impl Folder {
    /// Opens one of the home's own directories, which may be a link that the operator made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?))
    }

    /// Opens a directory in this one, and no link to one.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(retry_on_intr(|| openat(&self.0, name, flags, Mode::empty()))?))
    }

    /// Opens a regular file.
    pub fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| openat(&self.0, name, flags, Mode::empty())) {
            Err(Errno::LOOP | Errno::NXIO) => return Err(not_a_file()),
            opened => opened?,
        };
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            _ => Err(not_a_file()),
        }
    }

    /// Reads a regular file of at most 1 MiB.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let bytes = regular_file::up_to(LARGEST, self.file(name)?)?;
        bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "larger than 1 MiB"))
    }

    /// Reads a file, and what is in it by `parse`.
    pub fn content<T>(&self, name: &str, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Content<T> {
        match self.read(name) {
            Ok(bytes) => match parse(&bytes) {
                Ok(value) => Content::Value(value),
                Err(why) => Content::Unreadable(format!("{name} {why}")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Missing,
            Err(error) => Content::Unreadable(format!("{name}: {error}")),
        }
    }

    /// Reads a JSON file. What is wrong with one is told without quoting it: nothing in it has been checked.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Content<T> {
        self.content(name, |bytes| {
            serde_json::from_slice(bytes).map_err(|error| what_is_wrong(&error).to_string())
        })
    }

    /// The first lines of a text that somebody left, cut off at `longest` characters; none if there is no such text.
    pub fn text(&self, name: &str, longest: usize) -> Option<String> {
        let bytes = self.read(name).ok()?;
        let text: String = String::from_utf8_lossy(&bytes).trim().chars().take(longest).collect();
        (!text.is_empty()).then_some(text)
    }

    /// Is there anything of this name, and in which state? A link counts as itself.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let stat = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Stamp::of(&stat))
    }

    /// The state of the directory itself, which changes with each name that comes or goes.
    pub fn own_stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&fstat(&self.0)?))
    }

    /// Calls `see` with each name. Names that are not UTF-8 are none of ours.
    pub fn each_name(&self, mut see: impl FnMut(&str)) -> io::Result<()> {
        for entry in Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str() {
                see(name);
            }
        }
        Ok(())
    }
}

impl Stamp {
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap, reason = "types differ by platform")]
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    /// When its content last changed.
    pub fn modified(&self) -> Option<Timestamp> {
        timestamp(self.modified)
    }

    /// When its content, name or mode last changed.
    pub fn changed(&self) -> Option<Timestamp> {
        timestamp(self.changed)
    }
}

fn timestamp((seconds, nanos): (i64, i64)) -> Option<Timestamp> {
    Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// In which way a text is not the JSON that it should be.
pub fn what_is_wrong(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Data => "does not say what it should",
        _ => "is no JSON",
    }
}
