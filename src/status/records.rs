//! The records of builds: known by their names, and the newest opened.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    io,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    document::{Asked, Finished},
    folder::{Content, Folder, Stamp, what_is_wrong},
};
use crate::{
    queue::{BuildRequest, EntryId, Origin},
    records::{BuildResult, RunningAttempt},
};

/// So many of the newest records are opened. What is older is known by its name alone.
pub const NEWEST: usize = 500;

/// A directory that changed so lately may have changed again within the clock's tick.
const TICK: SignedDuration = SignedDuration::from_secs(1);

/// What has been read of `builds/`, as far as it cannot change any more.
#[derive(Debug, Default)]
pub struct Records {
    list: Option<RecordList>,
    finished: HashMap<EntryId, Arc<Finished>>,
}

/// The records by name.
#[derive(Debug, Clone, Default)]
pub struct RecordList {
    /// The state of the directory when it was listed.
    pub stamp: Stamp,
    /// The newest, the newest first.
    pub newest: Arc<[EntryId]>,
    /// How many there are in all.
    pub total: usize,
}

/// What a record says of its build.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub enum RecordState {
    /// It is over.
    Final(Arc<Finished>),
    /// It is not, or its end cannot be read.
    Begun {
        /// What was asked.
        asked: Asked,
        /// The try that runs, or the last one.
        attempt: Option<RunningAttempt>,
        /// What is missing.
        problem: String,
    },
    /// There is no such record.
    Gone,
}

impl RecordList {
    /// Is it one of the newest?
    pub fn has(&self, id: &EntryId) -> bool {
        self.newest.binary_search_by(|newest| id.cmp(newest)).is_ok()
    }
}

impl Records {
    /// The records by name. Listed again only if a name has come or gone.
    pub fn list(&mut self, folder: &Folder, now: Timestamp) -> io::Result<RecordList> {
        let stamp = folder.own_stamp()?;
        if let Some(known) = self.list.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(known.clone());
        }
        let (newest, total) = newest_before(folder, None, NEWEST)?;
        let list = RecordList { stamp, newest: newest.into(), total };
        let settled = stamp.modified().is_some_and(|modified| now.duration_since(modified) > TICK);
        self.list = settled.then(|| list.clone());
        Ok(list)
    }

    /// What these records say. What is over and can be read is opened once, as long as it is asked for.
    pub fn open(&mut self, folder: &Folder, ids: &[EntryId]) -> Vec<RecordState> {
        let wanted: HashSet<&EntryId> = ids.iter().collect();
        self.finished.retain(|id, _| wanted.contains(id));
        let mut open = |id: &EntryId| match self.finished.get(id) {
            Some(finished) => RecordState::Final(Arc::clone(finished)),
            None => read(folder, id),
        };
        let states: Vec<_> = ids.iter().map(&mut open).collect();
        for state in &states {
            if let RecordState::Final(finished) = state
                && finished.problem.is_none()
            {
                self.finished.insert(finished.asked.id.clone(), Arc::clone(finished));
            }
        }
        states
    }
}

/// The names of the newest records, before `before` if that is given, the newest first; and how many there are in all.
pub fn newest_before(
    folder: &Folder,
    before: Option<&EntryId>,
    wanted: usize,
) -> io::Result<(Vec<EntryId>, usize)> {
    let mut newest = BinaryHeap::with_capacity(wanted + 1);
    let mut total = 0;
    folder.each_name(|name| {
        let Some(id) = EntryId::parse(name) else { return };
        total += 1;
        if before.is_some_and(|before| id >= *before) {
            return;
        }
        if newest.len() < wanted {
            newest.push(Reverse(id));
        } else if newest.peek().is_some_and(|Reverse(oldest)| id > *oldest) {
            newest.pop();
            newest.push(Reverse(id));
        }
    })?;
    Ok((newest.into_sorted_vec().into_iter().map(|Reverse(id)| id).collect(), total))
}

/// Reads a record, whatever state it is in.
pub fn read(records: &Folder, id: &EntryId) -> RecordState {
    let folder = match records.folder(id.as_str()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return RecordState::Gone,
        Err(error) => {
            let problem = match records.stamp(id.as_str()) {
                Some(_) if error.kind() == io::ErrorKind::PermissionDenied => error.to_string(),
                Some(_) => "is not a directory".to_string(),
                None => return RecordState::Gone,
            };
            return RecordState::Final(Arc::new(Finished::unreadable(Asked::unknown(id), problem)));
        }
    };
    let parse = |bytes: &[u8]| match serde_json::from_slice::<BuildRequest>(bytes) {
        Ok(request) => Ok(Asked::of(id, &request, Origin::of_entry(bytes))),
        Err(error) => Err(what_is_wrong(&error).to_string()),
    };
    let (asked, request_problem) = match folder.content("request.json", parse) {
        Content::Value(asked) => (asked, None),
        Content::Missing => (Asked::unknown(id), Some("request.json is not there".to_string())),
        Content::Unreadable(why) => (Asked::unknown(id), Some(why)),
    };
    match folder.json::<BuildResult>("result.json") {
        Content::Value(result) => {
            RecordState::Final(Arc::new(Finished { problem: request_problem, ..Finished::of(asked, result) }))
        }
        Content::Unreadable(why) => RecordState::Final(Arc::new(Finished::unreadable(asked, why))),
        Content::Missing => {
            let attempt = folder.json::<RunningAttempt>("running.json").value();
            if records.stamp(id.as_str()).is_none() {
                return RecordState::Gone;
            }
            RecordState::Begun { asked, attempt, problem: "result.json is not there".to_string() }
        }
    }
}
