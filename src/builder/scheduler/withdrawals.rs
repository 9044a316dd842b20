//! What is not to be built: cancelled, superseded, or asked for twice.

use std::collections::{BTreeMap, HashSet};

use super::{
    action::{Action, Withdrawal},
    slots::Slots,
};
use crate::queue::EntryId;

#[derive(Debug, Default)]
pub struct Withdrawals {
    /// To be recorded, and not built.
    open: BTreeMap<EntryId, Withdrawal>,
    /// The drain was told of these.
    tried: HashSet<EntryId>,
    /// Builds that run, and are being ended.
    ending: HashSet<EntryId>,
}

impl Withdrawals {
    /// Somebody does not want it any more, and that counts before all else.
    pub fn cancel(&mut self, id: EntryId) {
        self.open.insert(id, Withdrawal::Cancelled);
    }

    /// These are cancelled, as a look at the queue shows. What could not be done about one of them is not tried again at
    /// each look, but when somebody asks again, or by the next `build`.
    pub fn listed(&mut self, cancelled: Vec<EntryId>) {
        self.tried.retain(|id| cancelled.contains(id));
        for id in cancelled {
            if !self.tried.contains(&id) {
                self.cancel(id);
            }
        }
    }

    /// The machine was at fault, and may be well again.
    pub fn try_again(&mut self) {
        self.tried.clear();
    }

    pub fn withdraw(&mut self, id: EntryId, why: Withdrawal) {
        self.open.entry(id).or_insert(why);
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What is to be done with the oldest of them: it is recorded, or ended if it runs. The one that is claimed and not
    /// started yet is ended as soon as it is.
    pub fn next(&mut self, slots: &Slots, claimed: Option<&EntryId>) -> Option<Action> {
        while let Some(id) = self.open.keys().find(|id| Some(*id) != claimed).cloned() {
            let why = self.open.remove(&id)?;
            if !slots.hold(&id) {
                self.tried.insert(id.clone());
                return Some(Action::Withdraw(id, why));
            }
            if why == Withdrawal::Cancelled && self.ending.insert(id.clone()) {
                return Some(Action::Cancel(id));
            }
        }
        None
    }

    /// A build is over. If it was to be ended, and came to no end of its own before, it is recorded as it waits.
    pub fn finish(&mut self, id: &EntryId, is_recorded: bool) {
        if self.ending.remove(id) && !is_recorded {
            self.cancel(id.clone());
        }
    }
}
