//! The directories: what is in them, and what puts it there.

use std::time::Duration;

use jiff::Timestamp;

use super::{Content, Push, REFS, What, World, kernel::Change};
use crate::queue::{BuildRequest, EntryId, Listing};

#[derive(Clone)]
pub struct Entry {
    pub content: Content,
    pub written: Duration,
}

#[derive(Clone, Copy, Default)]
pub struct Record {
    pub what: Option<What>,
    pub is_final: bool,
    pub tries: u32,
    pub died: bool,
}

pub fn id(number: u32) -> EntryId {
    EntryId::parse(&format!("{number}.0")).expect("an id")
}

/// What is asked for, if it is a request.
pub fn what(content: &Content) -> Option<What> {
    match content {
        Content::Request(push) => Some(push.what),
        Content::CannotBeMoved => Some(What { git_ref: 0, commit: 99 }),
        _ => None,
    }
}

/// The lane that a request asks for.
pub fn lane_of(content: &Content) -> Option<&'static str> {
    what(content).map(What::lane)
}

pub fn request(what: What) -> BuildRequest {
    let (git_ref, commit) = (REFS[what.git_ref], what.commit);
    let json = format!(r#"{{"repository":"r","ref":"{git_ref}","commit_id":"{commit:0>40}"}}"#);
    serde_json::from_str(&json).expect("a request")
}

/// The text of an entry, as far as it counts.
pub fn bytes(content: &Content) -> Vec<u8> {
    match content {
        Content::Request(Push { is_rerun: true, .. }) => br#"{"amp_ci":{"why":"rerun"}}"#.to_vec(),
        _ => Vec::new(),
    }
}

impl World<'_> {
    /// A file of this name appears, or is written again.
    pub fn write(&mut self, id: EntryId, content: &Content) {
        let is_new = !self.waiting.contains_key(&id)
            && !self.claimed.contains_key(&id)
            && !self.records.contains_key(&id);
        self.asked.extend(what(content));
        self.touch(&id);
        self.waiting.insert(id.clone(), Entry { content: content.clone(), written: self.now });
        if !is_new {
            self.run.heard.touched.extend(lane_of(content));
        }
        self.run.changed(Change::Arrived(id));
    }

    /// Somebody changes something of an entry by hand, and the scheduler does not know yet.
    pub fn touch(&mut self, id: &EntryId) {
        let heard = &mut self.run.heard;
        heard.waiting.remove(id);
        let Some(lane) = self.waiting.get(id).and_then(|entry| lane_of(&entry.content)) else { return };
        heard.touched.insert(lane);
        if self.retries.contains_key(id) {
            heard.in_vain.entry(id.clone()).or_insert(lane);
        }
    }

    pub fn end_pause(&mut self, id: &EntryId) {
        if self.retries.remove(id).is_some() {
            self.run.changed(Change::Resumed(id.clone()));
        }
    }

    pub fn finish(&mut self, id: &EntryId) {
        self.records.entry(id.clone()).or_default().is_final = true;
        self.end_pause(id);
        self.cancels.remove(id);
        self.claimed.remove(id);
        self.progress += 1;
    }

    /// If no other of its name waits.
    pub fn put_back(&mut self, id: &EntryId, entry: Entry) {
        if self.waiting.contains_key(id) {
            return;
        }
        self.claimed.remove(id);
        self.waiting.insert(id.clone(), entry);
        self.run.changed(Change::Arrived(id.clone()));
    }

    pub fn listing(&self) -> Listing {
        let (waiting, claimed) = (self.waiting.keys().cloned(), self.claimed.keys().cloned());
        Listing {
            waiting: waiting.collect(),
            claimed: claimed.collect(),
            cancelled: self.cancels.iter().cloned().collect(),
            ..Listing::default()
        }
    }

    /// The lane of a request that waits.
    pub fn waiting_in(&self, id: &EntryId) -> Option<&'static str> {
        self.push(id).map(|push| push.what.lane())
    }

    /// The request that waits.
    pub fn push(&self, id: &EntryId) -> Option<&Push> {
        match &self.waiting.get(id)?.content {
            Content::Request(push) => Some(push),
            _ => None,
        }
    }

    pub fn clock(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.now
    }
}
