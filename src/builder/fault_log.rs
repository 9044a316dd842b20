//! Faults of the machine: said once, in the log and to the fallback, however often cron tries again.
//!
//! What has been said is remembered in the file of the drain lock, which has its space already and so can be
//! written on a full disk; where that is read-only, in the system's temporary directory. People see it as
//! line 2 of `queue/lock`.

use std::{
    env,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::SystemTime,
};

use super::{fault::Fault, outbox::delivery::Delivery};
use crate::{
    durable,
    home::Home,
    queue::DrainLock,
    regular_file::{self, Opened},
};

/// What one run of `build` meets, and what earlier ones have said.
#[derive(Debug)]
pub struct FaultLog {
    home: Home,
    delivery: Delivery,
    reported_before: Vec<ReportedFault>,
    met: Vec<ReportedFault>,
    /// Whether there is a log to write to.
    logged: bool,
}

/// A fault that is in the log, and whether the fallback was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReportedFault {
    key: String,
    mailed: bool,
}

impl FaultLog {
    /// Remembers what has been said.
    pub fn recall(home: &Home, delivery: Delivery, lock: &DrainLock, logged: bool) -> Self {
        let notes = [lock.note(), elsewhere_note(home)];
        let reported_before =
            notes.iter().flat_map(|note| note.lines()).filter_map(ReportedFault::parse).collect();
        Self { home: home.clone(), delivery, reported_before, met: Vec::new(), logged }
    }

    /// Says it, unless it has been said.
    pub fn tell(&mut self, fault: &Fault, lock: &DrainLock) {
        let key = fault.key();
        if self.met.iter().any(|fault| fault.key == key) {
            return;
        }
        let before = self.reported_before.iter().find(|fault| fault.key == key).cloned();
        if before.is_none() {
            tracing::error!("{fault}; what this keeps from being built stays in the queue");
            if !self.logged {
                eprintln!("build: {fault}");
            }
        }
        let mailed = before.is_some_and(|fault| fault.mailed) || self.mail(fault);
        self.met.push(ReportedFault { key, mailed });
        self.remember(lock);
    }

    /// The run is over: if it looked at all there was, what it did not meet any more is over too. Returns
    /// whether it met anything.
    pub fn settle(&mut self, lock: &DrainLock, looked_at_all: bool) -> bool {
        if looked_at_all {
            for fault in self.not_met() {
                tracing::info!("over: {}", fault.key);
            }
            self.reported_before.clear();
        }
        self.remember(lock);
        if self.known().next().is_none() {
            let _ = std::fs::remove_file(self.home.queue().join("lock"));
        }
        !self.met.is_empty()
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

    /// What is wrong at present, a line for each.
    pub fn standing(&self) -> Vec<String> {
        self.known().map(|fault| fault.key.clone()).collect()
    }

    fn known(&self) -> impl Iterator<Item = &ReportedFault> {
        self.met.iter().chain(self.not_met())
    }

    fn remember(&self, lock: &DrainLock) {
        let note: String = self.known().map(ReportedFault::line).collect();
        let elsewhere = elsewhere(&self.home);
        if note.trim_end() != lock.note() || elsewhere.exists() {
            match lock.set_note(&note) {
                Ok(()) => _ = std::fs::remove_file(elsewhere),
                Err(_) => _ = durable::replace(&elsewhere, note.as_bytes(), 0o600),
            }
        }
        let _ = self.show();
    }

    fn mail(&self, fault: &Fault) -> bool {
        let letter = self.delivery.letterhead.fault(&fault.to_string(), &fault.key(), SystemTime::now());
        // On a full disk there is no room for it in the outbox, but there may be a mail server.
        self.delivery.outbox.put(&letter).is_ok() || self.delivery.send_unstored(&letter).is_ok()
    }
}

impl ReportedFault {
    fn parse(line: &str) -> Option<Self> {
        let (how, key) = line.split_once(' ')?;
        match how {
            "mailed" | "logged" => Some(Self { key: key.to_string(), mailed: how == "mailed" }),
            _ => None,
        }
    }

    fn line(&self) -> String {
        format!("{} {}\n", if self.mailed { "mailed" } else { "logged" }, self.key)
    }
}

/// Where it is remembered when the home is read-only.
fn elsewhere(home: &Home) -> PathBuf {
    env::temp_dir().join(format!("amp_ci-trouble-{}", home.tag()))
}

/// Read only if it is ours: anybody can put a file there.
fn elsewhere_note(home: &Home) -> String {
    let Ok(Opened::File(file)) = regular_file::open(&elsewhere(home)) else { return String::new() };
    let user = rustix::process::geteuid().as_raw();
    if !file.metadata().is_ok_and(|metadata| metadata.uid() == user) {
        return String::new();
    }
    let mut note = String::new();
    let _ = file.take(4096).read_to_string(&mut note);
    note
}
