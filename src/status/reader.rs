//! Looks at an installation: takes no lock, writes nothing, and bears everything that it meets.
//!
//! The queue is listed first and the records after it, so that an entry which moves on meanwhile is seen twice rather
//! than not at all; what has been seen twice is shown as it was found last.

use std::{collections::HashSet, io, sync::Arc};

use jiff::Timestamp;

use super::{
    branches,
    document::{Branch, Document, Finished, Problem, RedSince, Running, RunningStage},
    entries::{Entries, Place},
    folder::Folder,
    health, listing,
    look::Look,
    records::{self, RecordState, Records},
    standing::Standing,
};
use crate::{
    home::Home,
    host,
    queue::{EntryId, Listing},
};

/// What reads an installation, and remembers what cannot change any more.
#[derive(Debug)]
pub struct Reader {
    home: Home,
    host: String,
    entries: Entries,
    records: Records,
}

impl Reader {
    /// Reads nothing yet.
    pub fn new(home: &Home) -> Self {
        Self {
            home: home.clone(),
            host: host::name(),
            entries: Entries::default(),
            records: Records::default(),
        }
    }

    /// The home that it reads.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Everything, now.
    pub fn document(&mut self) -> Document {
        let look = self.look(Timestamp::now());
        self.complete(look)
    }

    /// What the names tell, and the few files that say how things stand. No record of a finished build is opened.
    pub fn look(&mut self, now: Timestamp) -> Look {
        let mut problems = Vec::new();
        let mut failed = |what: &str, error: io::Error| {
            problems.push(Problem { check: "home", text: format!("{what} cannot be read: {error}") });
        };
        let queue = Folder::open(&self.home.queue()).map_err(|error| failed("queue/", error)).ok();
        let names = queue
            .as_ref()
            .and_then(|queue| listing::list(queue).map_err(|error| failed("queue/", error)).ok())
            .unwrap_or_default();
        let builds = match Folder::open(&self.home.builds()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => opened.map_err(|error| failed("builds/", error)).ok(),
        };
        let records = builds
            .as_ref()
            .and_then(|builds| self.records.list(builds, now).map_err(|error| failed("builds/", error)).ok())
            .unwrap_or_default();
        let standing = Standing::read(&self.home, queue.as_ref(), now);
        let (running, waiting) = match &queue {
            Some(queue) => {
                let place = Place { now, queue, names: &names, records: builds.as_ref(), recorded: &records };
                self.entries.look(&place, &standing.drain)
            }
            None => (Vec::new(), Vec::new()),
        };
        let problems = health::problems(now, problems, &standing.drain, &waiting, &standing.disk);
        Look { now, names, records, standing, running, waiting, problems }
    }

    /// Adds the finished builds to a look.
    pub fn complete(&mut self, look: Look) -> Document {
        let Look { now, names, records, standing, mut running, mut waiting, problems } = look;
        let builds = Folder::open(&self.home.builds()).ok();
        let queue = Folder::open(&self.home.queue()).ok();
        let states = builds.as_ref().map(|builds| self.records.open(builds, &records.newest));
        let mut recent = Vec::with_capacity(records.newest.len());
        for state in states.unwrap_or_default() {
            match state {
                RecordState::Gone => {}
                RecordState::Final(finished) => recent.push(finished),
                RecordState::Begun { asked, .. } if is_in_queue(&names, queue.as_ref(), &asked.id) => {}
                RecordState::Begun { asked, attempt, problem } => {
                    match attempt.filter(|attempt| attempt.script_pid.is_some()) {
                        Some(attempt) => running.push(Running {
                            stage: RunningStage::EntryRemoved,
                            ..Running::of(asked, Some(attempt))
                        }),
                        None => recent.push(Arc::new(Finished::unreadable(asked, problem))),
                    }
                }
            }
        }
        // A build that is being recorded is among the finished ones already.
        let over: HashSet<&EntryId> = recent.iter().map(|finished| &finished.asked.id).collect();
        running
            .retain(|running| !over.contains(&running.asked.id) || running.stage != RunningStage::Recording);
        waiting.retain(|waiting| names.is_waiting(&waiting.asked.id) || !over.contains(&waiting.asked.id));
        let branches = branches(&recent, &mut running, builds.as_ref());
        let Standing { drain, disk, letters, bad } = standing;
        Document {
            schema: 1,
            now,
            version: env!("CARGO_PKG_VERSION"),
            host: self.host.clone(),
            well: problems.is_empty(),
            problems,
            drain,
            running,
            waiting_total: names.waiting.len(),
            waiting,
            records_total: records.total,
            recent,
            branches,
            letters,
            bad,
            disk,
        }
    }
}

/// Is there an entry of this name, or has one come meanwhile?
fn is_in_queue(names: &Listing, queue: Option<&Folder>, id: &EntryId) -> bool {
    let is_there = |name: String| queue.is_some_and(|queue| queue.stamp(&name).is_some());
    names.has(id) || is_there(id.claimed()) || is_there(id.waiting())
}

/// The branches of these builds, and what of them runs; what runs learns how long it usually takes.
fn branches(recent: &[Arc<Finished>], running: &mut [Running], builds: Option<&Folder>) -> Vec<Branch> {
    let mut branches = branches::of(recent);
    for running in running {
        let of_it = |branch: &&mut Branch| {
            running.asked.repository.as_ref() == Some(&branch.repository)
                && running.asked.git_ref.as_ref() == Some(&branch.git_ref)
        };
        if let Some(branch) = branches.iter_mut().find(of_it) {
            running.usual_seconds = branch.usual_seconds;
            branch.running.push(running.asked.id.clone());
        }
    }
    for since in branches.iter_mut().filter_map(|branch| branch.red_since.as_mut()) {
        if let (None, Some(builds)) = (&since.finished, builds) {
            fill_in(builds, since);
        }
    }
    branches
}

/// Where red began before the oldest build on view: that one record is opened too.
fn fill_in(builds: &Folder, since: &mut RedSince) {
    if let RecordState::Final(first) = records::read(builds, &since.build) {
        since.finished = first.finished;
        since.committer.clone_from(&first.asked.committer);
        since.commit_id.clone_from(&first.asked.commit_id);
    }
}
