//! Which build starts when, and when there is nothing left to do: a pure function of what has been seen so far.
//!
//! [`Scheduler::on`] takes what has happened, and answers with what is to be done; the drain does it and reports what
//! came of it. One entry is looked at, claimed or rejected at a time, so that they start in order.

mod action;
mod branches;
mod ending;
mod event;
mod pauses;
#[cfg(test)]
mod simulation;
mod slots;
mod suspects;
#[cfg(test)]
mod tests;
mod withdrawals;

use std::{collections::HashSet, io, mem, slice, time::Duration};

pub use self::{
    action::{Action, DrainExit, Withdrawal},
    event::{Event, Past},
};
use self::{
    branches::Branches, ending::Ending, pauses::Pauses, slots::Slots, suspects::Suspects,
    withdrawals::Withdrawals,
};
use super::{attempt_end::AttemptEnd, fault::Fault};
use crate::queue::{Backlog, Claimed, EntryId, EntryState, Lane, Origin, origin::Why};

/// How often we look ourselves where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(1);

/// So many builds finish between two looks at what can be removed.
const SWEEP_EVERY: usize = 1000;

/// How it decides.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Builds at a time.
    pub threads: usize,
    /// Does it stay when there is nothing to do?
    pub stays: bool,
    /// Is only the newest push of a branch built?
    pub newest_only: bool,
    /// Does the kernel tell of changes?
    pub watched: bool,
}

#[derive(Debug)]
pub struct Scheduler {
    /// Does the kernel tell of changes?
    watched: bool,
    held: bool,
    /// An answer of the drain is outstanding.
    asked: bool,
    /// When to look ourselves.
    look_at: Option<Duration>,
    backlog: Backlog,
    branches: Branches,
    pauses: Pauses,
    suspects: Suspects,
    withdrawals: Withdrawals,
    slots: Slots,
    ending: Ending,
    /// Looked at while they may still be being written.
    being_written: Vec<EntryId>,
    /// Looked at, and nothing that could be built now.
    set_aside: HashSet<EntryId>,
    /// Claimed, and started when the older ones of its branch are on record.
    claimed: Option<Box<Claimed>>,
    finished: usize,
}

impl Scheduler {
    pub fn new(terms: Terms) -> Self {
        Self {
            watched: terms.watched,
            held: false,
            asked: false,
            look_at: None,
            backlog: Backlog::default(),
            branches: Branches::new(terms.newest_only),
            pauses: Pauses::default(),
            suspects: Suspects::default(),
            withdrawals: Withdrawals::default(),
            slots: Slots::new(terms.threads),
            ending: Ending::new(terms.stays),
            being_written: Vec::new(),
            set_aside: HashSet::new(),
            claimed: None,
            finished: 0,
        }
    }

    /// What follows from these events, which have come together by `now`, counted from any fixed moment. Many that
    /// arrive together are sorted before the first is started.
    pub fn on(&mut self, now: Duration, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        let mut actions = Vec::new();
        for event in events {
            self.asked &= !event.is_answer();
            self.take_in(now, event, &mut actions);
        }
        if !self.asked {
            self.decide(now, &mut actions);
        }
        actions
    }

    /// When [`Self::on`] has something to do though nothing happens.
    pub fn wakes_at(&self) -> Option<Duration> {
        [self.pauses.first_end(), self.look_at, self.ending.rests_until()].into_iter().flatten().min()
    }

