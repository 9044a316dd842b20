//! What the scheduler has been told, and so has to know.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
};

use super::World;
use crate::{
    builder::{attempt_end::AttemptEnd, fault::Fault, scheduler::Event},
    queue::{EntryId, EntryState},
};

/// What the scheduler has to know, since it was told.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is told apart from the others")]
pub struct Heard {
    pub is_held: bool,
    pub is_watched: bool,
    /// Changes were lost.
    pub is_unsure: bool,
    pub signal: bool,
    pub fault: bool,
    /// Entries that it has to take care of.
    pub waiting: BTreeSet<EntryId>,
    /// Where the newest push wins: what it has to look at before it starts any.
    pub unknown: HashSet<EntryId>,
    /// What it need not look at again before it hears of it.
    pub aside: HashSet<EntryId>,
    /// What it has to look at again in a second.
    pub unsettled: HashSet<EntryId>,
    /// Lanes of builds that are not known to be over.
    pub busy: HashMap<EntryId, &'static str>,
    pub scripts_over: HashSet<EntryId>,
    /// Those of them under which `build` has died before.
    pub suspects: HashSet<EntryId>,
    /// Lanes that pause for an entry, although that was changed by hand: it has not heard of it.
    pub in_vain: HashMap<EntryId, &'static str>,
    /// What people have changed in this run by hand was of these lanes.
    pub touched: HashSet<&'static str>,
    /// Builds that nobody wants any more.
    pub cancelled: HashSet<EntryId>,
    /// What it has tried to record as cancelled: looks at the queue remind it of no other cancel.
    pub tried: HashSet<EntryId>,
    /// What was claimed, and the newest that had come by then.
    pub claims: BTreeMap<EntryId, EntryId>,
    /// The newest that has come.
    pub newest: Option<EntryId>,
    /// To be built though it asks for the same.
    pub wanted: HashSet<EntryId>,
    /// What somebody has to be told, and how often.
    pub owed: HashMap<String, i32>,
    pub told: Vec<String>,
}

impl Heard {
    pub fn appeared(&mut self, id: &EntryId, was_told: bool) {
        if was_told || !self.aside.contains(id) {
            self.newest = self.newest.take().max(Some(id.clone()));
        }
        if was_told {
            self.aside.remove(id);
        } else if self.aside.contains(id) {
            return;
        }
        self.unknown.insert(id.clone());
        self.unsettled.remove(id);
        self.in_vain.remove(id);
        self.waiting.insert(id.clone());
    }

    pub fn set_aside(&mut self, id: &EntryId) {
        self.waiting.remove(id);
        self.aside.insert(id.clone());
    }

    pub fn look_again(&mut self, id: &EntryId) {
        self.waiting.remove(id);
        self.unsettled.insert(id.clone());
    }

    /// Its build is over.
    pub fn free(&mut self, id: &EntryId) {
        self.busy.remove(id);
        self.scripts_over.remove(id);
        self.suspects.remove(id);
        if self.aside.remove(id) {
            self.waiting.insert(id.clone());
        }
    }

    pub fn owe(&mut self, fault: &Fault) {
        *self.owed.entry(fault.to_string()).or_default() += 1;
    }

    pub fn fault(&mut self, fault: &Fault) {
        self.owe(fault);
        self.fault = true;
    }
}

impl World<'_> {
    pub fn note(&mut self, event: &Event) {
        let is_newest_only = self.scenario.newest_only;
        let heard = &mut self.run.heard;
        match event {
            Event::Begun
            | Event::MailSent(_)
            | Event::Rejected
            | Event::Claimed(_)
            | Event::Withdrawn
            | Event::Outdated => {}
            Event::Cancelled(id) => {
                heard.cancelled.insert(id.clone());
                heard.tried.remove(id);
            }
            Event::Wanted(id) => {
                heard.wanted.insert(id.clone());
                heard.waiting.insert(id.clone());
            }
            Event::Unclear => heard.is_unsure = true,
            Event::WatchLost => heard.is_watched = false,
            Event::Arrived(id) => heard.appeared(id, true),
            Event::Resumed(id) => _ = heard.in_vain.remove(id),
            Event::Held(held) => heard.is_held = *held,
            Event::Listed { listing, held } => {
                (heard.is_held, heard.is_unsure) = (*held, false);
                heard.cancelled.extend(listing.cancelled.iter().cloned());
                for id in &listing.waiting {
                    heard.appeared(id, false);
                }
            }
            Event::Looked { id, held, .. } if is_newest_only && heard.unknown.remove(id) => {
                heard.is_held = *held;
            }
            Event::Looked { id, state, held, .. } => {
                heard.is_held = *held;
                let is_busy = heard.busy.contains_key(id);
                match state {
                    Ok(EntryState::Request(..)) if !is_busy => {}
                    Ok(EntryState::Invalid(_)) => {}
                    Ok(EntryState::Missing) => _ = heard.waiting.remove(id),
                    Ok(EntryState::BeingWritten) => heard.look_again(id),
                    Ok(EntryState::Request(..) | EntryState::NotAFile) => heard.set_aside(id),
                    Err(error) => {
                        heard.owe(&Fault {
                            stage: "an entry in queue/ cannot be opened",
                            error: io::Error::new(error.kind(), error.to_string()),
                        });
                        heard.set_aside(id);
                    }
                }
            }
            Event::NotClaimed(id) => heard.set_aside(id),
            Event::Stuck(id, fault) => {
                heard.owe(fault);
                heard.set_aside(id);
            }
            Event::Rewritten(id) => heard.look_again(id),
            Event::NotStarted(id, fault) => {
                heard.fault(fault);
                heard.free(id);
            }
            Event::Failed(fault) => heard.fault(fault),
            Event::ScriptOver(id) => _ = heard.scripts_over.insert(id.clone()),
            Event::Finished(id, end) => {
                heard.free(id);
                match end {
                    AttemptEnd::Later => {
                        heard.waiting.insert(id.clone());
                        heard.unknown.insert(id.clone());
                    }
                    AttemptEnd::NoVerdict => heard.fault = true,
                    AttemptEnd::Fault(fault) => heard.fault(fault),
                    AttemptEnd::Recorded | AttemptEnd::PutBack => {}
                }
            }
            Event::Signal(_) => heard.signal = true,
        }
    }
}
