//! What each waiting entry waits for: decided from what the files say, as the drain would decide.

use std::collections::HashMap;

use jiff::Timestamp;

use super::document::WaitsFor;
use crate::queue::{Cancel, EntryId, Lane};

/// A waiting entry, as far as its place in the queue goes.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub id: &'a EntryId,
    /// Its lane, if it is a request.
    pub lane: Option<&'a Lane>,
    /// It will not be built, and why; the drain has yet to say so.
    pub refused: Option<&'a str>,
    /// Somebody has asked to cancel it.
    pub cancelled: Option<&'a Cancel>,
    /// It pauses until then.
    pub until: Option<Timestamp>,
}

/// What is around it.
#[derive(Debug)]
pub struct Around<'a> {
    /// Now.
    pub now: Timestamp,
    /// `queue/hold` is there.
    pub held: bool,
    /// Does a drain run? Null is unknown.
    pub drain: Option<bool>,
    /// How many builds it runs at a time.
    pub threads: Option<u32>,
    /// How many run.
    pub running: usize,
    /// The lanes that they are in.
    pub busy: HashMap<&'a Lane, &'a EntryId>,
}

/// Why it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In one word.
    pub waits_for: WaitsFor,
    /// In words.
    pub text: String,
    /// The build in front of it.
    pub behind: Option<EntryId>,
}

impl Reason {
    fn new(waits_for: WaitsFor, text: impl Into<String>) -> Self {
        Self { waits_for, text: text.into(), behind: None }
    }

    fn behind(waits_for: WaitsFor, text: &str, behind: &EntryId) -> Self {
        Self { waits_for, text: text.to_string(), behind: Some(behind.clone()) }
    }
}

/// A reason for each of these entries, which are in the queue's order.
pub fn reasons<'a>(entries: &[Entry<'a>], around: &Around<'a>) -> Vec<Reason> {
    let mut older: HashMap<&Lane, &EntryId> = HashMap::new();
    let threads = around.threads.map(|threads| usize::try_from(threads).unwrap_or(usize::MAX));
    let mut free = threads.map(|threads| threads.saturating_sub(around.running));
    entries
        .iter()
        .map(|entry| {
            let reason = reason(entry, around, &older, free);
            if let Some(lane) = entry.lane.filter(|_| entry.refused.is_none() && entry.cancelled.is_none()) {
                older.entry(lane).or_insert(entry.id);
            }
            if reason.waits_for == WaitsFor::Nothing {
                free = free.map(|free| free.saturating_sub(1));
            }
            reason
        })
        .collect()
}

fn reason(entry: &Entry, around: &Around, older: &HashMap<&Lane, &EntryId>, free: Option<usize>) -> Reason {
    if let Some(why) = entry.refused {
        return Reason::new(WaitsFor::Decision, why);
    }
    if let Some(cancel) = entry.cancelled {
        return Reason::new(WaitsFor::Cancel, format!("is to be cancelled, {}", cancel.words()));
    }
    if around.held {
        return Reason::new(WaitsFor::Hold, "the queue is held");
    }
    if entry.until.is_some_and(|until| until > around.now) {
        return Reason::new(WaitsFor::Pause, "pauses after something that it needs had failed");
    }
    if let Some(busy) = entry.lane.and_then(|lane| around.busy.get(lane)) {
        return Reason::behind(WaitsFor::Branch, "its branch is being built", busy);
    }
    if let Some(older) = entry.lane.and_then(|lane| older.get(lane)) {
        return Reason::behind(WaitsFor::OlderEntry, "an older push of its branch goes first", older);
    }
    match (around.drain, free) {
        (Some(true), Some(0)) => Reason::new(WaitsFor::Slot, "all slots are taken"),
        (Some(true), _) => Reason::new(WaitsFor::Nothing, "is next"),
        (Some(false), _) => Reason::new(WaitsFor::Drain, "no build runs: cron starts the next one"),
        (None, _) => Reason::new(WaitsFor::Drain, "no build is known to run"),
    }
}
