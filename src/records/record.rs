//! The record of a build, `builds/<id>/`: what was asked, what ran, what came out.
//!
//! A record with a `result.json` is final. It is on the disk before anybody is told of it. A build can write in its own
//! record, so anything in it may be missing, garbled, a directory or a FIFO: nothing here waits for it or follows it.

use std::{
    fs::{DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

use super::{Cause, Outcome, Rc, Verdict};
use crate::{
    directory, durable,
    error_chain::at,
    home::Home,
    queue::{BuildRequest, EntryId},
    regular_file,
};

/// What the name of something begins with that stood in a record's place and was none.
pub const BROKEN_PREFIX: &str = ".broken-";

/// The group looks.
const MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

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
    /// When it was started, in ticks since boot, and which boot that was: so it is not taken for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_start: Option<(u64, String)>,
    /// Since when.
    #[serde(serialize_with = "to_milliseconds")]
    pub started: Timestamp,
    /// Where the script runs.
    pub workspace: PathBuf,
    /// Has the fallback heard that the engine failed this build?
    #[serde(default)]
    pub engine_failed: bool,
    /// Did `build` die while it ran?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub died: bool,
}

/// A try that is on record. Its file stays open: of the name, the build may make what it likes.
#[derive(Debug)]
pub struct OnRecord {
    /// What was written down as it began.
    pub running: RunningAttempt,
    file: File,
}

impl OnRecord {
    /// Writes down the script's process, and when that was started. In place, and in one write of no fewer bytes: it needs
    /// no space and no other file, and a death of `build` leaves the text without it or with it.
    pub fn set_script(&self, pid: u32, start: Option<(u64, String)>) -> io::Result<()> {
        let with_script =
            RunningAttempt { script_pid: Some(pid), script_start: start, ..self.running.clone() };
        let mut line = durable::json_line(&with_script);
        line.resize(line.len().max(durable::json_line(&self.running).len()), b'\n');
        self.file.write_all_at(&line, 0)
    }
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
            superseded_by: verdict.superseded_by().cloned(),
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

/// So many records are looked at; what was before them is not searched.
pub const NEWEST: usize = 500;

/// The builds of the newest records, in no order.
pub fn newest(home: &Home) -> io::Result<Vec<EntryId>> {
    let builds = home.builds();
    let names = directory::entries(&builds)?.flatten();
    let mut ids: Vec<EntryId> =
        names.filter_map(|entry| EntryId::parse(entry.file_name().to_str()?)).collect();
    if ids.len() > NEWEST {
        let older = ids.len() - NEWEST;
        ids.select_nth_unstable(older);
        ids.drain(..older);
    }
    Ok(ids)
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

    /// Where a script notes which chunk it has begun.
    pub fn progress(&self) -> PathBuf {
        self.dir.join("progress")
    }

    /// What it has noted, which is no more needed. What is not there or cannot be read says nothing.
    pub fn take_progress(&self) -> String {
        let path = self.progress();
        let noted = regular_file::read(&path).ok().flatten().unwrap_or_default();
        let _ = fs_err::remove_file(path);
        String::from_utf8_lossy(&noted).into_owned()
    }

    /// The first thing on record: the entry, byte for byte. A second name of the claimed file, which is on the
    /// disk already, needs neither a new inode nor an fsync; where there can be none, or one is there from an
    /// earlier try, a copy.
    pub fn begin(&self, claimed: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(&self.dir)
            .map_err(at(format_args!("cannot make {}", self.dir.display())))?;
        let request = self.dir.join("request.json");
        fs_err::hard_link(claimed, &request).or_else(|_| durable::replace(&request, bytes, MODE))
    }

    /// A new record under this name, in the place of what cannot be used as one; that is kept as `builds/.broken-ID`.
    pub fn remake(&self, bytes: &[u8]) -> io::Result<()> {
        let (Some(builds), Some(id)) = (self.dir.parent(), self.dir.file_name()) else { return Ok(()) };
        if self.dir.symlink_metadata().is_ok() {
            let aside = format!("{BROKEN_PREFIX}{}", id.to_string_lossy());
            let numbered = (1..1000).map(|number| format!("{aside}-{number}"));
            let mut names = std::iter::once(aside.clone()).chain(numbered).map(|name| builds.join(name));
            let free = names.find(|path| path.symlink_metadata().is_err());
            fs_err::rename(&self.dir, free.ok_or(ErrorKind::AlreadyExists)?)?;
        }
        durable::create_dir(&self.dir, DIR_MODE)?;
        durable::replace(&self.dir.join("request.json"), bytes, MODE)
    }

    /// What was asked, byte for byte.
    pub fn request_bytes(&self) -> io::Result<Vec<u8>> {
        let path = self.dir.join("request.json");
        regular_file::read(&path)?.ok_or_else(|| at(path.display())(ErrorKind::NotFound.into()))
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

    /// The try that runs, or ran when `build` died. What cannot be read as one counts as none.
    pub fn running(&self) -> Option<RunningAttempt> {
        self.read("running.json").ok().flatten()
    }

    /// Writes down that a try begins. Not synced: it is there for whoever comes after a death of `build`, and a power
    /// cut is no build's doing.
    pub fn begin_try(&self, running: RunningAttempt) -> io::Result<OnRecord> {
        let path = self.dir.join("running.json");
        let file = durable::replace_unsynced(&path, &durable::json_line(&running), MODE)?;
        Ok(OnRecord { running, file })
    }

    /// Writes down what else has become known of the try.
    pub fn set_running(&self, running: &RunningAttempt) -> io::Result<()> {
        self.begin_try(running.clone()).map(drop)
    }

    /// No try runs any more, but those that were made still count. Did `build` die while the last one ran?
    pub fn set_waiting(&self, died: bool) -> io::Result<()> {
        match self.running() {
            Some(running) => {
                self.set_running(&RunningAttempt { script_pid: None, script_start: None, died, ..running })
            }
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
        durable::remove(&self.dir.join("running.json")).map(drop)
    }

    /// Says the final word: the commit point of a build. Durable when this returns `Ok`.
    pub fn commit(&self, result: &BuildResult) -> io::Result<()> {
        durable::replace(&self.dir.join("result.json"), &durable::json_line(result), MODE)?;
        self.sync()
    }

    /// Makes the names in the record, and its own, durable.
    pub fn sync(&self) -> io::Result<()> {
        durable::sync_dir(&self.dir)?;
        durable::sync_dir(self.dir.parent().unwrap_or(&self.dir))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.dir.join(name);
        regular_file::read(&path)?.map(|bytes| parsed(&path, &bytes)).transpose()
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> io::Result<T> {
    let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
    serde_json::from_slice(bytes).map_err(invalid).map_err(at(path.display()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_script_is_noted_in_the_file_that_was_begun_whatever_has_become_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record { dir: dir.path().to_path_buf() };
        let on_record = record.begin_try(RunningAttempt {
            attempt: 1,
            host: "h".to_string(),
            pid: 2,
            script_pid: None,
            script_start: None,
            started: Timestamp::now(),
            workspace: "/w".into(),
            engine_failed: false,
            died: false,
        });
        let on_record = on_record.unwrap();
        // Shorter than the null in its place.
        on_record.set_script(7, None).unwrap();
        assert_eq!(record.running().unwrap().script_pid, Some(7));

        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        fs::remove_file(dir.path().join("running.json")).unwrap();
        symlink(&victim, dir.path().join("running.json")).unwrap();
        on_record.set_script(8, None).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }
}
