//! The one document that all faces show: `"schema": 1`, to which things are only ever added.
//!
//! Times are RFC 3339 in UTC, durations seconds, what is unknown is null. No address is in it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    queue::{BuildRequest, Cancel, EntryId, Origin, fields::is_address, origin::Why as Queued},
    records::{BuildResult, Cause, Outcome, Rc, RunningAttempt},
};

/// Everything that is to be seen of an installation at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    /// Its form: 1.
    pub schema: u32,
    /// When it was made.
    pub now: Timestamp,
    /// The program that made it.
    pub version: &'static str,
    /// The machine.
    pub host: String,
    /// Is CI itself well?
    pub well: bool,
    /// If not, why not.
    pub problems: Vec<Problem>,
    /// The drain.
    pub drain: Drain,
    /// What is being built, the oldest first.
    pub running: Vec<Running>,
    /// The first of what waits, in order.
    pub waiting: Vec<Waiting>,
    /// How many wait in all.
    pub waiting_total: usize,
    /// The newest finished builds, the newest first.
    pub recent: Vec<Arc<Finished>>,
    /// How many records there are in all.
    pub records_total: usize,
    /// Each branch among `recent`: what is red first, then what was built last.
    pub branches: Vec<Branch>,
    /// Mail that has not been sent.
    pub letters: Letters,
    /// Entries that cannot be built.
    pub bad: Vec<Bad>,
    /// Where everything is written to.
    pub disk: Disk,
}

/// One reason why CI is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What was looked at, in one word.
    pub check: &'static str,
    /// What is wrong, in a sentence without its dot.
    pub text: String,
}

/// The drain: `build`, which takes entries out of the queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Drain {
    /// Does it run? Null if no drain has ever said anything.
    pub running: Option<bool>,
    /// Its process.
    pub pid: Option<u32>,
    /// Since when it runs, or ran.
    pub started: Option<Timestamp>,
    /// When it last looked at the queue.
    pub looked: Option<Timestamp>,
    /// When the last one ended.
    pub ended: Option<Timestamp>,
    /// How many builds run at a time.
    pub threads: Option<u32>,
    /// Does it stay when there is nothing to do?
    pub stay: bool,
    /// `queue/hold`, while it is there.
    pub hold: Option<Hold>,
    /// Faults of the machine that stand.
    pub troubles: Vec<String>,
}

/// Nothing new is begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Hold {
    /// Who and why, if somebody has written it down.
    pub text: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// The build.
    pub id: EntryId,
    /// Null in all of these: the entry cannot be read.
    pub repository: Option<String>,
    /// The full ref.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// The whole hash.
    pub commit_id: Option<String>,
    /// Who pushed.
    pub committer: Option<String>,
    /// When it came.
    pub queued: Option<Timestamp>,
    /// What queued it, if it was no push.
    pub why: Option<Queued>,
    /// The build that is run again.
    pub rerun_of: Option<EntryId>,
    /// Who asked for it, if it was no push.
    pub asked_by: Option<String>,
}

/// A build that has been begun.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Running {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Asked,
    /// How far it is.
    pub stage: RunningStage,
    /// When this try began.
    pub started: Option<Timestamp>,
    /// Which try it is.
    pub attempt: Option<u32>,
    /// Where.
    pub host: Option<String>,
    /// How long builds of this branch take.
    pub usual_seconds: Option<f64>,
    /// Who does not want it any more, since when and why.
    pub cancel: Option<Cancel>,
}

/// How far a claimed entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningStage {
    /// Its script is being put together.
    Preparing,
    /// Its script runs, or ran when the drain died.
    Running,
    /// It is over, and being recorded.
    Recording,
    /// Its script runs, but somebody has removed its entry.
    EntryRemoved,
}

/// An entry that waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waiting {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Asked,
    /// How often it has been tried.
    pub attempts: u32,
    /// Since when it waits as it does.
    pub since: Option<Timestamp>,
    /// For what it waits.
    pub waits_for: WaitsFor,
    /// The same in words.
    pub waits_for_text: String,
    /// The build that it waits for.
    pub behind: Option<EntryId>,
    /// When it goes on, if it pauses.
    pub until: Option<Timestamp>,
    /// Who does not want it any more, since when and why.
    pub cancel: Option<Cancel>,
}

/// Why an entry is not being built yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// Nothing: it is next.
    Nothing,
    /// A slot.
    Slot,
    /// A build of its branch that runs.
    Branch,
    /// An older entry of its branch that waits.
    OlderEntry,
    /// `queue/hold` to go.
    Hold,
    /// The end of a pause after something outside failed.
    Pause,
    /// A drain.
    Drain,
    /// The drain to cancel it.
    Cancel,
    /// The drain to say what is to become of it: it is no request, or has the name of another build.
    Decision,
}

/// A build that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finished {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Asked,
    /// How it came out; null if its record cannot be read.
    pub outcome: Option<Outcome>,
    /// Exit code, or minus the signal's number.
    pub rc: Option<Rc>,
    /// What the exit code does not say.
    pub reason: Option<String>,
    /// When its last try began.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub finished: Option<Timestamp>,
    /// How long it ran.
    pub seconds: Option<f64>,
    /// How often it was tried.
    pub attempts: Option<u32>,
    /// Where.
    pub host: Option<String>,
    /// Who ended it.
    pub by: Option<String>,
    /// The newer build in whose favour it was not run.
    pub superseded_by: Option<EntryId>,
    /// Whose fault an error was.
    pub cause: Option<Cause>,
    /// How the branch did before.
    pub previous_outcome: Option<Outcome>,
    /// The build that broke the branch, while it is broken.
    pub red_since: Option<EntryId>,
    /// What is wrong with the record.
    pub problem: Option<String>,
}

