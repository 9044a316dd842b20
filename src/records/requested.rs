//! Which commits of which branches have been asked for before, among the newest records.

use std::collections::{BTreeSet, HashMap};

use super::{Record, record::newest};
use crate::{
    home::Home,
    queue::{BuildRequest, EntryId},
};

/// Repository, full ref, commit.
type Asked = (String, String, String);

/// What was asked for, and by which builds.
#[derive(Debug, Default)]
pub struct Requested(HashMap<Asked, BTreeSet<EntryId>>);

impl Requested {
    /// Reads the newest 500 records; what cannot be read is not known.
    pub fn read(home: &Home) -> Self {
        let mut requested = Self::default();
        for id in newest(home).unwrap_or_default() {
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
