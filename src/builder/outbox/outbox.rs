//! The directory of messages that nobody has accepted yet.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use crate::{builder::mail::letter::Letter, durable};

#[derive(Debug, Clone)]
pub struct Outbox {
    dir: PathBuf,
}

impl Outbox {
    /// Nothing is touched yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Stores a letter; durable when this returns `Ok`. One of the same name is replaced.
    pub fn put(&self, letter: &Letter) -> io::Result<()> {
        durable::create_dir(&self.dir, 0o700)?;
        durable::replace(&self.path(&letter.stem), &letter.bytes, 0o600)?;
        durable::sync_dir(&self.dir)
    }

    /// The names of the letters that wait, without `.eml`, in order.
    pub fn stems(&self) -> io::Result<Vec<String>> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut stems: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".eml").map(str::to_string))
            .filter(|stem| !stem.starts_with('.'))
            .collect();
        stems.sort_unstable();
        Ok(stems)
    }

    pub fn path(&self, stem: &str) -> PathBuf {
        self.dir.join(format!("{stem}.eml"))
    }

    /// Moves a letter to `failed/`.
    pub fn set_aside(&self, stem: &str) -> io::Result<()> {
        let failed = self.dir.join("failed");
        fs_err::create_dir_all(&failed)?;
        fs_err::rename(self.path(stem), failed.join(format!("{stem}.eml")))
    }
}
