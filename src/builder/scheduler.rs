//! Which build starts when, and when there is nothing left to do: a pure function of what has been seen so far.
//!
//! [`Scheduler::on`] takes what has happened, and answers with what is to be done; the drain does it and reports what
//! came of it. One entry is looked at, claimed or rejected at a time, so that they start in order.

mod action;
mod branches;
mod event;
mod last_mail;
mod pauses;
#[cfg(test)]
mod simulation;
mod suspects;
#[cfg(test)]
mod tests;
mod withdrawals;

use std::{
    collections::{HashMap, HashSet},
    io, mem,
    time::Duration,
};

pub use self::{
    action::{Action, DrainExit},
    event::{Event, Past},
    withdrawals::Withdrawal,
};
use self::{
    branches::Branches,
    last_mail::{LastMail, Stage},
    pauses::Pauses,
    suspects::Suspects,
    withdrawals::{Step, Withdrawals},
};
use super::{attempt_end::AttemptEnd, fault::Fault};
use crate::queue::{Backlog, Claimed, EntryId, EntryState, Lane, Origin, origin::Why};

/// How often we look ourselves where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(1);

/// So long one that stays waits before it tries again what the machine did not let it do.
const REST: Duration = Duration::from_secs(60);

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
    terms: Terms,
    branches: Branches,
    /// An entry is looked at for what `branches` has to know of it.
    gets_known: bool,
    /// Claimed in the place of this one, the oldest of its branch.
    claimed_for: Option<EntryId>,
    /// Claimed, and started when the older ones of its branch are on record.
    claimed: Option<Box<Claimed>>,
    /// When it tries again what the machine did not let it do.
    rests_until: Option<Duration>,
    held: bool,
    /// An answer of the drain is outstanding.
    asked: bool,
    backlog: Backlog,
    running: HashMap<EntryId, Lane>,
    /// Those of `running` whose scripts are over.
    recording: HashSet<EntryId>,
    /// Looked at while they may still be being written.
    being_written: Vec<EntryId>,
    /// Looked at, and nothing that could be built now.
    set_aside: HashSet<EntryId>,
    /// Looked at, but too early.
    pauses: Pauses,
    suspects: Suspects,
    withdrawals: Withdrawals,
    /// When to look ourselves.
    look_at: Option<Duration>,
    exit: Option<DrainExit>,
    finished: usize,
    last_mail: LastMail,
}

