//! The builds that run, step by step, and what they leave on the disk.

use std::mem;

use super::{
    Checked, Content, PUT_BACKS, Try, World,
    disk::{Entry, Record},
    drain::fault,
    must,
};
use crate::{
    builder::{attempt_end::AttemptEnd, judgement::ATTEMPTS, scheduler::Event},
    queue::{Claimed, EntryId, Retry},
};

pub struct Build {
    pub id: EntryId,
    pub entry: Entry,
    /// As it was before.
    pub before: Record,
    pub stage: Stage,
}

pub enum Stage {
    Runs,
    /// How it ended, and that is not on the disk yet.
    Concludes(Option<Try>),
    /// It is, and the drain has not heard.
    Over(AttemptEnd),
}

impl World<'_> {
    pub fn start(&mut self, Claimed { id, .. }: Claimed) -> Checked<Option<Event>> {
        let Some(entry) = self.claimed.get_mut(&id) else {
            return Err(format!("{id} was started unclaimed"));
        };
        let runs = self.run.builds.iter().any(|build| build.id == id);
        must(!runs, || format!("{id} was started twice"))?;
        if let Content::Request { tries, .. } = &mut entry.content
            && matches!(tries.first(), Some(Try::NoThread))
        {
            tries.remove(0);
            let entry = entry.clone();
            self.put_back(&id, entry);
            let fault = fault("no thread can be started", &id);
            return Ok(Some(Event::NotStarted(id, fault)));
        }
        let record = self.records.entry(id.clone()).or_default();
        let before = Record { is_final: false, ..*record };
        *record = Record { is_final: false, tries: before.tries + 1, died: false };
        must(record.tries <= ATTEMPTS, || format!("{id} is tried again and again"))?;
        self.run.builds.push(Build { id, entry: entry.clone(), before, stage: Stage::Runs });
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
        let build = &mut self.run.builds[at];
        match &build.stage {
            Stage::Runs if self.run.is_ending_builds => {
                build.stage = Stage::Over(AttemptEnd::PutBack);
                let (id, entry) = (build.id.clone(), build.entry.clone());
                self.uncount(at);
                self.put_back(&id, entry);
            }
            Stage::Runs => {
                let end = match &mut build.entry.content {
                    Content::Request { tries, .. } if !tries.is_empty() => Some(tries.remove(0)),
                    _ => None,
                };
                if !matches!(end, Some(Try::NoVerdict | Try::MachineAtFault | Try::NotPutBack)) {
                    self.run.channel.push(Event::ScriptOver(build.id.clone()));
                }
                build.stage = Stage::Concludes(end);
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

    /// What is on the disk after it, as `attempt` leaves it.
    fn conclude(&mut self, at: usize, end: Option<Try>) -> AttemptEnd {
        self.progress += 1;
        let (id, entry) = (self.run.builds[at].id.clone(), self.run.builds[at].entry.clone());
        let put_backs = self.retries.get(&id).map_or(0, |retry| retry.count);
        let tries = self.records[&id].tries;
        match end {
            Some(Try::Later | Try::MachineAtFault) if put_backs < PUT_BACKS => {
                let retry = Retry::after(self.retries.get(&id), self.clock(), "later".to_string());
                self.retries.insert(id.clone(), retry);
                self.uncount(at);
                self.put_back(&id, entry);
                if matches!(end, Some(Try::Later)) {
                    AttemptEnd::Later
                } else {
                    AttemptEnd::Fault(fault("of the machine", &id))
                }
            }
            Some(Try::NoVerdict) if tries < ATTEMPTS => {
                self.letters += 1;
                self.put_back(&id, entry);
                AttemptEnd::NoVerdict
            }
            Some(Try::NotPutBack) => {
                self.claimed.insert(id.clone(), entry);
                AttemptEnd::Fault(fault("it cannot be put back", &id))
            }
            _ => {
                self.letters += usize::from(end.is_some());
                self.finish(&id);
                AttemptEnd::Recorded
            }
        }
    }

    /// The try does not count.
    fn uncount(&mut self, at: usize) {
        let build = &mut self.run.builds[at];
        self.records.insert(build.id.clone(), mem::take(&mut build.before));
    }
}
