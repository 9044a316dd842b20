//! The record of a build, `builds/<id>/`: what was asked, what ran, what came out.
//!
//! A record with a `result.json` is final. It is on the disk before anybody is told of it.

use std::{
    fs::DirBuilder,
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

use super::{Cause, Outcome, Rc, Verdict};
use crate::{
    durable,
    error_chain::at,
    home::Home,
    queue::{BuildRequest, EntryId},
};

/// The directory of one build.
#[derive(Debug, Clone)]
pub struct Record {
    dir: PathBuf,
}

/// `running.json`: a try that has begun. It is what counts tries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunningAttempt {
    /// The number of this try.
    pub attempt: u32,
    /// Where.
    pub host: String,
    /// The process of `build`.
    pub pid: u32,
    /// The process of the script, as soon as there is one.
    pub script_pid: Option<u32>,
    /// Since when.
    #[serde(serialize_with = "to_milliseconds")]
    pub started: Timestamp,
    /// Where the script runs.
    pub workspace: PathBuf,
    /// Has the fallback heard that the engine failed this build?
    #[serde(default)]
    pub engine_failed: bool,
}

/// `result.json`: the final word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildResult {
    /// In one word.
    pub outcome: Outcome,
    /// Exit code, or minus the signal's number; null if nothing ran.
    pub rc: Option<Rc>,
    /// For what an exit code does not say.
    pub reason: Option<String>,
    /// When the last try began.
    #[serde(serialize_with = "to_milliseconds")]
    pub started: Timestamp,
    /// When it was over.
    #[serde(serialize_with = "to_milliseconds")]
    pub finished: Timestamp,
    /// How long it took, by the monotonic clock.
    pub seconds: f64,
    /// How often it was tried.
    pub attempts: u32,
    /// Where.
    pub host: String,
    /// Who ended it: `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The newer build in whose favour it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<EntryId>,
    /// What is at fault, where the outcome does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The last counted outcome of the same repository and full ref before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_outcome: Option<Outcome>,
    /// The build that broke the branch: of one that did not succeed, and of the one that mended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red_since: Option<EntryId>,
}

impl BuildResult {
    /// A verdict with its circumstances.
    pub fn new(verdict: &Verdict, started: Timestamp, seconds: f64, attempts: u32, host: String) -> Self {
        Self {
            outcome: verdict.outcome(),
            rc: verdict.rc(),
            reason: verdict.reason().map(str::to_string),
            started,
            finished: Timestamp::now(),
            seconds: (seconds * 1000.0).round() / 1000.0,
            attempts,
            host,
            by: None,
            superseded_by: None,
            cause: verdict.cause(),
            previous_outcome: None,
            red_since: None,
        }
    }
}

/// RFC 3339 in UTC with three decimals: what people read.
fn to_milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

impl Record {
    /// The record of `id`, which need not exist.
    pub fn of(home: &Home, id: &EntryId) -> Self {
        Self { dir: home.builds().join(id.as_str()) }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The script.
    pub fn script(&self) -> PathBuf {
        self.dir.join("build.sh")
    }

    /// The output.
    pub fn output(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// The first thing on record: the entry, byte for byte. A second name of the claimed file, which is on the
    /// disk already, needs neither a new inode nor an fsync; where there can be none, or one is there from an
    /// earlier try, a copy.
    pub fn begin(&self, claimed: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&self.dir)
            .map_err(at(format_args!("cannot make {}", self.dir.display())))?;
        let request = self.dir.join("request.json");
        fs_err::hard_link(claimed, &request).or_else(|_| durable::replace(&request, bytes, 0o640))
    }

    /// What was asked, byte for byte.
    pub fn request_bytes(&self) -> io::Result<Vec<u8>> {
        fs_err::read(self.dir.join("request.json"))
    }

    /// What was asked.
    pub fn request(&self) -> io::Result<BuildRequest> {
        let bytes = self.request_bytes()?;
        parsed(&self.dir.join("request.json"), &bytes)
    }

    /// The final word, if it has been said.
    pub fn result(&self) -> io::Result<Option<BuildResult>> {
        self.read("result.json")
    }

    /// Has it been said?
    pub fn is_final(&self) -> bool {
        self.dir.join("result.json").symlink_metadata().is_ok()
    }

    /// The try that runs, or ran when `build` died. One that is no such text counts as none.
    pub fn running(&self) -> io::Result<Option<RunningAttempt>> {
        match self.read("running.json") {
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(None),
            running => running,
        }
    }

    /// Writes down that a try begins, or what has become known of it. Not synced: it is there for whoever
    /// comes after a death of `build`, and a power cut is no build's doing.
    pub fn set_running(&self, running: &RunningAttempt) -> io::Result<()> {
        durable::replace_unsynced(&self.dir.join("running.json"), &durable::json_line(running), 0o640)
    }

    /// No try runs any more, but those that were made still count.
    pub fn set_waiting(&self) -> io::Result<()> {
        match self.running()? {
            Some(running) => self.set_running(&RunningAttempt { script_pid: None, ..running }),
            None => Ok(()),
        }
    }

    /// The try that has just been made, if it got so far as to be counted, does not count: as it was before.
    pub fn take_back(&self, before: Option<&RunningAttempt>) -> io::Result<()> {
        match before {
            Some(before) if self.set_running(before).is_ok() => Ok(()),
            // Without space and descriptors a file can still be removed: rather a try too many than one too few.
            _ => self.clear_running(),
        }
    }

    /// Nothing runs any more.
    pub fn clear_running(&self) -> io::Result<()> {
        match fs_err::remove_file(self.dir.join("running.json")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Says the final word: the commit point of a build. Durable when this returns `Ok`.
    pub fn commit(&self, result: &BuildResult) -> io::Result<()> {
        durable::replace(&self.dir.join("result.json"), &durable::json_line(result), 0o640)?;
        self.sync()
    }

    /// Makes the names in the record, and its own, durable.
    pub fn sync(&self) -> io::Result<()> {
        durable::sync_dir(&self.dir)?;
        durable::sync_dir(self.dir.parent().unwrap_or(&self.dir))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.dir.join(name);
        match fs_err::read(&path) {
            Ok(bytes) => parsed(&path, &bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> io::Result<T> {
    let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
    serde_json::from_slice(bytes).map_err(invalid).map_err(at(path.display()))
}
