//! Faults of the machine: said once, in the log and to the fallback, however often cron tries again; and again each day
//! that they stand.
//!
//! What has been said is remembered in the file of the drain lock, which has its space already and so can be
//! written on a full disk; where that is read-only, in the system's temporary directory. People see it as
//! line 2 of `queue/lock`.

use std::{
    env,
    fs::DirEntry,
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    fault::Fault,
    mail::{letter::Letter, letters::Letterhead},
    outbox::delivery::Delivery,
};
use crate::{
    durable,
    home::Home,
    queue::DrainLock,
    regular_file::{self, Opened},
};

/// By this it is recognised the next time.
const LEFT_OVER: &str = "what builds have left cannot be ended or removed";

/// What one run of `build` meets, and what earlier ones have said.
#[derive(Debug)]
pub struct FaultLog {
    home: Home,
    delivery: Delivery,
    reported_before: Vec<ReportedFault>,
    met: Vec<ReportedFault>,
    /// The file in the temporary directory, if there is one.
    elsewhere: Option<PathBuf>,
    /// Whether there is a log to write to.
    logged: bool,
}

/// A fault that is in the log, and whether the fallback was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReportedFault {
    key: String,
    mailed: bool,
    /// When it was said last.
    said: Timestamp,
}

impl FaultLog {
    /// Remembers what has been said.
    pub fn recall(home: &Home, delivery: Delivery, lock: &DrainLock, logged: bool) -> Self {
        let elsewhere = elsewhere(home);
        let notes = [lock.note(), elsewhere.as_deref().map(note_at).unwrap_or_default()];
        let reported_before =
            notes.iter().flat_map(|note| note.lines()).filter_map(ReportedFault::parse).collect();
        Self { home: home.clone(), delivery, reported_before, met: Vec::new(), elsewhere, logged }
    }

    /// Says it, unless it has been said within a day.
    pub fn tell(&mut self, fault: &Fault, lock: &DrainLock) {
        let (key, text) = (fault.key(), fault.to_string());
        let said = format!("{text}; what this keeps from being built stays in the queue");
        let letter = move |head: &Letterhead, key: &str| head.fault(&text, key, SystemTime::now());
        self.say(&key, &said, letter, lock);
    }

    /// What builds have left and nobody can end or remove, a line for each.
    pub fn tell_of_left_over(&mut self, lines: &[String], lock: &DrainLock) {
        let said = format!("{LEFT_OVER}: {}", lines.join("; "));
        self.say(LEFT_OVER, &said, |head, _| head.left_over(lines, SystemTime::now()), lock);
    }

    fn say(
        &mut self,
        key: &str,
        text: &str,
        letter: impl FnOnce(&Letterhead, &str) -> Letter,
        lock: &DrainLock,
    ) {
        let now = Timestamp::now();
        let is_fresh = |said: &&ReportedFault| {
            // One of the future was said by a clock that was wrong.
            let age = now.duration_since(said.said);
            said.key == key && age < SignedDuration::from_hours(24) && age > SignedDuration::from_hours(-1)
        };
        if self.met.iter().any(|said| is_fresh(&said)) {
            return;
        }
        let before = self.reported_before.iter().find(is_fresh).cloned();
        if before.is_none() {
            tracing::error!("{text}");
            if !self.logged {
                eprintln!("build: {text}");
            }
        }
        let mailed = before.as_ref().is_some_and(|before| before.mailed)
            || self.mail(&letter(&self.delivery.letterhead, key));
        self.met.retain(|said| said.key != key);
        self.met.push(ReportedFault {
            key: key.to_string(),
            mailed,
            said: before.map_or(now, |before| before.said),
        });
        self.remember(lock);
    }

    /// The run is over: if it looked at all there was, what it did not meet any more is over too. Returns
    /// whether it met anything.
    pub fn settle(&mut self, lock: &DrainLock, looked_at_all: bool) -> bool {
        if looked_at_all {
            self.forget_what_is_over(lock);
        }
        self.remember(lock);
        if self.known().next().is_none() {
            let _ = std::fs::remove_file(self.home.queue().join("lock"));
        }
        !self.met.is_empty()
    }

    /// All has been looked at: what was not met any more is over.
    pub fn forget_what_is_over(&mut self, lock: &DrainLock) {
        for fault in self.not_met() {
            tracing::info!("over: {}", fault.key);
        }
        self.reported_before.clear();
        self.remember(lock);
    }

