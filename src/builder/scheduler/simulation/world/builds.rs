//! The builds that run, step by step, and what they leave on the disk.

use std::{io, mem};

use super::{
    Checked, Content, Push, Try, World,
    disk::{Entry, Record, what},
    faults::fault,
    must,
};
use crate::{
    builder::{
        attempt_end::AttemptEnd,
        fault::Fault,
        judgement::{self, ATTEMPTS, Judgement},
        mail::letters,
        scheduler::Event,
        script_end::{NoVerdict, ScriptEnd},
    },
    queue::{Cancel, Claimed, EntryId, Retry},
    records::{Rc, Verdict},
};

pub struct Build {
    pub id: EntryId,
    pub entry: Entry,
    /// As it was before.
    pub before: Record,
    /// It has been told to end.
    pub is_cancelled: bool,
    pub stage: Stage,
}

#[derive(Clone, Copy)]
pub enum End {
    /// None is that it succeeds.
    OfItsOwn(Option<Try>),
    Cancelled,
}

pub enum Stage {
    Runs,
    /// How it ended, and that is not on the disk yet.
    Concludes(End),
    /// It is, and the drain has not heard.
    Over(AttemptEnd),
}

impl World<'_> {
    pub fn start(&mut self, Claimed { id, .. }: Claimed) -> Checked<Option<Event>> {
        let Some(entry) = self.claimed.get_mut(&id) else {
            return Err(format!("{id} was started unclaimed"));
        };
        let runs = self.run.builds.iter().any(|build| build.id == id);
        let asked = what(&entry.content).ok_or("what is started is no request")?;
        must(!runs, || format!("{id} was started twice"))?;
        if let Content::Request(Push { tries, .. }) = &mut entry.content
            && matches!(tries.first(), Some(Try::NoThread))
        {
            tries.remove(0);
            let entry = entry.clone();
            self.put_back(&id, entry);
            let fault = fault("no thread can be started", &id);
            return Ok(Some(Event::NotStarted(id, fault)));
        }
        let entry = entry.clone();
        self.check_is_last(&id, asked)?;
        self.run.history.push((id.clone(), asked));
        let record = self.records.entry(id.clone()).or_default();
        let before = Record { is_final: false, what: Some(asked), ..*record };
        *record = Record { tries: before.tries + 1, died: false, ..before };
        must(record.tries <= ATTEMPTS, || format!("{id} is tried again and again"))?;
        // It looks before it begins.
        let is_cancelled = self.cancels.contains(&id);
        let stage = if is_cancelled { Stage::Concludes(End::Cancelled) } else { Stage::Runs };
        self.run.builds.push(Build { id, entry, before, is_cancelled, stage });
        let runs = |build: &&Build| matches!(build.stage, Stage::Runs);
        let running = self.run.builds.iter().filter(runs).count();
        let (threads, all) = (self.scenario.threads, self.run.builds.len());
        must(running <= threads && all <= 2 * threads, || {
            format!("{running} of {all} run in {threads} slots")
        })?;
        Ok(None)
    }

    /// A build takes its next step.
    pub fn go_on(&mut self, at: usize) {
        self.run.idle_actions = 0;
        let build = &mut self.run.builds[at];
        match &build.stage {
            Stage::Runs if build.is_cancelled => {
                self.run.channel.push(Event::ScriptOver(build.id.clone()));
                build.stage = Stage::Concludes(End::Cancelled);
            }
            Stage::Runs if self.run.is_ending_builds => {
                build.stage = Stage::Over(AttemptEnd::PutBack);
                let (id, entry) = (build.id.clone(), build.entry.clone());
                self.uncount(at);
                self.put_back(&id, entry);
            }
            Stage::Runs => {
                let end = match &mut build.entry.content {
                    Content::Request(Push { tries, .. }) if !tries.is_empty() => Some(tries.remove(0)),
                    _ => None,
                };
                if !matches!(end, Some(Try::NoVerdict | Try::MachineAtFault | Try::AtFault | Try::NotPutBack))
                {
                    self.run.channel.push(Event::ScriptOver(build.id.clone()));
                }
                build.stage = Stage::Concludes(End::OfItsOwn(end));
            }
            Stage::Concludes(end) => {
                let end = *end;
                let end = self.conclude(at, end);
                self.run.builds[at].stage = Stage::Over(end);
            }
            Stage::Over(_) => {
                let build = self.run.builds.remove(at);
                let Stage::Over(end) = build.stage else { unreachable!("it is over") };
                self.run.channel.push(Event::Finished(build.id, end));
            }
        }
    }

    /// What follows from how it ended, as `attempt` has it judged.
    fn judge(&self, id: &EntryId, end: End) -> Result<Judgement, Fault> {
        let this = judgement::Try {
            number: self.records[id].tries,
            put_back: self.retries.get(id),
            is_doubted: false,
            now: self.clock(),
        };
        let ran = |rc| ScriptEnd::Verdict(Verdict::Ran(Rc::new(rc)));
        let met = || Fault { stage: "met", error: io::Error::other(id.to_string()) };
        let end = match end {
            End::Cancelled => ScriptEnd::Cancelled(None, None),
            End::OfItsOwn(Some(Try::MachineAtFault)) => {
                return this.blame(&met(), Some(fault("of the machine", id)));
            }
            End::OfItsOwn(Some(Try::AtFault)) => return this.blame(&met(), None),
            End::OfItsOwn(Some(Try::NotPutBack)) => return Err(fault("it cannot be put back", id)),
            End::OfItsOwn(Some(Try::Fails)) => ran(1),
            End::OfItsOwn(Some(Try::Later)) => ran(75),
            End::OfItsOwn(Some(Try::NoVerdict)) => {
                ScriptEnd::NoVerdict(NoVerdict { why: String::new(), words: String::new() })
            }
            End::OfItsOwn(Some(Try::NoThread) | None) => ran(0),
        };
        Ok(this.judge(end, Cancel::default))
    }

    /// What is on the disk after it, as `attempt` leaves it.
    fn conclude(&mut self, at: usize, end: End) -> AttemptEnd {
        self.progress += 1;
        let (id, entry) = (self.run.builds[at].id.clone(), self.run.builds[at].entry.clone());
        let judgement = self.judge(&id, end);
        if let End::OfItsOwn(Some(Try::NotPutBack)) = end {
            self.claimed.insert(id, entry);
            return AttemptEnd::Fault(judgement.expect_err("it is a fault"));
        }
        match judgement {
            Ok(Judgement::Final(verdict)) => {
                self.letters += usize::from(letters::are_due(verdict.outcome()));
                self.finish(&id);
                AttemptEnd::Recorded
            }
            Ok(Judgement::TryAgain(_)) => {
                self.letters += 1;
                self.put_back(&id, entry);
                AttemptEnd::NoVerdict
            }
            Ok(Judgement::PutBack) => unreachable!("its script has ended"),
            Ok(Judgement::Later(_)) => {
                self.pause(at, entry);
                AttemptEnd::Later
            }
            Err(fault) => {
                self.pause(at, entry);
                AttemptEnd::Fault(fault)
            }
        }
    }

    fn pause(&mut self, at: usize, entry: Entry) {
        let id = self.run.builds[at].id.clone();
        let retry = Retry::after(self.retries.get(&id), self.clock(), "later".to_string());
        self.retries.insert(id.clone(), retry);
        self.uncount(at);
        self.put_back(&id, entry);
    }

    /// The try does not count.
    fn uncount(&mut self, at: usize) {
        let build = &mut self.run.builds[at];
        self.records.insert(build.id.clone(), mem::take(&mut build.before));
    }
}