    fn take_in(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Begun => self.act(Action::Recover, actions),
            Event::Arrived(id) => {
                self.set_aside.remove(&id);
                self.come(&[id]);
            }
            Event::Unclear => self.look_at = Some(Duration::ZERO),
            Event::WatchLost => self.watched = false,
            Event::Held(held) => self.held = held,
            Event::Resumed(id) => self.resume(&id),
            Event::Cancelled(id) => self.withdrawals.cancel(id),
            Event::Withdrawn | Event::Rejected => {}
            Event::Wanted(id) => {
                self.branches.want(id.clone());
                self.backlog.add(id);
            }
            Event::Listed { listing, held } => {
                self.held = held;
                self.withdrawals.listed(listing.cancelled);
                let waiting = listing.waiting.into_iter().filter(|id| !self.set_aside.contains(id));
                let waiting: Vec<EntryId> = waiting.collect();
                self.come(&waiting);
            }
            Event::Looked { id, state, past, held } => {
                self.held = held;
                self.consider(now, id, state, past, actions);
            }
            Event::Claimed(entry) => self.prepare(entry),
            Event::NotClaimed(id) => {
                self.turn_back(&id);
                self.set_aside.insert(id);
            }
            Event::Stuck(id, fault) => {
                self.turn_back(&id);
                self.leave(id, fault, actions);
            }
            Event::Rewritten(id) => {
                self.turn_back(&id);
                self.being_written.push(id);
            }
            Event::NotStarted(id, fault) => {
                self.release(&id);
                self.fail(fault, actions);
            }
            Event::Failed(fault) => self.fail(fault, actions),
            Event::ScriptOver(id) => self.slots.script_over(id),
            Event::Finished(id, end) => self.finish(&id, end, actions),
            Event::MailSent(round) => self.ending.mail_sent(round),
            Event::Outdated => self.ending.stay_no_longer(),
            Event::Signal(signal) => {
                self.ending.signal(signal);
                self.act(Action::EndBuilds(signal), actions);
            }
        }
    }

    /// What is to be done with an entry that was looked at.
    fn consider(
        &mut self,
        now: Duration,
        id: EntryId,
        state: io::Result<EntryState>,
        past: Past,
        actions: &mut Vec<Action>,
    ) {
        if !self.pauses.lasts(&id, &state, &past) {
            self.resume(&id);
        }
        let gets_known = self.branches.learns(&id);
        let (request, bytes) = match state {
            Ok(EntryState::Request(request, bytes)) => (request, bytes),
            // In its turn it is looked at again.
            _ if gets_known => return,
            Ok(EntryState::Missing) => return,
            Ok(EntryState::NotAFile) => {
                self.set_aside.insert(id);
                return;
            }
            Ok(EntryState::BeingWritten) => return self.being_written.push(id),
            Ok(EntryState::Invalid(why)) => return self.act(Action::Reject(id, why), actions),
            Err(error) => {
                let fault = Fault { stage: "an entry in queue/ cannot be opened", error };
                return self.leave(id, fault, actions);
            }
        };
        let lane = request.lane();
        if gets_known {
            let is_repeat = past.is_recorded || is_rerun(&bytes);
            let is_free = past.pause.is_zero() && !past.is_suspect && !past.is_final;
            return self.branches.note(id, &request, is_repeat, is_free);
        }
        if self.slots.hold(&id) {
            // Same id as a running build: looked at again when that is over.
            self.set_aside.insert(id);
        } else if past.is_final {
            let why = "a build of this name is finished: give it another name".to_string();
            self.act(Action::Reject(id, why), actions);
        } else if self.nothing_starts() {
            self.backlog.add(id);
        } else if !self.backlog.may_start(&id, &lane) {
            self.backlog.pass(id, &lane);
        } else if !past.pause.is_zero() {
            if let Some(fault) = past.standing {
                self.tell(fault, actions);
            }
            self.stand_still(&id, &lane);
            self.pauses.begin(id, lane, now + past.pause);
        } else if past.is_suspect && self.suspects.is_one_tried() {
            self.stand_still(&id, &lane);
            self.suspects.wait(id, lane);
        } else if let Some(by) = self.branches.repeats(&id, &request).filter(|_| !is_rerun(&bytes)) {
            self.withdrawals.withdraw(id, Withdrawal::Repeats(by));
        } else if let Some(newest) = self.branches.replace(&id, &request) {
            self.act(Action::Claim(newest, lane), actions);
        } else {
            if past.is_suspect {
                self.suspects.try_alone(id.clone());
            }
            self.act(Action::Claim(id, lane), actions);
        }
    }

    /// Where the newest push wins, all are looked at before one is started.
    fn next_to_look_at(&mut self) -> Option<EntryId> {
        if self.backlog.has_next()
            && let Some(id) = self.branches.next_unknown()
        {
            return Some(id);
        }
        self.backlog.take()
    }

    /// These wait.
    fn come(&mut self, ids: &[EntryId]) {
        self.branches.come(ids);
        self.backlog.add_all(ids.iter().cloned());
    }

    /// It is claimed. Not begun before all older ones of its branch are on record: they would be built after it.
    fn prepare(&mut self, entry: Box<Claimed>) {
        let lane = entry.request.lane();
        self.backlog.occupy(lane.clone());
        self.slots.take(entry.id.clone(), lane);
        for (id, by) in self.branches.claim(&entry.id, &entry.request) {
            self.withdrawals.withdraw(id, Withdrawal::Superseded(by));
        }
        self.claimed = Some(entry);
    }

    /// What was to be claimed cannot be: the one in whose place it was has its turn again.
    fn turn_back(&mut self, id: &EntryId) {
        self.clear(id);
        if let Some(oldest) = self.branches.forget(id) {
            self.backlog.add(oldest);
        }
    }

    fn begin(&mut self, entry: Box<Claimed>, actions: &mut Vec<Action>) {
        if self.ending.has_begun() && !self.withdrawals.is_empty() {
            self.release(&entry.id);
            return self.act(Action::PutBack(entry), actions);
        }
        self.act(Action::Start(entry), actions);
    }

    /// It stays, somebody hears, and the others go on.
    fn leave(&mut self, id: EntryId, fault: Fault, actions: &mut Vec<Action>) {
        self.set_aside.insert(id);
        self.tell(fault, actions);
    }

    /// Its lane waits for it, as if it were being built.
    fn stand_still(&mut self, id: &EntryId, lane: &Lane) {
        self.backlog.pass(id.clone(), lane);
        self.backlog.occupy(lane.clone());
    }

    /// Its lane goes on, with it.
    fn resume(&mut self, id: &EntryId) {
        for lane in [self.pauses.end(id), self.suspects.leave(id)].into_iter().flatten() {
            self.backlog.release(&lane);
        }
    }

    /// If it was a suspect, the next one has its turn.
    fn clear(&mut self, id: &EntryId) {
        for lane in self.suspects.clear(id) {
            self.backlog.release(&lane);
        }
    }

    fn finish(&mut self, id: &EntryId, end: AttemptEnd, actions: &mut Vec<Action>) {
        self.release(id);
        self.withdrawals.finish(id, matches!(end, AttemptEnd::Recorded));
        self.finished += 1;
        if self.finished.is_multiple_of(SWEEP_EVERY) {
            self.act(Action::Sweep, actions);
        }
        self.act(Action::SendMail, actions);
        match end {
            AttemptEnd::Recorded | AttemptEnd::PutBack => {}
            // Before the kernel tells of it a younger one of its lane would go first.
            AttemptEnd::Later => self.come(slice::from_ref(id)),
            // The engine is at fault; it has been said, and the next build tries again.
            AttemptEnd::NoVerdict => self.ending.fail(),
            AttemptEnd::Fault(fault) => self.fail(fault, actions),
        }
        if self.slots.is_empty() {
            self.act(Action::EndOrphans, actions);
        }
    }

    fn release(&mut self, id: &EntryId) {
        self.clear(id);
        if let Some(lane) = self.slots.release(id) {
            self.backlog.release(&lane);
        }
        // One of the same name that has come meanwhile.
        if self.set_aside.remove(id) {
            self.backlog.add(id.clone());
        }
    }

    fn fail(&mut self, fault: Fault, actions: &mut Vec<Action>) {
        self.tell(fault, actions);
        self.ending.fail();
    }

    fn tell(&mut self, fault: Fault, actions: &mut Vec<Action>) {
        self.act(Action::Tell(fault), actions);
    }

    fn decide(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for id in self.pauses.over(now) {
            self.resume(&id);
        }
        if self.ending.rest_is_over(now) {
            self.set_aside.clear();
            self.withdrawals.try_again();
            for lane in self.suspects.clear_all() {
                self.backlog.release(&lane);
            }
            return self.act(Action::Recover, actions);
        }
        self.withdraw(actions);
        if !self.asked
            && let Some(entry) = self.claimed.take()
        {
            self.begin(entry, actions);
            self.withdraw(actions);
        }
        if !self.asked {
            self.go_on(now, actions);
            self.plan_to_look(now);
        }
    }

    /// Not before a look that is due is taken.
    fn plan_to_look(&mut self, now: Duration) {
        if self.watched && self.being_written.is_empty() {
            self.look_at = None;
        } else {
            self.look_at.get_or_insert(now + LOOK);
        }
    }

    /// The next question, if there is one.
    fn go_on(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.backlog.add_all(mem::take(&mut self.being_written));
            self.act(Action::List, actions);
        } else if !self.nothing_starts()
            && self.slots.is_one_free()
            && let Some(id) = self.next_to_look_at()
        {
            self.act(Action::Look(id), actions);
        } else if self.slots.is_empty() {
            self.wind_up(now, actions);
        }
    }

    /// What is not to be built goes first, also while the queue is held.
    fn withdraw(&mut self, actions: &mut Vec<Action>) {
        if self.ending.has_begun() {
            return;
        }
        let claimed = self.claimed.as_ref().map(|entry| entry.id.clone());
        while !self.asked
            && let Some(action) = self.withdrawals.next(&self.slots, claimed.as_ref())
        {
            if let Action::Withdraw(id, _) = &action {
                self.resume(id);
            }
            self.act(action, actions);
        }
    }

    /// No build runs, and none can start now.
    fn wind_up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let something_waits = self.backlog.has_next() || !self.being_written.is_empty();
        if something_waits && !self.nothing_starts() {
            return;
        }
        let Some(action) = self.ending.next(now, self.held) else { return };
        if matches!(action, Action::SendMailAndTell(_)) && self.finished > 0 {
            self.act(Action::Sweep, actions);
        }
        self.act(action, actions);
    }

    fn act(&mut self, action: Action, actions: &mut Vec<Action>) {
        self.asked |= action.is_question();
        if action.may_write_a_letter() {
            self.ending.put_off();
        }
        actions.push(action);
    }

    fn nothing_starts(&self) -> bool {
        self.ending.has_begun() || self.held
    }
}

/// Somebody wants the same once more.
fn is_rerun(entry: &[u8]) -> bool {
    Origin::of_entry(entry).is_some_and(|origin| origin.why == Why::Rerun)
}
