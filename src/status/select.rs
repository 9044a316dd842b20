//! BUILD, as people name one on the command line: an id with or without its fraction, an entry's name, `latest`, or
//! `repository[@branch]` for its latest.

use std::{collections::BTreeSet, io};

use super::{
    folder::Folder,
    records::{self, NEWEST, RecordState},
};
use crate::{
    home::Home,
    queue::{BuildRequest, EntryId, fields::full_ref},
};

/// Why a word names no build.
#[derive(Debug, thiserror::Error)]
pub enum NoBuild {
    /// Nothing is called so.
    #[error("there is no build {0:?}: give an id, an entry's name, latest, or repository[@branch]")]
    Unknown(String),
    /// The id lacks its fraction, and several begin so.
    #[error("{word} may be {}: give one of them whole", .candidates.iter().map(EntryId::as_str).collect::<Vec<_>>().join(" or "))]
    Several {
        /// As it was given.
        word: String,
        /// What it may be, in order.
        candidates: Vec<EntryId>,
    },
    /// The home cannot be read.
    #[error("{what} cannot be read")]
    Unreadable {
        /// Which directory.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl NoBuild {
    /// What a program exits with: 2 several candidates, 4 no such build, 5 it could not be found out.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Several { .. } => 2,
            Self::Unknown(_) => 4,
            Self::Unreadable { .. } => 5,
        }
    }
}

/// The build that a word names, in whatever state it is.
pub fn select(home: &Home, word: &str) -> Result<EntryId, NoBuild> {
    let ids = Ids::read(home)?;
    let unknown = || NoBuild::Unknown(word.to_string());
    let name = word.strip_prefix("build-").map_or(word, |rest| rest.strip_suffix(".lock").unwrap_or(rest));
    if let Some(id) = EntryId::parse(name) {
        return ids.contains(&id).then_some(id).ok_or_else(unknown);
    }
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        let mut candidates: Vec<_> = ids.all().filter(|id| seconds(id) == name).cloned().collect();
        return match candidates.len() {
            1 => Ok(candidates.remove(0)),
            0 => Err(unknown()),
            _ => Err(NoBuild::Several { word: word.to_string(), candidates }),
        };
    }
    if word == "latest" {
        return ids.queued.iter().chain(&ids.recorded).max().cloned().ok_or_else(unknown);
    }
    latest_of(home, &ids, word).ok_or_else(unknown)
}

fn seconds(id: &EntryId) -> &str {
    id.as_str().split('.').next().unwrap_or_default()
}

/// Every build there is a name of.
struct Ids {
    queued: BTreeSet<EntryId>,
    recorded: BTreeSet<EntryId>,
    bad: BTreeSet<EntryId>,
}

impl Ids {
    fn read(home: &Home) -> Result<Self, NoBuild> {
        let mut ids = Self { queued: BTreeSet::new(), recorded: BTreeSet::new(), bad: BTreeSet::new() };
        let failed = |what| move |source| NoBuild::Unreadable { what, source };
        let queue = Folder::open(&home.queue()).map_err(failed("queue/"))?;
        let entry = |name: &str| EntryId::of_waiting(name).or_else(|| EntryId::of_claimed(name));
        queue.each_name(|name| ids.queued.extend(entry(name))).map_err(failed("queue/"))?;
        if let Ok(bad) = queue.folder("bad") {
            bad.each_name(|name| ids.bad.extend(EntryId::of_waiting(name))).map_err(failed("queue/bad/"))?;
        }
        match Folder::open(&home.builds()) {
            Ok(builds) => {
                builds
                    .each_name(|name| ids.recorded.extend(EntryId::parse(name)))
                    .map_err(failed("builds/"))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("builds/")(error)),
        }
        Ok(ids)
    }

    fn contains(&self, id: &EntryId) -> bool {
        self.queued.contains(id) || self.recorded.contains(id) || self.bad.contains(id)
    }

    fn all(&self) -> impl Iterator<Item = &EntryId> {
        let recorded = self.recorded.iter().filter(|id| !self.queued.contains(*id));
        let bad = self.bad.iter().filter(|id| !self.queued.contains(*id) && !self.recorded.contains(*id));
        self.queued.iter().chain(recorded).chain(bad)
    }
}

/// The builds of a repository, or of one ref of it: `repository[@branch]`.
#[derive(Debug)]
pub struct Meant<'a> {
    repository: &'a str,
    git_ref: Option<String>,
}

impl<'a> Meant<'a> {
    /// By a word, split at its first `@`.
    pub fn by(word: &'a str) -> Self {
        match word.split_once('@') {
            Some((repository, branch)) => Self { repository, git_ref: Some(full_ref(branch)) },
            None => Self { repository: word, git_ref: None },
        }
    }

    /// Is it one of them? What cannot be read is none.
    pub fn is(&self, repository: Option<&str>, git_ref: Option<&str>) -> bool {
        repository == Some(self.repository)
            && self.git_ref.as_deref().is_none_or(|wanted| git_ref == Some(wanted))
    }

    /// Does this ask for one of them?
    pub fn is_asked_by(&self, request: &BuildRequest) -> bool {
        self.is(Some(request.repository.as_str()), Some(request.git_ref.as_str()))
    }
}

/// The latest of them among what is in the queue and the newest records.
fn latest_of(home: &Home, ids: &Ids, word: &str) -> Option<EntryId> {
    let meant = Meant::by(word);
    let queue = Folder::open(&home.queue()).ok()?;
    let in_queue = ids.queued.iter().rev().find(|id| {
        let read = |name: &str| serde_json::from_slice::<BuildRequest>(&queue.read(name).ok()?).ok();
        let request = read(&id.waiting()).or_else(|| read(&id.claimed()));
        request.is_some_and(|request| meant.is_asked_by(&request))
    });
    let recorded = Folder::open(&home.builds()).ok().and_then(|builds| {
        ids.recorded.iter().rev().take(NEWEST).find(|id| match records::read(&builds, id) {
            RecordState::Final(build) => {
                meant.is(build.asked.repository.as_deref(), build.asked.git_ref.as_deref())
            }
            RecordState::Begun { asked, .. } => {
                meant.is(asked.repository.as_deref(), asked.git_ref.as_deref())
            }
            RecordState::Gone => false,
        })
    });
    in_queue.max(recorded).cloned()
}
