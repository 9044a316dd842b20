//! Which commits of which branches have been asked for before, among the newest records.

use std::collections::{BTreeSet, HashMap};

use super::Record;
use crate::{
    directory,
    home::Home,
    queue::{BuildRequest, EntryId},
};

/// Older records are not searched.
const NEWEST: usize = 500;

/// Repository, full ref, commit.
type Asked = (String, String, String);

/// What was asked for, and by which builds.
#[derive(Debug, Default)]
pub struct Requested(HashMap<Asked, BTreeSet<EntryId>>);

impl Requested {
    /// Reads the newest 500 records; what cannot be read is not known.
    pub fn read(home: &Home) -> Self {
        let builds = home.builds();
        let Ok(names) = directory::entries(&builds) else { return Self::default() };
        let ids = names.flatten().filter_map(|entry| EntryId::parse(entry.file_name().to_str()?));
        let mut ids: Vec<EntryId> = ids.collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let mut requested = Self::default();
        for id in ids.into_iter().take(NEWEST) {
            if let Ok(request) = Record::of(home, &id).request() {
                requested.note(&id, &request);
            }
        }
        requested
    }

    /// This one is built.
    pub fn note(&mut self, id: &EntryId, request: &BuildRequest) {
        self.0.entry(asked(request)).or_default().insert(id.clone());
    }

    /// Has one before `id` asked for the same?
    pub fn has_before(&self, id: &EntryId, request: &BuildRequest) -> bool {
        let ids = self.0.get(&asked(request));
        ids.and_then(BTreeSet::first).is_some_and(|first| first < id)
    }
}

fn asked(request: &BuildRequest) -> Asked {
    (request.repository.to_string(), request.git_ref.to_string(), request.commit_id.to_string())
}
