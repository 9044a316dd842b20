//! What is in the queue, for whoever looks: no lock is needed to read.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{BuildRequest, EntryId};
use crate::{
    error_chain::at,
    regular_file::{self, Opened},
};

/// No request is larger; a file that is has been put there by mistake, and no more of it is read.
const LARGEST_ENTRY: u64 = 1 << 20;

/// A text that does not parse and is younger than this may still be being written.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// What an entry's file holds.
#[derive(Debug)]
pub enum EntryState {
    /// A request, and the bytes it was read from.
    Request(BuildRequest, Vec<u8>),
    /// No request yet, but somebody may be writing it in place.
    BeingWritten,
    /// No request, and why.
    Invalid(String),
    /// Not there any more.
    Missing,
    /// Not a regular file: not ours.
    NotAFile,
}

/// All that is in the queue at one moment, in order.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Listing {
    /// Entries that wait.
    pub waiting: Vec<EntryId>,
    /// Entries that are claimed.
    pub claimed: Vec<EntryId>,
    /// Builds that somebody wants to cancel; they need not be there.
    pub cancelled: Vec<EntryId>,
    /// Entries that pause; they need not be there.
    pub paused: Vec<EntryId>,
}

impl Listing {
    /// One more name in the directory. When all have been taken in, [`Self::sort`] is to follow.
    pub fn take_in(&mut self, name: &str) {
        if let Some(id) = EntryId::of_waiting(name) {
            self.waiting.push(id);
        } else if let Some(id) = EntryId::of_claimed(name) {
            self.claimed.push(id);
        } else if let Some(id) = EntryId::of_cancel(name) {
            self.cancelled.push(id);
        } else if let Some(id) = EntryId::of_retry(name) {
            self.paused.push(id);
        }
    }

    /// Brings all into the queue's order.
    pub fn sort(&mut self) {
        for ids in [&mut self.waiting, &mut self.claimed, &mut self.cancelled, &mut self.paused] {
            ids.sort();
        }
    }

    /// Is there an entry of this name?
    pub fn has(&self, id: &EntryId) -> bool {
        self.is_waiting(id) || self.is_claimed(id)
    }

    /// Does it wait?
    pub fn is_waiting(&self, id: &EntryId) -> bool {
        self.waiting.binary_search(id).is_ok()
    }

    /// Is it claimed?
    pub fn is_claimed(&self, id: &EntryId) -> bool {
        self.claimed.binary_search(id).is_ok()
    }

    /// Does somebody not want it?
    pub fn is_cancelled(&self, id: &EntryId) -> bool {
        self.cancelled.binary_search(id).is_ok()
    }

    /// Does it pause?
    pub fn is_paused(&self, id: &EntryId) -> bool {
        self.paused.binary_search(id).is_ok()
    }
}

/// Reads the directory until two readings agree: one alone may show an entry and miss an earlier one that
/// appeared meanwhile, and then they would start out of order.
pub fn list(queue: &Path) -> io::Result<Listing> {
    let mut seen = names(queue)?;
    loop {
        let again = names(queue)?;
        if again == seen {
            let mut listing = Listing::default();
            for name in &seen {
                listing.take_in(name);
            }
            listing.sort();
            return Ok(listing);
        }
        seen = again;
    }
}

/// The names of all that may be entries, sorted as text: of a deep queue that is most of the work.
fn names(queue: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(queue)? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.starts_with("build-")
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// How long ago; a time in the future is as old as it is far.
fn age(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_else(|early| early.duration())
}

/// Reads the file of an entry, which anybody may have put there.
pub fn read(path: &Path) -> io::Result<EntryState> {
    let file = match regular_file::open(path)? {
        Opened::File(file) => file,
        Opened::Missing => return Ok(EntryState::Missing),
        Opened::NotAFile => return Ok(EntryState::NotAFile),
    };
    let Some(bytes) = regular_file::up_to(LARGEST_ENTRY, &file).map_err(at(path.display()))? else {
        let length = file.metadata()?.len();
        return Ok(EntryState::Invalid(format!("{length} bytes: no request is that large")));
    };
    Ok(match serde_json::from_slice::<BuildRequest>(&bytes) {
        Ok(request) => EntryState::Request(request, bytes),
        Err(error)
            if !error.is_data()
                && file.metadata()?.modified().is_ok_and(|time| age(time) < SETTLES_WITHIN) =>
        {
            EntryState::BeingWritten
        }
        Err(error) => EntryState::Invalid(error.to_string()),
    })
}
