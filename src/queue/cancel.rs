//! `queue/build-<id>.cancel`: somebody does not want a build any more.
//!
//! Whoever makes the file asks; the drain, or the next one, acts, and removes it when the build has its final record. So a
//! hand can ask as well (`touch`), and a crash asks again.

use std::{io, path::Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EntryId;
use crate::{durable, regular_file, text::printable};

const MODE: u32 = 0o640;

/// Who asks, since when, and why. A file without a word asks as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Cancel {
    /// `user@host`.
    pub by: Option<String>,
    /// The terminal that it was asked from.
    pub terminal: Option<String>,
    /// When it was asked.
    pub since: Option<Timestamp>,
    /// In the words of who asks.
    pub reason: Option<String>,
}

impl Cancel {
    /// Has somebody asked?
    pub fn of(queue: &Path, id: &EntryId) -> Option<Self> {
        let path = queue.join(id.cancel());
        path.symlink_metadata().ok()?;
        let bytes = regular_file::read(&path).ok().flatten().unwrap_or_default();
        Some(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Asks; false if somebody has before. Whole and durable when this returns.
    pub fn store(&self, queue: &Path, id: &EntryId) -> io::Result<bool> {
        durable::create(&queue.join(id.cancel()), &durable::json_line(self), MODE)
    }

    /// It is done, or there is nothing to do.
    pub fn clear(queue: &Path, id: &EntryId) -> io::Result<()> {
        durable::remove(&queue.join(id.cancel())).map(drop)
    }

    /// What the record says of it.
    pub fn words(&self) -> String {
        let by = self.by.as_deref().map_or("by hand".to_string(), |by| format!("by {}", printable(by)));
        match self.reason.as_deref() {
            Some(reason) => format!("{by}: {}", printable(reason)),
            None => by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_word_asks_and_nobody_asks_twice() {
        let queue = tempfile::tempdir().unwrap();
        let id = EntryId::parse("1.5").unwrap();
        assert_eq!(Cancel::of(queue.path(), &id), None);
        fs_err::write(queue.path().join("build-1.5.cancel"), "").unwrap();
        assert_eq!(Cancel::of(queue.path(), &id).unwrap().words(), "by hand");
        let cancel =
            Cancel { by: Some("ana@ci".into()), reason: Some("no\nuse".into()), ..Cancel::default() };
        assert!(!cancel.store(queue.path(), &id).unwrap());
        Cancel::clear(queue.path(), &id).unwrap();
        assert!(cancel.store(queue.path(), &id).unwrap());
        assert_eq!(Cancel::of(queue.path(), &id).unwrap(), cancel);
        assert_eq!(cancel.words(), "by ana@ci: no\\nuse");
    }
}
