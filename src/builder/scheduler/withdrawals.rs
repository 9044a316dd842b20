//! What is not to be built, or not any more.

use std::collections::{BTreeMap, HashSet};

use crate::queue::EntryId;

/// Why an entry is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawal {
    /// Somebody has asked for that.
    Cancelled,
    /// This one is built in its place.
    Superseded(EntryId),
    /// This one asked for the same, and was not begun yet when it came; unless somebody had that built before, and so wants
    /// it again.
    Repeats(EntryId),
}

/// What is to be done about one.
#[derive(Debug)]
pub enum Step {
    /// It waits: it is to be recorded.
    Record(EntryId, Withdrawal),
    /// It runs: it is to be ended.
    End(EntryId),
}

#[derive(Debug, Default)]
pub struct Withdrawals {
    asked: BTreeMap<EntryId, Withdrawal>,
    /// Of the builds that run.
    being_ended: HashSet<EntryId>,
}

impl Withdrawals {
    /// Somebody asks.
    pub fn cancel(&mut self, id: EntryId) {
        self.asked.insert(id, Withdrawal::Cancelled);
    }

    /// Another one is built in its place. That somebody has cancelled it comes first.
    pub fn replace(&mut self, id: EntryId, why: Withdrawal) {
        self.asked.entry(id).or_insert(why);
    }

    /// Is there anything left to do?
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The next step. What is `claimed` and not started yet is ended as soon as it is; what runs is never superseded.
    pub fn next(&mut self, claimed: Option<&EntryId>, runs: impl Fn(&EntryId) -> bool) -> Option<Step> {
        while let Some(id) = self.asked.keys().find(|id| Some(*id) != claimed).cloned() {
            let why = self.asked.remove(&id)?;
            if !runs(&id) {
                return Some(Step::Record(id, why));
            }
            if why == Withdrawal::Cancelled && self.being_ended.insert(id.clone()) {
                return Some(Step::End(id));
            }
        }
        None
    }

    /// A build is over. If it is not on record, it came to no end of its own before it was ended.
    pub fn finished(&mut self, id: &EntryId, is_recorded: bool) {
        if self.being_ended.remove(id) && !is_recorded {
            self.cancel(id.clone());
        }
    }
}
