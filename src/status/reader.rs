//! Looks at an installation: takes no lock, writes nothing, and bears everything that it meets.
//!
//! The queue is listed first and the records after it, so that an entry which moves on meanwhile is seen twice rather
//! than not at all; what has been seen twice is shown as it was found last.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::Deserialize;

use super::{
    branches,
    document::{
        Asked, Bad, Branch, Disk, Document, Drain, Finished, Hold, Letters, Problem, RedSince, Running,
        RunningStage, Waiting,
    },
    folder::{Content, Folder, Stamp, what_is_wrong},
    health, waits,
};
use crate::{
    home::Home,
    host,
    queue::{BuildRequest, EntryId, Lane, Origin},
    records::{
        BuildResult, RunningAttempt,
        drain_state::{self, DrainState},
    },
};

/// So many of the newest records are opened. What is older is known by its name alone.
pub const NEWEST: usize = 500;

/// So many of the waiting entries are opened, the first ones.
const FIRST_WAITING: usize = 200;

/// So many entries in `bad/` are named.
const BAD_NAMED: usize = 50;

/// A directory that changed so lately may have changed again within the clock's tick.
const TICK: SignedDuration = SignedDuration::from_secs(1);

/// A text that does not parse and is younger may still be being written.
const SETTLES_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// What reads an installation, and remembers what cannot change any more.
#[derive(Debug)]
pub struct Reader {
    home: Home,
    host: String,
    entries: HashMap<String, (Stamp, Arc<Entry>)>,
    finished: HashMap<EntryId, Arc<Finished>>,
    records: Option<Records>,
}

/// An entry of the queue, as read.
#[derive(Debug)]
enum Entry {
    Request { asked: Box<Asked>, lane: Lane },
    Refused(String),
}

/// The records by name.
#[derive(Debug, Clone)]
struct Records {
    stamp: Stamp,
    /// The newest, the newest first.
    newest: Arc<[EntryId]>,
    total: usize,
}

/// What a look at the names shows: everything but the finished builds.
#[derive(Debug)]
pub struct Look {
    now: Timestamp,
    names: QueueNames,
    records: Records,
    drain: Drain,
    running: Vec<Running>,
    waiting: Vec<Waiting>,
    letters: Letters,
    disk: Disk,
    bad: Vec<Bad>,
    problems: Vec<Problem>,
}

/// The names in `queue/` that mean something.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct QueueNames {
    waiting: Vec<EntryId>,
    claimed: Vec<EntryId>,
    cancelled: Vec<EntryId>,
    paused: Vec<EntryId>,
}

/// `queue/build-ID.retry`.
#[derive(Debug, Deserialize)]
struct Pause {
    #[serde(default)]
    until: Option<Timestamp>,
}

