//! Which build starts when, and when there is nothing left to do: a pure function of what has been seen so far.
//!
//! [`Scheduler::on`] takes what has happened, and answers with what is to be done; the drain does it and reports what
//! came of it. One entry is looked at, claimed or rejected at a time, so that they start in order.

use std::{
    collections::{HashMap, HashSet},
    io, mem,
    time::Duration,
};

use super::{attempt_end::AttemptEnd, fault::Fault};
use crate::queue::{Backlog, Claimed, EntryId, EntryState, Lane, Listing};

/// How often we look ourselves where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(1);

/// So many builds finish between two looks at what can be removed.
const SWEEP_EVERY: usize = 1000;

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// `build` has the lock.
    Begun,
    /// An entry has appeared.
    Arrived(EntryId),
    /// Changes were lost: look again.
    Unclear,
    /// The kernel tells of no changes any more.
    WatchLost,
    /// It pauses no longer.
    Resumed(EntryId),
    /// The file `hold` is there, or not.
    Held(bool),
    /// Of [`Action::Recover`] and [`Action::List`].
    Listed { listing: Listing, held: bool },
    /// Of [`Action::Look`].
    Looked { id: EntryId, state: io::Result<EntryState>, past: Past, held: bool },
    /// Of [`Action::Reject`].
    Rejected,
    /// Of [`Action::Claim`].
    Claimed(Box<Claimed>),
    /// The entry is gone, or one of its name is claimed already.
    NotClaimed(EntryId),
    /// The entry can be neither claimed nor rejected, and that is its own fault: it stays.
    Stuck(EntryId, Fault),
    /// It was written again before it was claimed, and waits again.
    Rewritten(EntryId),
    /// It waits again, because its build could not be started.
    NotStarted(EntryId, Fault),
    /// What was asked for last could not be done.
    Failed(Fault),
    /// The script of a build is over, and its processes are gone: its slot is free while it is recorded.
    ScriptOver(EntryId),
    /// A build is over.
    Finished(EntryId, AttemptEnd),
    /// The round of mail of this number is over.
    MailSent(usize),
    /// Told to stop by a signal.
    Signal(i32),
}

/// What became of an entry before.
#[derive(Debug, Default)]
pub struct Past {
    /// Its name has a final record.
    pub is_final: bool,
    /// It was put back, and still pauses for so long.
    pub pause: Duration,
    /// It was put back so often that a person has to hear of it.
    pub standing: Option<Fault>,
    /// `build` died while it ran.
    pub is_suspect: bool,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Bring what an earlier run left into order, and list.
    Recover,
    List,
    Look(EntryId),
    /// Move it to `bad/`.
    Reject(EntryId, String),
    /// If it is still of this lane.
    Claim(EntryId, Lane),
    Start(Box<Claimed>),
    /// Say that something is wrong with the machine.
    Tell(Fault),
    /// End the builds that run; they go back.
    EndBuilds(i32),
    /// End whatever was left to us: no build runs.
    EndOrphans,
    /// Remove records that are too old.
    Sweep,
    /// Send what is in the outbox.
    SendMail,
    /// The same, and say when this round is over.
    SendMailAndTell(usize),
    Exit(DrainExit),
}

/// Why the drain is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainExit {
    /// Nothing waits or runs.
    Drained,
    /// Nothing runs, and nothing may start.
    Held,
    /// The machine is at fault.
    Faulty,
    Signalled(i32),
}

#[derive(Debug)]
pub struct Scheduler {
    threads: usize,
    watched: bool,
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
    /// Looked at, but too early: when their lanes go on.
    paused: HashMap<EntryId, (Lane, Duration)>,
    /// That of `running` under which `build` may die: one at a time, so that it takes no other one with it.
    suspect: Option<EntryId>,
    /// The lanes of other suspects, which wait for that.
    suspects: Vec<Lane>,
    /// When to look ourselves.
    look_at: Option<Duration>,
    exit: Option<DrainExit>,
    finished: usize,
    last_mail: LastMail,
    /// Rounds of mail asked for.
    rounds: usize,
}

/// The round of mail before the end. Whatever may write a letter after it makes another one necessary.
#[derive(Debug, PartialEq, Eq)]
enum LastMail {
    NotYet,
    /// The round of this number.
    Asked(usize),
    Sent,
    /// And the queue was looked at once more.
    SentAndLooked,
}