    /// Tells people whose lock this is, and what is wrong at present.
    pub fn show(&self) -> io::Result<()> {
        let keys: Vec<&str> = self.known().map(|fault| fault.key.as_str()).collect();
        let text = format!("{}\n{}", std::process::id(), keys.join("; "));
        durable::replace(&self.home.queue().join("lock"), format!("{}\n", text.trim_end()).as_bytes(), 0o640)
    }

    /// What was said by earlier runs and has not been met by this one, yet.
    fn not_met(&self) -> impl Iterator<Item = &ReportedFault> {
        self.reported_before.iter().filter(|fault| !self.met.iter().any(|met| met.key == fault.key))
    }

    /// From here on it is seen again what is wrong: this is what has been said before.
    pub fn begin_again(&mut self) {
        let before = self.not_met().cloned().collect();
        self.reported_before = before;
        self.reported_before.append(&mut self.met);
    }

    /// What is wrong at present, a line for each.
    pub fn standing(&self) -> Vec<String> {
        self.known().map(|fault| fault.key.clone()).collect()
    }

    fn known(&self) -> impl Iterator<Item = &ReportedFault> {
        self.met.iter().chain(self.not_met())
    }

    fn remember(&mut self, lock: &DrainLock) {
        let note: String = self.known().map(ReportedFault::line).collect();
        if note.trim_end() != lock.note() || self.elsewhere.is_some() {
            let elsewhere = self.elsewhere.take();
            match (lock.set_note(&note), elsewhere) {
                (Ok(()), None) => {}
                (Ok(()), Some(path)) => _ = std::fs::remove_file(path),
                (Err(_), Some(path)) if note.is_empty() => _ = std::fs::remove_file(path),
                (Err(_), Some(path)) => {
                    let _ = durable::replace(&path, note.as_bytes(), 0o600);
                    self.elsewhere = Some(path);
                }
                (Err(_), None) => self.elsewhere = new_elsewhere(&self.home, &note).ok(),
            }
        }
        let _ = self.show();
    }

    fn mail(&self, letter: &Letter) -> bool {
        // On a full disk there is no room for it in the outbox, but there may be a mail server.
        self.delivery.outbox.put(letter).is_ok() || self.delivery.send_unstored(letter).is_ok()
    }
}

impl ReportedFault {
    fn parse(line: &str) -> Option<Self> {
        let (how, rest) = line.split_once(' ')?;
        // Without a time: of an earlier version.
        let (said, key) = rest
            .split_once(' ')
            .and_then(|(said, key)| Some((said.parse().ok()?, key)))
            .unwrap_or_else(|| (Timestamp::now(), rest));
        match how {
            "mailed" | "logged" => Some(Self { key: key.to_string(), mailed: how == "mailed", said }),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let said = self.said.strftime("%Y-%m-%dT%H:%M:%SZ");
        format!("{} {said} {}\n", if self.mailed { "mailed" } else { "logged" }, self.key)
    }
}

/// What the name of the file begins with where it is remembered when the home is read-only. How it ends cannot be guessed,
/// since everybody can put files there.
fn elsewhere_prefix(home: &Home) -> String {
    format!("amp_ci-trouble-{}-", home.tag())
}

/// The file of that name that is ours, if there is one.
fn elsewhere(home: &Home) -> Option<PathBuf> {
    let (prefix, user) = (elsewhere_prefix(home), rustix::process::geteuid().as_raw());
    let is_ours = |entry: &DirEntry| {
        entry.file_name().as_bytes().starts_with(prefix.as_bytes())
            && entry.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.uid() == user && metadata.mode() & 0o777 == 0o600
            })
    };
    let mut entries = std::fs::read_dir(env::temp_dir()).ok()?.flatten();
    entries.find(is_ours).map(|entry| entry.path())
}

fn new_elsewhere(home: &Home, note: &str) -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix(&elsewhere_prefix(home)).rand_bytes(16).tempfile()?;
    file.write_all(note.as_bytes())?;
    Ok(file.into_temp_path().keep()?)
}

fn note_at(path: &Path) -> String {
    let Ok(Opened::File(file)) = regular_file::open(path) else { return String::new() };
    let mut note = String::new();
    let _ = file.take(4096).read_to_string(&mut note);
    note
}