impl Scheduler {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            branches: Branches::new(terms.newest_only),
            gets_known: false,
            claimed_for: None,
            claimed: None,
            rests_until: None,
            held: false,
            asked: false,
            backlog: Backlog::default(),
            running: HashMap::new(),
            recording: HashSet::new(),
            being_written: Vec::new(),
            set_aside: HashSet::new(),
            pauses: Pauses::default(),
            suspects: Suspects::default(),
            withdrawals: Withdrawals::default(),
            look_at: None,
            exit: None,
            finished: 0,
            last_mail: LastMail::default(),
        }
    }

    /// What follows from these events, which have come together by `now`, counted from any fixed moment. Many that
    /// arrive together are sorted before the first is started.
    pub fn on(&mut self, now: Duration, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        let mut actions = Vec::new();
        for event in events {
            self.take_in(now, event, &mut actions);
        }
        if !self.asked {
            self.decide(now, &mut actions);
        }
        actions
    }

    /// When [`Self::on`] has something to do though nothing happens.
    pub fn wakes_at(&self) -> Option<Duration> {
        self.pauses.next().into_iter().chain(self.look_at).chain(self.rests_until).min()
    }

    fn take_in(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Begun => self.ask(Action::Recover, actions),
            Event::Arrived(id) => {
                self.set_aside.remove(&id);
                self.come(&[id]);
            }
            Event::Resumed(id) => self.resume(&id),
            Event::Cancelled(id) => self.withdrawals.cancel(id),
            Event::Wanted(id) => {
                self.asked = false;
                self.branches.want(id.clone());
                self.backlog.add(id);
            }
            Event::Unclear => self.look_at = Some(Duration::ZERO),
            Event::WatchLost => self.terms.watched = false,
            Event::Held(held) => self.held = held,
            Event::Listed { listing, held } => {
                self.asked = false;
                self.held = held;
                listing.cancelled.into_iter().for_each(|id| self.withdrawals.cancel(id));
                let waiting = listing.waiting.into_iter().filter(|id| !self.set_aside.contains(id));
                let waiting: Vec<EntryId> = waiting.collect();
                self.come(&waiting);
            }
            Event::Looked { id, state, past, held } => {
                self.asked = false;
                self.held = held;
                self.consider(now, id, state, past, actions);
            }
            Event::Rejected | Event::Withdrawn => self.asked = false,
            Event::Claimed(entry) => {
                self.asked = false;
                self.claimed_for = None;
                let lane = entry.request.lane();
                self.backlog.occupy(lane.clone());
                self.running.insert(entry.id.clone(), lane);
                for (id, by) in self.branches.claim(&entry.id, &entry.request) {
                    self.withdrawals.replace(id, Withdrawal::Superseded(by));
                }
                self.claimed = Some(entry);
            }
            Event::NotClaimed(id) => {
                self.asked = false;
                self.clear(&id);
                self.turn_back(&id);
                self.set_aside.insert(id);
            }
            Event::Stuck(id, fault) => {
                self.asked = false;
                self.clear(&id);
                self.turn_back(&id);
                self.leave(id, fault, actions);
            }
            Event::Rewritten(id) => {
                self.asked = false;
                self.clear(&id);
                self.turn_back(&id);
                self.being_written.push(id);
            }
            Event::NotStarted(id, fault) => {
                self.release(&id);
                self.fail(fault, actions);
            }
            Event::Failed(fault) => {
                self.asked = false;
                self.fail(fault, actions);
            }
            Event::ScriptOver(id) => _ = self.recording.insert(id),
            Event::Finished(id, end) => self.finish(&id, end, actions),
            Event::MailSent(round) => self.last_mail.sent(round),
            Event::Outdated => self.terms.stays = false,
            Event::Signal(signal) => {
                self.exit = Some(DrainExit::Signalled(signal));
                actions.push(Action::EndBuilds(signal));
            }
        }
    }

    /// What is to be done with an entry that was looked at.
    fn consider(
        &mut self,
        now: Duration,
        mut id: EntryId,
        state: io::Result<EntryState>,
        past: Past,
        actions: &mut Vec<Action>,
    ) {
        if !self.pauses_still(&id, &state, &past) {
            self.resume(&id);
        }
        let (request, bytes) = match state {
            // In its turn it is looked at again.
            ref state if self.gets_known && !matches!(state, Ok(EntryState::Request(..))) => {
                self.gets_known = false;
                return;
            }
            Ok(EntryState::Request(request, bytes)) => (request, bytes),
            Ok(EntryState::Missing) => return,
            Ok(EntryState::NotAFile) => {
                self.set_aside.insert(id);
                return;
            }
            Ok(EntryState::BeingWritten) => return self.being_written.push(id),
            Ok(EntryState::Invalid(why)) => return self.reject(id, why, actions),
            Err(error) => {
                let fault = Fault { stage: "an entry in queue/ cannot be opened", error };
                return self.leave(id, fault, actions);
            }
        };
        let lane = request.lane();
        if mem::take(&mut self.gets_known) {
            let is_repeat = past.is_recorded || is_rerun(&bytes);
            return self.branches.note(id, &request, is_repeat);
        }
        if self.running.contains_key(&id) {
            // Same id as a running build: looked at again when that is over.
            self.set_aside.insert(id);
        } else if past.is_final {
            let why = "a build of this name is finished: give it another name".to_string();
            self.reject(id, why, actions);
        } else if self.nothing_starts() {
            self.backlog.add(id);
        } else if !self.backlog.may_start(&id, &lane) {
            self.backlog.pass(id, &lane);
        } else if !past.pause.is_zero() {
            if let Some(fault) = past.standing {
                self.busy();
                actions.push(Action::Tell(fault));
            }
            self.stand_still(&id, &lane);
            self.pauses.begin(id, lane, now + past.pause);
        } else if past.is_suspect && self.suspects.is_busy() {
            self.stand_still(&id, &lane);
            self.suspects.wait(lane);
        } else if let Some(by) = self.branches.repeats(&id, &request).filter(|_| !is_rerun(&bytes)) {
            self.withdrawals.replace(id, Withdrawal::Repeats(by));
        } else {
            // The newest takes the oldest's place.
            let newest = self.branches.newest(&id, &request);
            if let Some(newest) = &newest {
                self.claimed_for = Some(mem::replace(&mut id, newest.clone()));
            } else if past.is_suspect {
                self.suspects.begin(id.clone());
            }
            self.busy();
            self.ask(Action::Claim(id, lane), actions);
        }
    }

    /// Where the newest push wins, all are looked at before one is started.
    fn next_to_look_at(&mut self) -> Option<(EntryId, bool)> {
        if self.backlog.has_next()
            && let Some(id) = self.branches.next_unknown()
        {
            return Some((id, true));
        }
        self.backlog.take().map(|id| (id, false))
    }

    /// These wait.
    fn come(&mut self, ids: &[EntryId]) {
        self.branches.come(ids);
        self.backlog.add_all(ids.iter().cloned());
    }

    /// What was to be claimed cannot be: the one in whose place it was has its turn again.
    fn turn_back(&mut self, id: &EntryId) {
        self.branches.forget(id);
        if let Some(oldest) = self.claimed_for.take() {
            self.backlog.add(oldest);
        }
    }

    /// Not before all older ones of its branch are on record: they would be built after it.
    fn begin(&mut self, entry: Box<Claimed>, actions: &mut Vec<Action>) {
        if self.exit.is_some() && !self.withdrawals.is_empty() {
            self.release(&entry.id);
            return actions.push(Action::PutBack(entry));
        }
        actions.push(Action::Start(entry));
    }

    /// Somebody may have ended its pause or written it again, and then its lane need not wait for it.
    fn pauses_still(&self, id: &EntryId, state: &io::Result<EntryState>, past: &Past) -> bool {
        let Ok(EntryState::Request(request, _)) = state else { return false };
        !past.pause.is_zero() && self.pauses.holds(id, &request.lane())
    }

    /// It stays, somebody hears, and the others go on.
    fn leave(&mut self, id: EntryId, fault: Fault, actions: &mut Vec<Action>) {
        self.set_aside.insert(id);
        self.busy();
        actions.push(Action::Tell(fault));
    }

    fn reject(&mut self, id: EntryId, why: String, actions: &mut Vec<Action>) {
        self.busy();
        self.ask(Action::Reject(id, why), actions);
    }

    /// Its lane waits for it, as if it were being built.
    fn stand_still(&mut self, id: &EntryId, lane: &Lane) {
        self.backlog.pass(id.clone(), lane);
        self.backlog.occupy(lane.clone());
    }

    /// Its lane goes on, with it.
    fn resume(&mut self, id: &EntryId) {
        if let Some(lane) = self.pauses.end(id) {
            self.backlog.release(&lane);
        }
    }

    /// If it was a suspect, the next one has its turn.
    fn clear(&mut self, id: &EntryId) {
        for lane in self.suspects.end(id) {
            self.backlog.release(&lane);
        }
    }

    fn finish(&mut self, id: &EntryId, end: AttemptEnd, actions: &mut Vec<Action>) {
        self.release(id);
        self.withdrawals.finished(id, matches!(end, AttemptEnd::Recorded));
        self.finished += 1;
        if self.finished.is_multiple_of(SWEEP_EVERY) {
            actions.push(Action::Sweep);
        }
        actions.push(Action::SendMail);
        self.busy();
        match end {
            AttemptEnd::Recorded | AttemptEnd::PutBack => {}
            // Before the kernel tells of it a younger one of its lane would go first.
            AttemptEnd::Later => self.backlog.add(id.clone()),
            // The engine is at fault; it has been said, and the next build tries again.
            AttemptEnd::NoVerdict => _ = self.exit.get_or_insert(DrainExit::Faulty),
            AttemptEnd::Fault(fault) => self.fail(fault, actions),
        }
        if self.running.is_empty() {
            actions.push(Action::EndOrphans);
        }
    }

    fn release(&mut self, id: &EntryId) {
        self.recording.remove(id);
        self.clear(id);
        if let Some(lane) = self.running.remove(id) {
            self.backlog.release(&lane);
        }
        // One of the same name that has come meanwhile.
        if self.set_aside.remove(id) {
            self.backlog.add(id.clone());
        }
    }

    fn fail(&mut self, fault: Fault, actions: &mut Vec<Action>) {
        actions.push(Action::Tell(fault));
        self.busy();
        self.exit.get_or_insert(DrainExit::Faulty);
    }

    /// The next step, if there is one.
    fn decide(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for id in self.pauses.over(now) {
            self.resume(&id);
        }
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
            self.exit = None;
            self.set_aside.clear();
            return self.ask(Action::Recover, actions);
        }
        if !self.asked
            && !self.withdraw(actions)
            && let Some(entry) = self.claimed.take()
        {
            self.begin(entry, actions);
            self.withdraw(actions);
        }
        if self.asked {
            // One thing after the other.
        } else if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            for id in mem::take(&mut self.being_written) {
                self.backlog.add(id);
            }
            self.ask(Action::List, actions);
        } else if !self.nothing_starts()
            && self.slot_is_free()
            && let Some((id, gets_known)) = self.next_to_look_at()
        {
            self.gets_known = gets_known;
            self.ask(Action::Look(id), actions);
        } else if self.running.is_empty() {
            self.wind_up(now, actions);
        }
        if self.terms.watched && self.being_written.is_empty() {
            self.look_at = None;
        } else {
            self.look_at.get_or_insert(now + LOOK);
        }
    }

    /// What is not to be built goes first, also while the queue is held.
    fn withdraw(&mut self, actions: &mut Vec<Action>) -> bool {
        if self.exit.is_some() {
            return false;
        }
        let claimed = self.claimed.as_ref().map(|entry| &entry.id);
        while let Some(step) = self.withdrawals.next(claimed, |id| self.running.contains_key(id)) {
            match step {
                Step::End(id) => actions.push(Action::Cancel(id)),
                Step::Record(id, why) => {
                    self.resume(&id);
                    self.busy();
                    self.ask(Action::Withdraw(id, why), actions);
                    return true;
                }
            }
        }
        false
    }

    /// No build runs, and none can start now: the last mail, a last look at the queue, the end.
    fn wind_up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let something_waits = self.backlog.has_next() || !self.being_written.is_empty();
        if something_waits && !self.nothing_starts() {
            return;
        }
        match (self.exit, self.last_mail.stage) {
            (Some(DrainExit::Faulty), Stage::Sent) if self.terms.stays => {
                self.rests_until.get_or_insert(now + REST);
            }
            (Some(exit @ DrainExit::Signalled(_)), _) | (Some(exit), Stage::Sent) => {
                actions.push(Action::Exit(exit));
            }
            (_, Stage::NotYet) => {
                if self.finished > 0 {
                    actions.push(Action::Sweep);
                }
                actions.push(Action::SendMailAndTell(self.last_mail.ask()));
            }
            (_, Stage::Asked) => {}
            (None, Stage::Sent) => {
                self.last_mail.stage = Stage::SentAndLooked;
                self.ask(Action::List, actions);
            }
            (None, Stage::SentAndLooked) if self.terms.stays => {
                self.last_mail.stage = Stage::NothingToDo;
                actions.push(Action::Idle);
            }
            (None, Stage::NothingToDo) if self.terms.stays => {}
            (exit, Stage::SentAndLooked | Stage::NothingToDo) => {
                let drained = if self.held { DrainExit::Held } else { DrainExit::Drained };
                actions.push(Action::Exit(exit.unwrap_or(drained)));
            }
        }
    }

    /// Something is done that letters may come of.
    fn busy(&mut self) {
        self.last_mail.stage = Stage::NotYet;
    }

    fn ask(&mut self, action: Action, actions: &mut Vec<Action>) {
        self.asked = true;
        actions.push(action);
    }

    fn nothing_starts(&self) -> bool {
        self.exit.is_some() || self.held
    }

    /// A build that is being recorded takes no slot, as long as the disk keeps up.
    fn slot_is_free(&self) -> bool {
        let recording = self.recording.len();
        self.running.len() - recording < self.terms.threads && recording <= self.terms.threads
    }
}

/// Somebody wants the same once more.
fn is_rerun(entry: &[u8]) -> bool {
    Origin::of_entry(entry).is_some_and(|origin| origin.why == Why::Rerun)
}
