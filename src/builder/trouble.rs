//! Faults of the machine: said once, in the log and to the fallback, however often cron tries again.
//!
//! What has been said is remembered in the file of the drain lock, which has its space already and so can be
//! written on a full disk; where that is read-only, in the system's temporary directory. People see it as
//! line 2 of `queue/lock`.

use std::{
    env, fmt,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
    time::SystemTime,
};

use rustix::{fs::OFlags, io::Errno};

use super::{
    letter::{self, Draft},
    outbox::Outbox,
    settings::Settings,
    workspace,
};
use crate::{
    durable,
    error_chain::{errno, in_full},
    home::Home,
    host,
    queue::{DrainLock, EntryId},
};

/// A fault of the machine: the build could not be run or recorded, and it is not the build's doing.
#[derive(Debug)]
pub struct Fault {
    /// What we were at: the same for every entry that meets this fault.
    pub stage: &'static str,
    /// What the system says, with names and all.
    pub error: io::Error,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, in_full(&self.error))
    }
}

impl Fault {
    /// To be used with `map_err`.
    pub fn at(stage: &'static str) -> impl Fn(io::Error) -> Fault {
        move |error| Fault { stage, error }
    }

    /// By what it is recognised the next time. What concerns the machine as a whole is one trouble, wherever it
    /// is met; of anything else it matters what we were at.
    fn key(&self) -> String {
        let errno = errno(&self.error);
        let cause =
            errno.map_or_else(|| self.error.kind().to_string(), |errno| io::Error::from(errno).to_string());
        match errno {
            Some(
                Errno::NOSPC
                | Errno::DQUOT
                | Errno::ROFS
                | Errno::IO
                | Errno::MFILE
                | Errno::NFILE
                | Errno::AGAIN
                | Errno::NOMEM,
            ) => cause,
            _ => format!("{}: {cause}", self.stage),
        }
    }
}

/// What one run of `build` meets, and what earlier ones have said.
#[derive(Debug)]
pub struct Troubles {
    home: Home,
    settings: Settings,
    said_before: Vec<Said>,
    met: Vec<Said>,
    /// Whether there is a log to write to.
    logged: bool,
}

/// A trouble that is in the log, and whether the fallback was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    key: String,
    mailed: bool,
}

impl Troubles {
    /// Remembers what has been said.
    pub fn recall(home: &Home, settings: &Settings, drain: &DrainLock, logged: bool) -> Self {
        let notes = [drain.note(), elsewhere_note(home)];
        let said_before = notes.iter().flat_map(|note| note.lines()).filter_map(Said::parse).collect();
        Self { home: home.clone(), settings: settings.clone(), said_before, met: Vec::new(), logged }
    }

    /// Says it, unless it has been said.
    pub fn tell(&mut self, fault: &Fault, drain: &DrainLock, outbox: &Outbox) {
        let key = fault.key();
        if self.met.iter().any(|said| said.key == key) {
            return;
        }
        let before = self.said_before.iter().find(|said| said.key == key).cloned();
        if before.is_none() {
            tracing::error!("{fault}; what this keeps from being built stays in the queue");
            if !self.logged {
                eprintln!("build: {fault}");
            }
        }
        let mailed = before.is_some_and(|said| said.mailed) || self.mail(fault, outbox);
        self.met.push(Said { key, mailed });
        self.remember(drain);
    }

    /// The run is over: if it looked at all there was, what it did not meet any more is over too. Returns
    /// whether it met anything.
    pub fn settle(&mut self, drain: &DrainLock, looked_at_all: bool) -> bool {
        if looked_at_all {
            for said in self.not_met() {
                tracing::info!("over: {}", said.key);
            }
            self.said_before.clear();
        }
        self.remember(drain);
        if self.known().next().is_none() {
            let _ = std::fs::remove_file(self.home.queue().join("lock"));
        }
        !self.met.is_empty()
    }

    /// Tells people whose lock this is, and what is wrong at present.
    pub fn show(&self) -> io::Result<()> {
        let keys: Vec<&str> = self.known().map(|said| said.key.as_str()).collect();
        let text = format!("{}\n{}", std::process::id(), keys.join("; "));
        durable::replace(&self.home.queue().join("lock"), format!("{}\n", text.trim_end()).as_bytes(), 0o666)
    }

    /// What was said by earlier runs and has not been met by this one, yet.
    fn not_met(&self) -> impl Iterator<Item = &Said> {
        self.said_before.iter().filter(|said| !self.met.iter().any(|met| met.key == said.key))
    }

    fn known(&self) -> impl Iterator<Item = &Said> {
        self.met.iter().chain(self.not_met())
    }

    fn remember(&self, drain: &DrainLock) {
        let note: String = self.known().map(Said::line).collect();
        let elsewhere = elsewhere(&self.home);
        if note.trim_end() != drain.note() || elsewhere.exists() {
            match drain.set_note(&note) {
                Ok(()) => _ = std::fs::remove_file(elsewhere),
                Err(_) => _ = durable::replace(&elsewhere, note.as_bytes(), 0o600),
            }
        }
        let _ = self.show();
    }

    fn mail(&self, fault: &Fault, outbox: &Outbox) -> bool {
        let text = format!(
            "amp_ci in {} on {} has met a fault of the machine:\n\n    {}\n\n\
             What this keeps from being built stays in the queue. As long as it lasts, every start of build tries \
             again and says nothing more; when it is mended, all goes on by itself. `build --check` looks at the whole \
             installation.\n",
            self.home.dir().display(),
            host::name(),
            crate::text::printable(&fault.to_string()),
        );
        let now = SystemTime::now();
        let letter = letter::write(
            Draft {
                stem: format!("trouble-{}", EntryId::at(now)),
                to: &self.settings.mail_fallback,
                subject: format!("AMP CI cannot build on {}: {}", host::name(), fault.key()),
                text,
                build: None,
                date: now,
            },
            &self.settings,
        );
        // On a full disk there is no room for it in the outbox, but there may be a mail server.
        outbox.put(&letter).is_ok() || outbox.send_unstored(&letter).is_ok()
    }
}

impl Said {
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
    env::temp_dir().join(format!("amp_ci-trouble-{}", workspace::mark(home)))
}

/// Read only if it is ours: anybody can put a file there.
fn elsewhere_note(home: &Home) -> String {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(elsewhere(home));
    let ours = file.ok().filter(|file| {
        let user = rustix::process::geteuid().as_raw();
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.uid() == user)
    });
    let mut note = String::new();
    if let Some(file) = ours {
        let _ = file.take(4096).read_to_string(&mut note);
    }
    note
}
