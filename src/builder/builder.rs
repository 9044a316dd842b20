//! What every build needs, at the bottom of what happens to it.

use std::{
    io,
    sync::{Mutex, OnceLock},
    time::SystemTime,
};

use super::{
    fault::Fault,
    mail::letters::Letterhead,
    outbox::outbox::Outbox,
    process::{mask::Mask, supervisor::Supervisor, workspace::WorkDir},
    secrets::Secrets,
    settings::Settings,
};
use crate::{
    forge::statuses::Statuses,
    home::Home,
    queue::{Claimed, DrainLock, EntryId},
    records::{History, Record},
    text::printable,
};

#[derive(Debug)]
pub struct Builder {
    pub home: Home,
    pub settings: Settings,
    /// The right to take entries.
    pub lock: DrainLock,
    pub supervisor: Supervisor,
    pub outbox: Outbox,
    pub letterhead: Letterhead,
    /// What the forge hears.
    pub statuses: Statuses,
    /// How each branch did before.
    pub history: History,
    /// The home's id, as it was when we began.
    pub tag: String,
    /// Held by who changes `queue/left-over.json`.
    pub left_over: Mutex<()>,
    secrets: Secrets,
    work_dir: OnceLock<WorkDir>,
}

impl Builder {
    /// With the queue's lock held, nothing begun.
    pub fn new(
        home: Home,
        settings: Settings,
        lock: DrainLock,
        supervisor: Supervisor,
        outbox: Outbox,
        letterhead: Letterhead,
    ) -> Self {
        let statuses = Statuses::new(&home, settings.forge.clone(), settings.page_url.clone());
        Self {
            tag: home.tag(),
            secrets: Secrets::known(&settings.mask, &settings.git_base),
            home,
            settings,
            lock,
            supervisor,
            outbox,
            letterhead,
            statuses,
            history: History::default(),
            left_over: Mutex::default(),
            work_dir: OnceLock::new(),
        }
    }

    /// Where workspaces are made: resolved once, and refused if it is not safe.
    pub fn work_dir(&self) -> Result<&WorkDir, Fault> {
        if let Some(work_dir) = self.work_dir.get() {
            return Ok(work_dir);
        }
        let opened = self.settings.open_work_dir(&self.tag);
        let opened = opened.map_err(Fault::at("there is no work directory"))?;
        Ok(self.work_dir.get_or_init(|| opened))
    }

    /// What the processes of a build are recognised by: this home, this entry.
    pub fn mark(&self, id: &EntryId) -> String {
        format!("{}-{id}", self.tag)
    }

    /// What the marks of all our builds begin with.
    pub fn mark_prefix(&self) -> String {
        format!("{}-", self.tag)
    }

    /// What no output may show.
    pub fn mask(&self) -> Mask {
        self.secrets.mask(&self.home)
    }

    pub fn record(&self, id: &EntryId) -> Record {
        Record::of(&self.home, id)
    }

    /// Back into the queue, also if somebody has removed the claimed entry meanwhile.
    pub fn put_back(&self, entry: &Claimed) -> io::Result<()> {
        if !self.lock.put_back(&entry.id)? {
            self.lock.restore(&entry.id, &entry.bytes)?;
        }
        Ok(())
    }

    /// Moves a waiting entry to `bad/` and tells the fallback.
    pub fn reject(&self, id: &EntryId, why: &str) -> io::Result<()> {
        let name = self.lock.reject(id, why, &|name| self.tell_of_bad(name, why))?;
        rejected(id, why, name);
        Ok(())
    }

    /// The same with a claimed entry.
    pub fn reject_claimed(&self, id: &EntryId, why: &str) -> io::Result<()> {
        let name = self.lock.reject_claimed(id, why, &|name| self.tell_of_bad(name, why))?;
        rejected(id, why, name);
        Ok(())
    }

    fn tell_of_bad(&self, name: &str, why: &str) -> io::Result<()> {
        self.outbox.put(&self.letterhead.bad_entry(name, why, SystemTime::now()))
    }
}

fn rejected(id: &EntryId, why: &str, name: Option<String>) {
    if let Some(name) = name {
        tracing::error!("queue/build-{id} is now queue/bad/{name}: {}", printable(why));
    }
}
