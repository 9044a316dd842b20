//! Pushes that never arrived: a head that the forge has and that no entry and no record knows is queued.
//!
//! Only branches that have a kept record are looked at, so nothing is built that nobody ever pushed here. A head
//! is queued when two looks have seen it unknown, because a delivery may be on its way; what a look has seen is in
//! `queue/catch-up.json`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ls_remote;
use crate::{
    directory, durable,
    error_chain::in_full,
    git::GitBase,
    home::Home,
    host,
    queue::{
        BuildRequest, EntryId, EntryState, Origin, enqueue,
        fields::{CommitId, CommitterEmail, CommitterName, GitRef, Repository},
        lock_file,
        origin::Why,
        reading,
    },
    records::Record,
    regular_file,
};

/// Between two looks of `build`.
pub const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// How long is waited, and for what.
#[derive(Debug, Clone)]
pub struct Pauses {
    /// For the heads of one repository.
    pub patience: Duration,
    /// Between the two looks of somebody who asks.
    pub between_looks: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { patience: Duration::from_secs(60), between_looks: Duration::from_secs(10) }
    }
}

/// A branch's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Without its owner.
    pub repository: Repository,
    /// In full, below refs/heads/.
    #[serde(rename = "ref")]
    pub git_ref: GitRef,
    /// Where it points to.
    pub commit_id: CommitId,
}

/// What a look has seen: `queue/catch-up.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Look {
    /// When.
    pub looked: Option<Timestamp>,
    /// What nobody here knows yet.
    pub unknown: Vec<Head>,
    /// Repositories that could not be asked, and why.
    pub failed: BTreeMap<String, String>,
}

/// How it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Once; what is unknown is queued if the look before has seen it too.
    Once,
    /// Once more after some seconds, if anything is unknown that was not before.
    Twice,
    /// Once, and nothing is queued or written down.
    Dry,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct CaughtUp {
    /// What is in the queue now.
    pub queued: Vec<(EntryId, Head)>,
    /// The last look.
    pub look: Look,
    /// What the look before had in place of [`Look::failed`].
    pub failed_before: BTreeMap<String, String>,
}

/// Is it time for the next look?
pub fn is_due(home: &Home) -> bool {
    let last = home.catch_up().metadata().and_then(|metadata| metadata.modified());
    // A look in the future was made by a clock that was wrong.
    last.is_err()
        || last.is_ok_and(|last| last.elapsed().is_ok_and(|ago| ago >= INTERVAL) || last > SystemTime::now())
}

/// Looks, and queues what was missed; none if another one is at it.
pub fn run(home: &Home, git_base: &GitBase, how: How, pauses: &Pauses) -> io::Result<Option<CaughtUp>> {
    // Two would queue the same.
    let only_one = lock_file::open(&home.queue().join(".catch-up"))?;
    if !lock_file::try_lock(&only_one)? {
        return Ok(None);
    }
    let before = last_look(home);
    let mut look = self::look(home, git_base, pauses.patience)?;
    if how == How::Dry {
        return Ok(Some(CaughtUp { queued: Vec::new(), look, failed_before: before.failed }));
    }
    let mut seen: HashSet<Head> = before.unknown.into_iter().collect();
    if how == How::Twice && look.unknown.iter().any(|head| !seen.contains(head)) {
        seen.extend(look.unknown);
        thread::sleep(pauses.between_looks);
        look = self::look(home, git_base, pauses.patience)?;
    }
    let (missed, new): (Vec<Head>, Vec<Head>) =
        look.unknown.into_iter().partition(|head| seen.contains(head));
    look.unknown = new;
    // First what has been seen: whatever dies in between, what it saw unknown is queued by the next look or known.
    let written = durable::replace(&home.catch_up(), &durable::json_line(&look), 0o640);
    let mut queued = Vec::new();
    for head in missed {
        queued.push((queue(home, &head)?, head));
    }
    written?;
    Ok(Some(CaughtUp { queued, look, failed_before: before.failed }))
}

fn queue(home: &Home, head: &Head) -> io::Result<EntryId> {
    let Head { repository, git_ref, commit_id } = head.clone();
    let request = BuildRequest {
        repository,
        git_ref,
        commit_id,
        committer_name: CommitterName::default(),
        committer_email: CommitterEmail::default(),
    };
    let by = format!("{}@{}", host::account(), host::name());
    enqueue::enqueue_with(home, &request, &Origin { why: Why::CatchUp, rerun_of: None, by })
}

/// One look at all repositories that have kept records.
fn look(home: &Home, git_base: &GitBase, patience: Duration) -> io::Result<Look> {
    let branches = Known::read(home)?.branches;
    let mut heads = Vec::new();
    let mut failed = BTreeMap::new();
    let mut repositories: Vec<_> = branches.keys().collect();
    repositories.sort_unstable_by_key(|repository| repository.as_str());
    for repository in repositories {
        match ls_remote::heads(git_base, repository, patience) {
            Ok(found) => heads.extend(
                found
                    .into_iter()
                    .filter(|(git_ref, _)| branches[repository].contains(git_ref))
                    .map(|(git_ref, commit_id)| Head { repository: repository.clone(), git_ref, commit_id }),
            ),
            Err(error) => _ = failed.insert(repository.to_string(), in_full(&error)),
        }
    }
    // Only now: a push may have arrived while its head was asked for.
    let known = Known::read(home)?.heads;
    heads.retain(|head| !known.contains(head));
    Ok(Look { looked: Some(Timestamp::now()), unknown: heads, failed })
}

/// What has been pushed here.
#[derive(Default)]
struct Known {
    heads: HashSet<Head>,
    /// Those with kept records.
    branches: HashMap<Repository, HashSet<GitRef>>,
}

impl Known {
    /// The queue first: an entry that leaves it meanwhile has a record, which stays.
    fn read(home: &Home) -> io::Result<Self> {
        let mut known = Self::default();
        let queue = home.queue();
        let listing = reading::list(&queue)?;
        for id in listing.waiting.iter().chain(&listing.claimed) {
            // It may be claimed, or put back, at this very moment.
            for name in [id.waiting(), id.claimed(), id.waiting()] {
                known.add_entry(&queue.join(name));
            }
        }
        let bad = queue.join("bad");
        for name in names(&bad)?.iter().filter(|name| name.starts_with("build-")) {
            known.add_entry(&bad.join(name));
        }
        for id in names(&home.builds())?.iter().filter_map(|name| EntryId::parse(name)) {
            let Ok(request) = Record::of(home, &id).request() else { continue };
            if request.git_ref.as_str().starts_with("refs/heads/") {
                known.branches.entry(request.repository.clone()).or_default().insert(request.git_ref.clone());
            }
            known.add(request);
        }
        Ok(known)
    }

    fn add_entry(&mut self, path: &Path) {
        if let Ok(EntryState::Request(request, _)) = reading::read(path) {
            self.add(request);
        }
    }

    fn add(&mut self, request: BuildRequest) {
        let BuildRequest { repository, git_ref, commit_id, .. } = request;
        self.heads.insert(Head { repository, git_ref, commit_id });
    }
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = directory::entries(dir)?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// What the look before has seen; nothing if it cannot be read.
fn last_look(home: &Home) -> Look {
    regular_file::json(&home.catch_up()).unwrap_or_default()
}