impl Reader {
    /// Reads nothing yet.
    pub fn new(home: &Home) -> Self {
        Self {
            home: home.clone(),
            host: host::name(),
            entries: HashMap::new(),
            finished: HashMap::new(),
            records: None,
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
        let mut failed = |what: &str, error: &io::Error| {
            problems.push(Problem { check: "home", text: format!("{what} cannot be read: {error}") });
        };
        let queue = Folder::open(&self.home.queue()).inspect_err(|error| failed("queue/", error)).ok();
        let names = queue.as_ref().map(|queue| {
            QueueNames::read(queue).unwrap_or_else(|error| {
                failed("queue/", &error);
                QueueNames::default()
            })
        });
        let names = names.unwrap_or_default();
        let records_folder = match Folder::open(&self.home.builds()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => opened.inspect_err(|error| failed("builds/", error)).ok(),
        };
        let records = records_folder
            .as_ref()
            .and_then(|folder| self.records(folder, now).inspect_err(|error| failed("builds/", error)).ok());
        let records = records.unwrap_or_else(Records::none);

        let state = queue.as_ref().and_then(drain_state);
        let drain = drain(queue.as_ref(), state.as_ref(), now);
        let disk = disk(&self.home.queue(), state.as_ref());
        let bad = queue.as_ref().map(bad).unwrap_or_default();
        let letters = letters(&self.home.outbox());

        let mut seen = HashSet::new();
        let (running, waiting) = match &queue {
            Some(queue) => {
                self.entries(queue, records_folder.as_ref(), &names, &records, &drain, now, &mut seen)
            }
            None => (Vec::new(), Vec::new()),
        };
        self.entries.retain(|name, _| seen.contains(name));
        let problems = health::problems(now, problems, &drain, &waiting, &disk);
        Look { now, names, records, drain, running, waiting, letters, disk, bad, problems }
    }

    /// Adds the finished builds to a look.
    pub fn complete(&mut self, look: Look) -> Document {
        let Look { now, names, records, drain, mut running, mut waiting, letters, disk, bad, problems } =
            look;
        let newest: HashSet<&EntryId> = records.newest.iter().collect();
        self.finished.retain(|id, _| newest.contains(id));
        let folder = Folder::open(&self.home.builds()).ok();
        let queue = Folder::open(&self.home.queue()).ok();
        let mut recent = Vec::with_capacity(records.newest.len());
        for id in records.newest.iter() {
            if let Some(finished) = self.finished.get(id) {
                recent.push(Arc::clone(finished));
                continue;
            }
            let Some(folder) = &folder else { break };
            match read_record(folder, id) {
                RecordState::Final(finished) => {
                    let finished = Arc::new(*finished);
                    if finished.problem.is_none() {
                        self.finished.insert(id.clone(), Arc::clone(&finished));
                    }
                    recent.push(finished);
                }
                RecordState::Begun { asked, attempt, problem } => {
                    let is_in_queue =
                        |name: &str| queue.as_ref().is_some_and(|queue| queue.stamp(name).is_some());
                    let known = names.waiting.contains(id) || names.claimed.contains(id);
                    if known || is_in_queue(&id.claimed()) || is_in_queue(&id.waiting()) {
                        continue;
                    }
                    match attempt.filter(|attempt| attempt.script_pid.is_some()) {
                        Some(attempt) => running.push(Running {
                            asked,
                            stage: RunningStage::EntryRemoved,
                            started: Some(attempt.started),
                            attempt: Some(attempt.attempt),
                            host: Some(attempt.host),
                            usual_seconds: None,
                            cancelling: false,
                        }),
                        None => recent.push(Arc::new(Finished::unreadable(asked, problem))),
                    }
                }
                RecordState::Gone => {}
            }
        }
        // A build that is being recorded is among the finished ones already.
        let over: HashSet<&EntryId> = recent.iter().map(|finished| &finished.asked.id).collect();
        running
            .retain(|running| !over.contains(&running.asked.id) || running.stage != RunningStage::Recording);
        waiting
            .retain(|waiting| names.waiting.contains(&waiting.asked.id) || !over.contains(&waiting.asked.id));

        let mut branches = branches::of(&recent);
        for running in &mut running {
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
            if let (None, Some(folder)) = (&since.finished, &folder) {
                fill_in(folder, since);
            }
        }
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

    /// The records by name. Listed again only if a name has come or gone.
    fn records(&mut self, folder: &Folder, now: Timestamp) -> io::Result<Records> {
        let stamp = folder.own_stamp()?;
        if let Some(known) = self.records.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(known.clone());
        }
        let (newest, total) = newest_before(folder, None, NEWEST)?;
        let records = Records { stamp, newest: newest.into(), total };
        let settled = stamp.modified().is_some_and(|modified| now.duration_since(modified) > TICK);
        self.records = settled.then(|| records.clone());
        Ok(records)
    }

    #[allow(clippy::too_many_arguments, reason = "what a look has found so far")]
    fn entries(
        &mut self,
        queue: &Folder,
        records: Option<&Folder>,
        names: &QueueNames,
        known: &Records,
        drain: &Drain,
        now: Timestamp,
        seen: &mut HashSet<String>,
    ) -> (Vec<Running>, Vec<Waiting>) {
        let mut read = |reader: &mut Self, name: String| {
            let entry = reader.entry(queue, &name, now);
            seen.insert(name);
            entry
        };
        let mut running = Vec::new();
        let mut claimed = Vec::new();
        for id in &names.claimed {
            // Vanished since: it is over, and among the records.
            let Some((_, entry)) = read(self, id.claimed()) else { continue };
            running.push(claimed_entry(id, &entry, records, names));
            claimed.push((id, entry));
        }
        let first: Vec<_> = names
            .waiting
            .iter()
            .take(FIRST_WAITING)
            .filter_map(|id| read(self, id.waiting()).map(|(stamp, entry)| (id, stamp, entry)))
            .collect();
        let has_record: HashSet<&EntryId> = known.newest.iter().collect();
        let attempts: Vec<(u32, bool)> = first
            .iter()
            .map(|(id, ..)| {
                let record =
                    records.filter(|_| has_record.contains(id)).and_then(|all| all.folder(id.as_str()).ok());
                let Some(record) = record else { return (0, false) };
                let attempt = record.json::<RunningAttempt>("running.json").value();
                (attempt.map_or(0, |attempt| attempt.attempt), record.stamp("result.json").is_some())
            })
            .collect();
        let around = waits::Around {
            now,
            held: drain.hold.is_some(),
            drain: drain.running,
            threads: drain.threads,
            running: running.len(),
            busy: claimed.iter().filter_map(|(id, entry)| Some((entry.lane()?, *id))).collect(),
        };
        let until: Vec<Option<Timestamp>> = first
            .iter()
            .map(|(id, ..)| {
                let paused = names.paused.binary_search(id).is_ok();
                paused.then(|| queue.json::<Pause>(&format!("build-{id}.retry")).value()).flatten()?.until
            })
            .collect();
        let in_queue: Vec<_> = first
            .iter()
            .zip(&attempts)
            .zip(&until)
            .map(|(((id, _, entry), (_, is_final)), until)| waits::Entry {
                id,
                lane: entry.lane(),
                refused: match &**entry {
                    _ if names.claimed.binary_search(id).is_ok() => {
                        Some("another entry of its name is being built")
                    }
                    _ if *is_final => Some("has the name of a finished build"),
                    Entry::Refused(why) => Some(why),
                    Entry::Request { .. } => None,
                },
                cancelled: names.cancelled.binary_search(id).is_ok(),
                until: *until,
            })
            .collect();
        let reasons = waits::reasons(&in_queue, &around);
        let waiting = first
            .iter()
            .zip(attempts)
            .zip(until)
            .zip(reasons)
            .map(|((((id, stamp, entry), (attempts, _)), until), reason)| Waiting {
                asked: entry.asked(id),
                attempts,
                since: stamp.changed(),
                waits_for: reason.waits_for,
                waits_for_text: reason.text,
                behind: reason.behind,
                until,
            })
            .collect();
        (running, waiting)
    }

    /// Reads an entry, unless it is as it was; none if it has vanished.
    fn entry(&mut self, queue: &Folder, name: &str, now: Timestamp) -> Option<(Stamp, Arc<Entry>)> {
        let stamp = queue.stamp(name)?;
        if let Some((_, entry)) = self.entries.get(name).filter(|(known, _)| *known == stamp) {
            return Some((stamp, Arc::clone(entry)));
        }
        let id = EntryId::of_waiting(name).or_else(|| EntryId::of_claimed(name))?;
        let age = stamp.modified().map(|modified| now.duration_since(modified).abs());
        let is_young = age.is_some_and(|age| age < SETTLES_WITHIN);
        let parse = |bytes: &[u8]| match serde_json::from_slice::<BuildRequest>(bytes) {
            Ok(request) => Ok((Asked::of(&id, &request, Origin::of_entry(bytes)), request.lane())),
            Err(error) if !error.is_data() && is_young => Err("is being written".to_string()),
            Err(error) => Err(format!("is no request: it {}", what_is_wrong(&error))),
        };
        let entry = Arc::new(match queue.content(name, parse) {
            Content::Missing => return None,
            Content::Value((asked, lane)) => Entry::Request { asked: Box::new(asked), lane },
            Content::Unreadable(why) => Entry::Refused(
                why.strip_prefix(name).unwrap_or(&why).trim_start_matches([':', ' ']).to_string(),
            ),
        });
        self.entries.insert(name.to_string(), (stamp, Arc::clone(&entry)));
        Some((stamp, entry))
    }
}

impl Look {
    /// Differs whenever the document would, times apart: what has not changed need not be read again.
    pub fn tag(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.names.hash(&mut hasher);
        (self.records.stamp, self.records.total, &self.records.newest.first()).hash(&mut hasher);
        let drain = &self.drain;
        (drain.running, drain.pid, drain.threads, drain.started, drain.ended, &drain.hold, &drain.troubles)
            .hash(&mut hasher);
        for running in &self.running {
            (&running.asked.id, running.stage, running.started, running.attempt, running.cancelling)
                .hash(&mut hasher);
        }
        for waiting in &self.waiting {
            (
                &waiting.asked.id,
                waiting.waits_for,
                &waiting.waits_for_text,
                &waiting.behind,
                waiting.until,
                waiting.attempts,
            )
                .hash(&mut hasher);
        }
        (self.letters, &self.bad).hash(&mut hasher);
        for problem in &self.problems {
            // Not the words of what is measured: they change with every byte.
            (problem.check, (problem.check != "disk").then_some(&problem.text)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What is wrong with CI itself.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Records {
    fn none() -> Self {
        Self { stamp: Stamp::default(), newest: Arc::new([]), total: 0 }
    }
}

impl Entry {
    fn lane(&self) -> Option<&Lane> {
        match self {
            Self::Request { lane, .. } => Some(lane),
            Self::Refused(_) => None,
        }
    }

    fn asked(&self, id: &EntryId) -> Asked {
        match self {
            Self::Request { asked, .. } => Asked::clone(asked),
            Self::Refused(_) => Asked::unknown(id),
        }
    }
}

impl QueueNames {
    /// Until two readings agree, as an entry may be renamed while the directory is read; but not for ever.
    fn read(queue: &Folder) -> io::Result<Self> {
        let mut names = Self::read_once(queue)?;
        for _ in 0..3 {
            let again = Self::read_once(queue)?;
            if again == names {
                break;
            }
            names = again;
        }
        // A name that has both states was renamed in between, or somebody has put a second entry beside the first.
        Ok(names)
    }

    fn read_once(queue: &Folder) -> io::Result<Self> {
        let mut names = Self::default();
        queue.each_name(|name| {
            let Some(rest) = name.strip_prefix("build-") else { return };
            let (id, of_its_kind) = if let Some(id) = rest.strip_suffix(".lock") {
                (id, &mut names.claimed)
            } else if let Some(id) = rest.strip_suffix(".cancel") {
                (id, &mut names.cancelled)
            } else if let Some(id) = rest.strip_suffix(".retry") {
                (id, &mut names.paused)
            } else {
                (rest, &mut names.waiting)
            };
            of_its_kind.extend(EntryId::parse(id));
        })?;
        for of_a_kind in [&mut names.waiting, &mut names.claimed, &mut names.cancelled, &mut names.paused] {
            of_a_kind.sort_unstable();
        }
        Ok(names)
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

/// What a record says of its build.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub enum RecordState {
    /// It is over.
    Final(Box<Finished>),
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

/// Reads a record, whatever state it is in.
pub fn read_record(records: &Folder, id: &EntryId) -> RecordState {
    let folder = match records.folder(id.as_str()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return RecordState::Gone,
        Err(error) => {
            let problem = match records.stamp(id.as_str()) {
                Some(_) if error.kind() == io::ErrorKind::PermissionDenied => error.to_string(),
                Some(_) => "is not a directory".to_string(),
                None => return RecordState::Gone,
            };
            return RecordState::Final(Box::new(Finished::unreadable(Asked::unknown(id), problem)));
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
            RecordState::Final(Box::new(Finished { problem: request_problem, ..Finished::of(asked, result) }))
        }
        Content::Unreadable(why) => RecordState::Final(Box::new(Finished::unreadable(asked, why))),
        Content::Missing => {
            let attempt = folder.json::<RunningAttempt>("running.json").value();
            if records.stamp(id.as_str()).is_none() {
                return RecordState::Gone;
            }
            RecordState::Begun { asked, attempt, problem: "result.json is not there".to_string() }
        }
    }
}

/// Where red began before the oldest build on view: that one record is opened too.
fn fill_in(folder: &Folder, since: &mut RedSince) {
    if let RecordState::Final(first) = read_record(folder, &since.build) {
        since.finished = first.finished;
        since.committer = first.asked.committer;
        since.commit_id = first.asked.commit_id;
    }
}

fn claimed_entry(id: &EntryId, entry: &Entry, records: Option<&Folder>, names: &QueueNames) -> Running {
    let record = records.and_then(|records| records.folder(id.as_str()).ok());
    let attempt = record.as_ref().and_then(|record| record.json::<RunningAttempt>("running.json").value());
    let is_final = record.is_some_and(|record| record.stamp("result.json").is_some());
    let stage = match &attempt {
        _ if is_final => RunningStage::Recording,
        Some(_) => RunningStage::Running,
        None => RunningStage::Preparing,
    };
    let (started, number, host) = match attempt {
        Some(attempt) => (Some(attempt.started), Some(attempt.attempt), Some(attempt.host)),
        None => (None, None, None),
    };
    Running {
        asked: entry.asked(id),
        stage,
        started,
        attempt: number,
        host,
        usual_seconds: None,
        cancelling: names.cancelled.binary_search(id).is_ok(),
    }
}

/// What the drain says of itself.
pub fn drain_state(queue: &Folder) -> Option<DrainState> {
    queue.json(drain_state::FILE_NAME).value()
}

fn drain(queue: Option<&Folder>, state: Option<&DrainState>, now: Timestamp) -> Drain {
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
        troubles: state.troubles.clone(),
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
