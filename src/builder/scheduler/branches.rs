//! What is known of the pushes to each branch: which of those that wait is the newest, and which asks for what the one before
//! it asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::queue::{BuildRequest, EntryId};

/// So many of a branch are remembered that have had their turn: who comes twice comes soon.
const REMEMBERED: usize = 16;

/// Repository and full ref.
type Branch = (String, String);

#[derive(Debug, Default)]
pub struct Branches {
    /// Is only the newest push of a branch built?
    newest_only: bool,
    /// Not known here, and to be looked at before any is started. None where all pushes are built.
    unknown: BTreeSet<EntryId>,
    /// The one of them that is looked at.
    learns: Option<EntryId>,
    /// Those that wait and may supersede or be superseded, with their commits.
    waiting: HashMap<Branch, BTreeMap<EntryId, Waiting>>,
    /// Those that have had their turn.
    done: HashMap<Branch, BTreeMap<EntryId, Turn>>,
    /// The newest of which anybody has heard.
    newest: Option<EntryId>,
    /// The oldest that waits of its branch, while the newest is claimed in its place.
    replaced: Option<EntryId>,
    /// To be built though they ask for the same.
    wanted: HashSet<EntryId>,
}

#[derive(Debug)]
struct Waiting {
    commit: String,
    /// Nothing stands against building it at once.
    is_free: bool,
}

#[derive(Debug)]
struct Turn {
    commit: String,
    /// The newest that had come by then.
    newest: Option<EntryId>,
}

impl Branches {
    pub fn new(newest_only: bool) -> Self {
        Self { newest_only, ..Self::default() }
    }

    /// Entries have come.
    pub fn come(&mut self, ids: &[EntryId]) {
        self.newest = self.newest.take().max(ids.iter().max().cloned());
        if self.newest_only {
            self.unknown.extend(ids.iter().cloned());
        }
    }

    /// The next one to be looked at before any is started.
    pub fn next_unknown(&mut self) -> Option<EntryId> {
        self.learns = self.unknown.pop_first();
        self.learns.clone()
    }

    /// Was it looked at for that? If it is a request it is [noted](Self::note).
    pub fn learns(&mut self, id: &EntryId) -> bool {
        self.learns.take_if(|learns| learns == id).is_some()
    }

    /// An entry waits. What repeats an older one neither supersedes nor is superseded.
    /// One that is not free to be built at once supersedes none either, but can be superseded.
    pub fn note(&mut self, id: EntryId, request: &BuildRequest, is_repeat: bool, is_free: bool) {
        if !request.git_ref.as_str().starts_with("refs/heads/") || is_repeat {
            return;
        }
        let waiting = self.waiting.entry(branch(request)).or_default();
        let commit = request.commit_id.to_string();
        if !waiting.iter().any(|(other, known)| *other < id && known.commit == commit) {
            waiting.insert(id, Waiting { commit, is_free });
        }
    }

    /// The newest that waits, if `id` is one of those that it supersedes: it is claimed in the place of `id`.
    pub fn replace(&mut self, id: &EntryId, request: &BuildRequest) -> Option<EntryId> {
        let waiting = self.waiting.get(&branch(request)).filter(|waiting| waiting.contains_key(id))?;
        let newest = waiting.iter().rev().find(|(_, newest)| newest.is_free)?.0;
        let newest = Some(newest).filter(|newest| *newest > id)?.clone();
        self.replaced = Some(id.clone());
        Some(newest)
    }

    /// It cannot be claimed; returns the one whose turn it is again.
    pub fn forget(&mut self, id: &EntryId) -> Option<EntryId> {
        self.waiting.retain(|_, waiting| {
            waiting.remove(id);
            !waiting.is_empty()
        });
        self.replaced.take()
    }

    /// `id` is built; returns those that it supersedes.
    pub fn claim(&mut self, id: &EntryId, request: &BuildRequest) -> Vec<(EntryId, EntryId)> {
        self.replaced = None;
        let branch = branch(request);
        let mut superseded = Vec::new();
        if let Some(waiting) = self.waiting.get_mut(&branch)
            && waiting.remove(id).is_some()
        {
            let newer = waiting.split_off(id);
            let older = std::mem::replace(waiting, newer).into_iter();
            superseded = older.map(|(id, older)| (id, older.commit)).collect();
        }
        let turns = superseded.iter().cloned().chain([(id.clone(), request.commit_id.to_string())]);
        let done = self.done.entry(branch).or_default();
        for (id, commit) in turns {
            done.insert(id, Turn { commit, newest: self.newest.clone() });
        }
        while done.len() > REMEMBERED {
            done.pop_first();
        }
        self.wanted.remove(id);
        superseded.into_iter().map(|(older, _)| (older, id.clone())).collect()
    }

    /// The one before it, if that asked for the same commit and had not begun when this one came.
    pub fn repeats(&self, id: &EntryId, request: &BuildRequest) -> Option<EntryId> {
        if self.wanted.contains(id) {
            return None;
        }
        let (before, turn) = self.done.get(&branch(request))?.range(..id).next_back()?;
        let is_same = turn.commit == request.commit_id.as_str();
        (is_same && turn.newest.as_ref().is_some_and(|newest| id <= newest)).then(|| before.clone())
    }

    /// It is to be built though it asks for the same.
    pub fn want(&mut self, id: EntryId) {
        self.wanted.insert(id);
    }
}

fn branch(request: &BuildRequest) -> Branch {
    (request.repository.to_string(), request.git_ref.to_string())
}