impl Scheduler {
    /// Does the kernel tell of changes?
    pub fn new(threads: usize, watched: bool) -> Self {
        Self {
            threads,
            watched,
            held: false,
            asked: false,
            backlog: Backlog::default(),
            running: HashMap::new(),
            recording: HashSet::new(),
            being_written: Vec::new(),
            set_aside: HashSet::new(),
            paused: HashMap::new(),
            suspect: None,
            suspects: Vec::new(),
            look_at: None,
            exit: None,
            finished: 0,
            last_mail: LastMail::NotYet,
            rounds: 0,
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
        self.paused.values().map(|(_, until)| *until).chain(self.look_at).min()
    }

    fn take_in(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Begun => self.ask(Action::Recover, actions),
            Event::Arrived(id) => {
                self.set_aside.remove(&id);
                self.backlog.add(id);
            }
            Event::Resumed(id) => self.resume(&id),
            Event::Unclear => self.look_at = Some(Duration::ZERO),
            Event::WatchLost => self.watched = false,
            Event::Held(held) => self.held = held,
            Event::Listed { listing, held } => {
                self.asked = false;
                self.held = held;
                let set_aside = &self.set_aside;
                self.backlog.add_all(listing.waiting.into_iter().filter(|id| !set_aside.contains(id)));
            }
            Event::Looked { id, state, past, held } => {
                self.asked = false;
                self.held = held;
                self.consider(now, id, state, past, actions);
            }
            Event::Rejected => self.asked = false,
            Event::Claimed(entry) => {
                self.asked = false;
                let lane = entry.request.lane();
                self.backlog.occupy(lane.clone());
                self.running.insert(entry.id.clone(), lane);
                actions.push(Action::Start(entry));
            }
            Event::NotClaimed(id) => {
                self.asked = false;
                self.clear(&id);
                self.set_aside.insert(id);
            }
            Event::Stuck(id, fault) => {
                self.asked = false;
                self.clear(&id);
                self.leave(id, fault, actions);
            }
            Event::Rewritten(id) => {
                self.asked = false;
                self.clear(&id);
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
            Event::MailSent(round) if self.last_mail == LastMail::Asked(round) => {
                self.last_mail = LastMail::Sent;
            }
            Event::MailSent(_) => {}
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
        id: EntryId,
        state: io::Result<EntryState>,
        past: Past,
        actions: &mut Vec<Action>,
    ) {
        if !self.pauses_still(&id, &state, &past) {
            self.resume(&id);
        }
        let request = match state {
            Ok(EntryState::Request(request, _)) => request,
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
                self.last_mail = LastMail::NotYet;
                actions.push(Action::Tell(fault));
            }
            self.stand_still(&id, &lane);
            self.paused.insert(id, (lane, now + past.pause));
        } else if past.is_suspect && self.suspect.is_some() {
            self.stand_still(&id, &lane);
            self.suspects.push(lane);
        } else {
            if past.is_suspect {
                self.suspect = Some(id.clone());
            }
            self.last_mail = LastMail::NotYet;
            self.ask(Action::Claim(id, lane), actions);
        }
    }

    /// Somebody may have ended its pause or written it again, and then its lane need not wait for it.
    fn pauses_still(&self, id: &EntryId, state: &io::Result<EntryState>, past: &Past) -> bool {
        let (Some((lane, _)), Ok(EntryState::Request(request, _))) = (self.paused.get(id), state) else {
            return false;
        };
        *lane == request.lane() && !past.pause.is_zero()
    }

    /// It stays, somebody hears, and the others go on.
    fn leave(&mut self, id: EntryId, fault: Fault, actions: &mut Vec<Action>) {
        self.set_aside.insert(id);
        self.last_mail = LastMail::NotYet;
        actions.push(Action::Tell(fault));
    }

    fn reject(&mut self, id: EntryId, why: String, actions: &mut Vec<Action>) {
        self.last_mail = LastMail::NotYet;
        self.ask(Action::Reject(id, why), actions);
    }

    /// Its lane waits for it, as if it were being built.
    fn stand_still(&mut self, id: &EntryId, lane: &Lane) {
        self.backlog.pass(id.clone(), lane);
        self.backlog.occupy(lane.clone());
    }

    /// Its lane goes on, with it.
    fn resume(&mut self, id: &EntryId) {
        if let Some((lane, _)) = self.paused.remove(id) {
            self.backlog.release(&lane);
        }
    }

    /// If it was a suspect, the next one has its turn.
    fn clear(&mut self, id: &EntryId) {
        if self.suspect.as_ref() == Some(id) {
            self.suspect = None;
            for lane in mem::take(&mut self.suspects) {
                self.backlog.release(&lane);
            }
        }
    }

    fn finish(&mut self, id: &EntryId, end: AttemptEnd, actions: &mut Vec<Action>) {
        self.release(id);
        self.finished += 1;
        if self.finished.is_multiple_of(SWEEP_EVERY) {
            actions.push(Action::Sweep);
        }
        actions.push(Action::SendMail);
        self.last_mail = LastMail::NotYet;
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
        self.last_mail = LastMail::NotYet;
        self.exit.get_or_insert(DrainExit::Faulty);
    }

    /// The next step, if there is one.
    fn decide(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let over = self.paused.iter().filter(|(_, (_, until))| *until <= now);
        for id in over.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.resume(&id);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            for id in mem::take(&mut self.being_written) {
                self.backlog.add(id);
            }
            self.ask(Action::List, actions);
        } else if !self.nothing_starts()
            && self.slot_is_free()
            && let Some(id) = self.backlog.take()
        {
            self.ask(Action::Look(id), actions);
        } else if self.running.is_empty() {
            self.wind_up(actions);
        }
        if self.watched && self.being_written.is_empty() {
            self.look_at = None;
        } else {
            self.look_at.get_or_insert(now + LOOK);
        }
    }

    /// No build runs, and none can start now: the last mail, a last look at the queue, the end.
    fn wind_up(&mut self, actions: &mut Vec<Action>) {
        let something_waits = self.backlog.has_next() || !self.being_written.is_empty();
        if something_waits && !self.nothing_starts() {
            return;
        }
        match (self.exit, &self.last_mail) {
            (Some(exit @ DrainExit::Signalled(_)), _) | (Some(exit), LastMail::Sent) => {
                actions.push(Action::Exit(exit));
            }
            (_, LastMail::NotYet) => {
                if self.finished > 0 {
                    actions.push(Action::Sweep);
                }
                self.rounds += 1;
                self.last_mail = LastMail::Asked(self.rounds);
                actions.push(Action::SendMailAndTell(self.rounds));
            }
            (_, LastMail::Asked(_)) => {}
            (None, LastMail::Sent) => {
                self.last_mail = LastMail::SentAndLooked;
                self.ask(Action::List, actions);
            }
            (exit, LastMail::SentAndLooked) => {
                let drained = if self.held { DrainExit::Held } else { DrainExit::Drained };
                actions.push(Action::Exit(exit.unwrap_or(drained)));
            }
        }
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
        self.running.len() - recording < self.threads && recording <= self.threads
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests;
