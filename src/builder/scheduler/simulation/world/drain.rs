//! The drain: does what the scheduler decides, and says what came of it.

use std::{
    io::{self, ErrorKind},
    mem,
};

use super::{
    Checked, Content, LANES, SETTLES_WITHIN, World,
    disk::{Entry, lane_of},
    must,
    run::Change,
};
use crate::{
    builder::{
        fault::Fault,
        judgement::ATTEMPTS,
        scheduler::{Action, Event, Past},
    },
    queue::{Claimed, EntryId, EntryState},
};

pub fn fault(stage: &'static str, id: &EntryId) -> Fault {
    Fault { stage, error: io::Error::other(id.to_string()) }
}

pub fn unopened(id: &EntryId) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, id.to_string())
}

impl World<'_> {
    /// Does it, as the drain does.
    pub fn perform(&mut self, action: Action) -> Checked<Option<Event>> {
        Ok(match action {
            Action::Recover if self.is_broken && self.rng.bool() => {
                let error = io::Error::other("broken");
                Some(Event::Failed(Fault { stage: "nothing can be begun", error }))
            }
            Action::Recover => {
                let before = self.listing();
                let listing = if self.recover() { self.listing() } else { before };
                Some(Event::Listed { listing, held: self.is_held })
            }
            Action::List => Some(Event::Listed { listing: self.listing(), held: self.is_held }),
            Action::Look(id) => Some(self.look(id)),
            Action::Reject(id, _) => Some(self.reject(id)?),
            Action::Claim(id, lane) => {
                let lane = (0..LANES).find(|at| self.requests[*at].lane() == lane).expect("a lane");
                Some(self.claim(id, lane)?)
            }
            Action::Start(entry) => self.start(*entry)?,
            Action::Tell(fault) => {
                self.letters += 1;
                *self.run.heard.owed.entry(fault.to_string()).or_default() -= 1;
                self.run.heard.told.push(fault.to_string());
                None
            }
            Action::EndBuilds(_) => {
                self.run.is_ending_builds = true;
                None
            }
            Action::EndOrphans => {
                let builds = &self.run.builds;
                must(builds.is_empty(), || format!("build {} was ended as an orphan", builds[0].id))?;
                None
            }
            Action::SendMailAndTell(round) => {
                self.run.rounds.push_back((round, self.letters));
                None
            }
            Action::Withdraw(..) | Action::PutBack(_) | Action::Cancel(_) | Action::Idle => {
                unreachable!("nobody has asked for that")
            }
            Action::Sweep | Action::SendMail => None,
            Action::Exit(_) => unreachable!("met before"),
        })
    }

    /// After a death: was there anything to bring into order?
    fn recover(&mut self) -> bool {
        let left = mem::take(&mut self.claimed);
        let any = !left.is_empty();
        for (id, entry) in left {
            self.progress += 1;
            let record = self.records.entry(id.clone()).or_default();
            if record.tries >= ATTEMPTS || self.waiting.contains_key(&id) {
                self.letters += 1;
                if !self.waiting.contains_key(&id) {
                    self.finish(&id);
                }
            } else {
                record.died = record.tries > 0;
                self.put_back(&id, entry);
            }
        }
        any
    }

    fn look(&self, id: EntryId) -> Event {
        let is_new = |entry: &Entry| self.now.saturating_sub(entry.written) < SETTLES_WITHIN;
        let state = match self.waiting.get(&id) {
            None => Ok(EntryState::Missing),
            Some(entry) => match &entry.content {
                Content::Request { lane, .. } => {
                    Ok(EntryState::Request(self.request(&id, *lane), Vec::new()))
                }
                Content::CannotBeMoved => Ok(EntryState::Request(self.request(&id, 0), Vec::new())),
                Content::BeingWritten if is_new(entry) => Ok(EntryState::BeingWritten),
                Content::BeingWritten | Content::Invalid => Ok(EntryState::Invalid("no request".to_string())),
                Content::NotAFile => Ok(EntryState::NotAFile),
                Content::CannotBeOpened => Err(unopened(&id)),
            },
        };
        let (record, retry) = (self.records.get(&id), self.retries.get(&id));
        let past = Past {
            is_final: record.is_some_and(|record| record.is_final),
            pause: retry.map(|retry| retry.pause(self.clock())).unwrap_or_default(),
            standing: retry.filter(|retry| retry.is_standing()).map(|_| fault("again and again", &id)),
            is_suspect: record.is_some_and(|record| record.died),
            is_recorded: false,
        };
        Event::Looked { id, state, past, held: self.is_held }
    }

    fn reject(&mut self, id: EntryId) -> Checked<Event> {
        let is_final = self.records.get(&id).is_some_and(|record| record.is_final);
        match self.waiting.get(&id).map(|entry| &entry.content) {
            Some(Content::CannotBeMoved) => return Ok(self.stuck(id)),
            Some(Content::Request { .. }) if !is_final && !self.run.heard.waiting.contains(&id) => {
                // Written again since it was looked at.
            }
            Some(Content::Request { .. }) => {
                must(is_final, || format!("{id} is a request, and was rejected"))?;
            }
            _ => {}
        }
        self.run.heard.waiting.remove(&id);
        if self.waiting.remove(&id).is_some() {
            self.letters += 1;
            self.progress += 1;
        }
        Ok(Event::Rejected)
    }

    fn claim(&mut self, id: EntryId, lane: usize) -> Checked<Event> {
        let heard = &self.run.heard;
        must(!heard.is_held, || format!("{id} was claimed on hold"))?;
        must(!heard.fault, || format!("{id} was claimed after a fault"))?;
        must(!heard.signal, || format!("{id} was claimed after a signal"))?;
        if self.is_broken {
            let error = io::Error::other(id.to_string());
            return Ok(Event::Failed(Fault { stage: "too little space", error }));
        }
        let Some(entry) = self.waiting.get(&id) else { return Ok(Event::NotClaimed(id)) };
        if self.claimed.contains_key(&id) {
            return Ok(Event::NotClaimed(id));
        }
        if matches!(entry.content, Content::CannotBeMoved) {
            return Ok(self.stuck(id));
        }
        if lane_of(&entry.content) != Some(lane) {
            self.run.changed(Change::Arrived(id.clone()));
            return Ok(Event::Rewritten(id));
        }
        self.check_turn(&id, lane)?;
        let entry = self.waiting.remove(&id).expect("it is there");
        self.claimed.insert(id.clone(), entry);
        self.run.heard.waiting.remove(&id);
        self.run.heard.busy.insert(id.clone(), lane);
        if self.records.get(&id).is_some_and(|record| record.died) {
            self.run.heard.suspects.insert(id.clone());
        }
        self.progress += 1;
        let request = self.request(&id, lane);
        Ok(Event::Claimed(Box::new(Claimed { id, request, bytes: Vec::new() })))
    }

    /// An entry does not let itself be moved: whose fault is that?
    fn stuck(&self, id: EntryId) -> Event {
        let fault = fault("it cannot be moved", &id);
        if self.is_broken { Event::Failed(fault) } else { Event::Stuck(id, fault) }
    }
}
