//! How things stand around the builds: the drain, the disk, the letters, and what could not be built.

use std::{io, path::Path};

use jiff::Timestamp;
use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{
    document::{Bad, Disk, Drain, Hold, Letters},
    folder::Folder,
};
use crate::{
    home::Home,
    records::drain_state::{self, DrainState},
};

/// So many entries in `bad/` are named.
const BAD_NAMED: usize = 50;

/// How things stand around the builds.
#[derive(Debug)]
pub struct Standing {
    /// The drain.
    pub drain: Drain,
    /// Where everything is written to.
    pub disk: Disk,
    /// Mail that has not been sent.
    pub letters: Letters,
    /// Entries that cannot be built.
    pub bad: Vec<Bad>,
}

impl Standing {
    /// Looks; what cannot be looked at is unknown.
    pub fn read(home: &Home, queue: Option<&Folder>, now: Timestamp) -> Self {
        let state = queue.and_then(|queue| queue.json(drain_state::FILE_NAME).value());
        Self {
            disk: disk(&home.queue(), state.as_ref()),
            drain: drain(queue, state, now),
            letters: letters(&home.outbox()),
            bad: queue.map(bad).unwrap_or_default(),
        }
    }
}

fn drain(queue: Option<&Folder>, state: Option<DrainState>, now: Timestamp) -> Drain {
    let hold = queue.and_then(|queue| {
        let stamp = queue.stamp("hold")?;
        Some(Hold { text: queue.text("hold", 500), since: stamp.modified() })
    });
    let Some(state) = state else { return Drain { hold, ..Drain::default() } };
    Drain {
        running: Some(state.is_alive(now)),
        pid: state.pid,
        started: state.started,
        looked: state.looked,
        ended: state.ended,
        threads: state.threads,
        stay: state.stay,
        hold,
        troubles: state.troubles,
    }
}

fn disk(queue: &Path, state: Option<&DrainState>) -> Disk {
    let min_free_bytes = state.and_then(|state| state.min_free);
    match statvfs(queue) {
        Ok(stat) => Disk {
            free_bytes: Some(stat.f_bavail.saturating_mul(stat.f_frsize)),
            min_free_bytes,
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        },
        Err(_) => Disk { min_free_bytes, ..Disk::default() },
    }
}

#[allow(clippy::case_sensitive_file_extension_comparisons, reason = "our own names")]
fn letters(outbox: &Path) -> Letters {
    let count = |folder: io::Result<Folder>| {
        let mut number = 0;
        let is_letter = |name: &str| name.ends_with(".eml") && !name.starts_with('.');
        match folder.and_then(|folder| folder.each_name(|name| number += usize::from(is_letter(name)))) {
            Ok(()) => Some(number),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
            Err(_) => None,
        }
    };
    Letters { waiting: count(Folder::open(outbox)), failed: count(Folder::open(&outbox.join("failed"))) }
}

/// Entries in `queue/bad/`, the newest first.
#[allow(clippy::case_sensitive_file_extension_comparisons, reason = "our own names")]
fn bad(queue: &Folder) -> Vec<Bad> {
    let Ok(folder) = queue.folder("bad") else { return Vec::new() };
    let mut names = Vec::new();
    let listed = folder.each_name(|name| {
        if name.starts_with("build-") && !name.ends_with(".why") {
            names.push(name.to_string());
        }
    });
    if listed.is_err() {
        return Vec::new();
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.truncate(BAD_NAMED);
    names.into_iter().map(|name| Bad { why: folder.text(&format!("{name}.why"), 500), name }).collect()
}
