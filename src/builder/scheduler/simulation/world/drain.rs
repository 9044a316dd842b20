//! The drain: does what the scheduler decides, and says what came of it.

use std::{io, mem};

use super::{
    Checked, Content, SETTLES_WITHIN, What, World,
    disk::{Entry, bytes, request, what},
    faults::{fault, unopened},
    kernel::Change,
    must,
};
use crate::{
    builder::{
        fault::Fault,
        judgement::ATTEMPTS,
        scheduler::{Action, Event, Past, Withdrawal},
    },
    queue::{Claimed, EntryId, EntryState, Lane},
};

impl World<'_> {
    /// Does it, as the drain does.
    pub fn perform(&mut self, action: Action) -> Checked<Option<Event>> {
        Ok(match action {
            Action::Recover if self.is_broken && self.rng.bool() => {
                let error = io::Error::other("broken");
                Some(Event::Failed(Fault { stage: "nothing can be begun", error }))
            }
            Action::Recover => {
                let heard = &mut self.run.heard;
                heard.fault = false;
                heard.aside.clear();
                heard.tried.clear();
                let before = self.listing();
                let listing = if self.recover() { self.listing() } else { before };
                Some(Event::Listed { listing, held: self.is_held })
            }
            Action::List => Some(Event::Listed { listing: self.listing(), held: self.is_held }),
            Action::Look(id) => Some(self.look(id)),
            Action::Reject(id, _) => Some(self.reject(id)?),
            Action::Claim(id, lane) => Some(self.claim(id, &lane)?),
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
            Action::Withdraw(id, why) => Some(self.withdraw(id, &why)?),
            Action::PutBack(entry) => {
                let left = self.claimed.get(&entry.id).cloned().ok_or("what is put back was not claimed")?;
                self.put_back(&entry.id, left);
                self.run.heard.free(&entry.id);
                None
            }
            Action::Cancel(id) => {
                let build = self.run.builds.iter_mut().find(|build| build.id == id);
                if let Some(build) = build {
                    build.is_cancelled = true;
                }
                None
            }
            Action::Idle => {
                self.check_idle()?;
                None
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
            let is_given_up = record.tries >= ATTEMPTS && !self.cancels.contains(&id);
            if is_given_up || self.waiting.contains_key(&id) {
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
                content @ (Content::Request(_) | Content::CannotBeMoved) => {
                    let what = what(content).expect("it asks for something");
                    Ok(EntryState::Request(request(what), bytes(content)))
                }
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
            is_recorded: self.scenario.newest_only && self.is_in(&self.run.history, &id),
        };
        Event::Looked { id, state, past, held: self.is_held }
    }

    fn reject(&mut self, id: EntryId) -> Checked<Event> {
        let is_final = self.records.get(&id).is_some_and(|record| record.is_final);
        match self.waiting.get(&id).map(|entry| &entry.content) {
            Some(Content::CannotBeMoved) => return Ok(self.stuck(id)),
            Some(Content::Request(_)) if !is_final && !self.run.heard.waiting.contains(&id) => {
                // Written again since it was looked at.
            }
            Some(Content::Request(_)) => {
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

    fn claim(&mut self, id: EntryId, lane: &Lane) -> Checked<Event> {
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
        let content = entry.content.clone();
        let Some(what) = what(&content).filter(|what| request(*what).lane() == *lane) else {
            self.run.changed(Change::Arrived(id.clone()));
            return Ok(Event::Rewritten(id));
        };
        self.check_turn(&id, what)?;
        let entry = self.waiting.remove(&id).expect("it is there");
        self.claimed.insert(id.clone(), entry);
        self.run.heard.waiting.remove(&id);
        let newest = self.run.heard.newest.clone().unwrap_or_else(|| id.clone());
        self.run.heard.claims.insert(id.clone(), newest);
        self.run.heard.busy.insert(id.clone(), what.lane());
        if self.records.get(&id).is_some_and(|record| record.died) {
            self.run.heard.suspects.insert(id.clone());
        }
        self.progress += 1;
        let (request, bytes) = (request(what), bytes(&content));
        Ok(Event::Claimed(Box::new(Claimed { id, request, bytes })))
    }

    /// Has one before it asked for the same?
    fn is_in(&self, before: &[(EntryId, What)], id: &EntryId) -> bool {
        let asked = self.waiting.get(id).and_then(|entry| what(&entry.content));
        asked.is_some_and(|asked| before.iter().any(|(other, what)| other < id && *what == asked))
    }

    fn withdraw(&mut self, id: EntryId, why: &Withdrawal) -> Checked<Event> {
        if *why == Withdrawal::Cancelled {
            self.run.heard.tried.insert(id.clone());
            if !self.cancels.contains(&id) {
                return Ok(Event::Withdrawn);
            }
        }
        let is_final = self.records.get(&id).is_some_and(|record| record.is_final);
        let Some(entry) = self.waiting.get(&id).filter(|_| !is_final && !self.claimed.contains_key(&id))
        else {
            if *why == Withdrawal::Cancelled && !self.claimed.contains_key(&id) {
                self.progress += usize::from(self.cancels.remove(&id));
                self.run.heard.cancelled.remove(&id);
            }
            return Ok(Event::Withdrawn);
        };
        let push = match &entry.content {
            Content::CannotBeMoved => return Ok(self.stuck(id)),
            Content::Request(push) => push.clone(),
            // It is moved there and back.
            _ => {
                self.run.changed(Change::Arrived(id));
                return Ok(Event::Withdrawn);
            }
        };
        if let Withdrawal::Repeats(of) = why {
            let mut before = self.records.iter();
            if before.any(|(id, record)| id < of && record.what == Some(push.what)) {
                self.run.changed(Change::Arrived(id.clone()));
                return Ok(Event::Wanted(id));
            }
        }
        self.check_withdrawal(&id, &push, why)?;
        let entry = self.waiting.remove(&id).expect("it waits");
        self.run.heard.waiting.remove(&id);
        if self.is_broken {
            self.claimed.insert(id.clone(), entry);
            return Ok(Event::Failed(fault("it cannot be recorded", &id)));
        }
        self.records.entry(id.clone()).or_default().what = Some(push.what);
        self.finish(&id);
        Ok(Event::Withdrawn)
    }

    /// An entry does not let itself be moved: whose fault is that?
    fn stuck(&self, id: EntryId) -> Event {
        let fault = fault("it cannot be moved", &id);
        if self.is_broken { Event::Failed(fault) } else { Event::Stuck(id, fault) }
    }
}
