//! The directories: what is in them, and what puts it there.

use std::time::Duration;

use jiff::Timestamp;

use super::{Content, World, run::Change};
use crate::queue::{BuildRequest, EntryId, Listing};

#[derive(Clone)]
pub struct Entry {
    pub content: Content,
    pub written: Duration,
}

#[derive(Default)]
pub struct Record {
    pub is_final: bool,
    pub tries: u32,
    pub died: bool,
}

pub fn id(number: u32) -> EntryId {
    EntryId::parse(&format!("{number}.0")).expect("an id")
}

/// The lane that a request asks for.
pub fn lane_of(content: &Content) -> Option<usize> {
    match content {
        Content::Request { lane, .. } => Some(*lane),
        Content::CannotBeMoved => Some(0),
        _ => None,
    }
}

impl World<'_> {
    /// A file of this name appears, or is written again.
    pub fn write(&mut self, id: EntryId, content: &Content) {
        self.touch(&id);
        self.waiting.insert(id.clone(), Entry { content: content.clone(), written: self.now });
        self.run.heard.touched.extend(lane_of(content));
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
        Listing { waiting: waiting.collect(), claimed: claimed.collect(), ..Listing::default() }
    }

    /// Each asks for a commit of its own.
    pub fn request(&self, id: &EntryId, lane: usize) -> BuildRequest {
        let digits: String = id.as_str().chars().filter(char::is_ascii_digit).collect();
        let commit_id = serde_json::from_value(format!("{digits:0>40}").into()).expect("a commit");
        BuildRequest { commit_id, ..self.requests[lane].clone() }
    }

    /// The lane of a request that waits.
    pub fn waiting_in(&self, id: &EntryId) -> Option<usize> {
        match &self.waiting.get(id)?.content {
            Content::Request { lane, .. } => Some(*lane),
            _ => None,
        }
    }

    pub fn clock(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.now
    }
}