/// One ref of one repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Branch {
    /// Of which repository.
    pub repository: String,
    /// The full ref.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// The last outcome that counts: succeeded, failed or timed out.
    pub outcome: Option<Outcome>,
    /// The build that had it.
    pub build: Option<EntryId>,
    /// When.
    pub finished: Option<Timestamp>,
    /// The build that broke it, while it is red.
    pub red_since: Option<RedSince>,
    /// How many counted builds in a row have not succeeded.
    pub red_builds: usize,
    /// How the newest build came out, counted or not.
    pub last_outcome: Option<Outcome>,
    /// How long a build takes: the median of the last nine that succeeded.
    pub usual_seconds: Option<f64>,
    /// What is being built of it.
    pub running: Vec<EntryId>,
    /// The last builds, in the branch's order.
    pub history: Vec<Point>,
}

/// Where red began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedSince {
    /// The build.
    pub build: EntryId,
    /// When it was over.
    pub finished: Option<Timestamp>,
    /// Who pushed.
    pub committer: Option<String>,
    /// What.
    pub commit_id: Option<String>,
}

/// A build in a plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The build.
    pub build: EntryId,
    /// How it came out.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// When it was over.
    pub finished: Timestamp,
}

/// Letters in the outbox; null if it may not be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Letters {
    /// For the mail server.
    pub waiting: Option<usize>,
    /// That nobody took.
    pub failed: Option<usize>,
}

/// An entry in `queue/bad/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Bad {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub why: Option<String>,
}

/// The file system of the home.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes that may be used.
    pub free_bytes: Option<u64>,
    /// Bytes that have to be free for a build to start.
    pub min_free_bytes: Option<u64>,
    /// Can nothing be written to it?
    pub read_only: bool,
}

impl Asked {
    /// An entry of which nothing but the name is known.
    pub fn unknown(id: &EntryId) -> Self {
        Self {
            id: id.clone(),
            repository: None,
            git_ref: None,
            commit_id: None,
            committer: None,
            queued: queued(id),
            why: None,
            rerun_of: None,
            asked_by: None,
        }
    }

    /// What a request says, addresses apart.
    pub fn of(id: &EntryId, request: &BuildRequest, origin: Option<Origin>) -> Self {
        let (why, rerun_of, asked_by) = match origin {
            Some(origin) => (Some(origin.why), origin.rerun_of, Some(origin.by).filter(|by| !by.is_empty())),
            None => (None, None, None),
        };
        Self {
            id: id.clone(),
            repository: Some(request.repository.to_string()),
            git_ref: Some(request.git_ref.to_string()),
            commit_id: Some(request.commit_id.to_string()),
            committer: Some(without_address(request.committer_name.as_str())),
            queued: queued(id),
            why,
            rerun_of,
            asked_by,
        }
    }

    /// The ref as people say it: without `refs/heads/` or `refs/tags/`.
    pub fn branch(&self) -> Option<&str> {
        self.git_ref.as_deref().map(short_ref)
    }
}

/// A ref without `refs/heads/` or `refs/tags/`.
pub fn short_ref(git_ref: &str) -> &str {
    ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| git_ref.strip_prefix(prefix)).unwrap_or(git_ref)
}

/// Where a sender has no name for people but their address, its first part names them too.
fn without_address(name: &str) -> String {
    let name = name.trim();
    match name.split_once('@') {
        Some((person, _)) if is_address(name) => person.to_string(),
        _ => name.to_string(),
    }
}

/// The moment that an entry's name tells, if it is one of this century.
pub fn queued(id: &EntryId) -> Option<Timestamp> {
    let (seconds, fraction) = id.as_str().split_once('.')?;
    let seconds: i64 =
        seconds.parse().ok().filter(|seconds| (946_684_800..4_102_444_800).contains(seconds))?;
    let nanos: i32 = format!("{fraction:0<9.9}").parse().ok()?;
    Timestamp::new(seconds, nanos).ok()
}

impl Running {
    /// What its record says of its try; it is being prepared until somebody says more.
    pub fn of(asked: Asked, attempt: Option<RunningAttempt>) -> Self {
        let (started, attempt, host) = match attempt {
            Some(attempt) => (Some(attempt.started), Some(attempt.attempt), Some(attempt.host)),
            None => (None, None, None),
        };
        let stage = RunningStage::Preparing;
        Self { asked, stage, started, attempt, host, usual_seconds: None, cancel: None }
    }
}

impl Finished {
    /// A record that can be read.
    pub fn of(asked: Asked, result: BuildResult) -> Self {
        Self {
            asked,
            outcome: Some(result.outcome),
            rc: result.rc,
            reason: result.reason,
            started: Some(result.started),
            finished: Some(result.finished),
            seconds: Some(result.seconds),
            attempts: Some(result.attempts),
            host: Some(result.host),
            by: result.by,
            superseded_by: result.superseded_by,
            cause: result.cause,
            previous_outcome: result.previous_outcome,
            red_since: result.red_since,
            problem: None,
        }
    }

    /// A record that cannot.
    pub fn unreadable(asked: Asked, problem: String) -> Self {
        Self {
            asked,
            outcome: None,
            rc: None,
            reason: None,
            started: None,
            finished: None,
            seconds: None,
            attempts: None,
            host: None,
            by: None,
            superseded_by: None,
            cause: None,
            previous_outcome: None,
            red_since: None,
            problem: Some(problem),
        }
    }
}
