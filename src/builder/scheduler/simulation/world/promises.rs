//! What is promised, looked after at each step.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use super::{Checked, TWO_HOURS, World, disk::lane_of, drain::fault, must};
use crate::{
    builder::scheduler::DrainExit,
    queue::{EntryId, Retry},
};

impl World<'_> {
    /// May this one start now?
    pub fn check_turn(&self, id: &EntryId, lane: usize) -> Checked {
        let heard = &self.run.heard;
        let is_final = self.records.get(id).is_some_and(|record| record.is_final);
        must(!is_final, || format!("{id} is built though it has a result"))?;
        let others = heard.busy.iter().find(|(_, busy)| **busy == lane);
        must(others.is_none(), || format!("{id} starts beside another of its lane: {others:?}"))?;
        let older = heard.waiting.range(..id).find(|older| self.waiting_in(older) == Some(lane));
        must(older.is_none(), || format!("{id} starts before an older one of its lane: {older:?}"))?;
        let pauses =
            self.retries.get(id).is_some_and(|retry| retry.pause(self.clock()) > Duration::from_secs(1));
        must(!pauses, || format!("{id} starts though it pauses"))?;
        let is_suspect = self.records.get(id).is_some_and(|record| record.died);
        must(!is_suspect || !self.suspect_runs(), || format!("{id} is a second suspect"))
    }

    pub fn suspect_runs(&self) -> bool {
        !self.run.heard.suspects.is_empty()
    }

    /// One that it knows of and could be built: nothing of its lane runs, pauses or waits for another suspect.
    fn left_lying(&self, at: Duration) -> Option<&EntryId> {
        let heard = &self.run.heard;
        let at = Timestamp::UNIX_EPOCH + at;
        let stands_still = |id: &EntryId| {
            let is_suspect = self.records.get(id).is_some_and(|record| record.died);
            let pauses = self.retries.get(id).is_some_and(|retry| !retry.pause(at).is_zero());
            pauses || is_suspect && self.suspect_runs()
        };
        let still = self.waiting.keys().filter(|id| stands_still(id));
        let still = still.filter_map(|id| lane_of(&self.waiting.get(id)?.content));
        let taken = heard.busy.values().chain(heard.in_vain.values()).copied();
        let blocked: HashSet<usize> = still.chain(taken).collect();
        heard.waiting.iter().find(|id| self.waiting_in(id).is_some_and(|lane| !blocked.contains(&lane)))
    }

    /// It does no end of things while nothing happens.
    pub fn check_goes_on(&mut self) -> Checked {
        self.steps += 1;
        self.run.idle_actions += 1;
        let entries = self.waiting.len() + self.claimed.len();
        must(self.run.idle_actions < 100 + 10 * entries, || "it goes round in circles".to_string())
    }

    /// It sleeps: then no slot is free for what could be built before it wakes up by itself.
    pub fn check_slots_are_used(&self) -> Checked {
        let heard = &self.run.heard;
        must(!heard.is_unsure, || "changes were lost, and it does not look".to_string())?;
        let looks_at = self.run.scheduler.wakes_at().map(|at| at.saturating_sub(self.run.decided));
        let looks = looks_at.is_some_and(|after| after <= Duration::from_secs(1));
        must(heard.is_watched || looks, || "nobody tells it, and it does not look".to_string())?;
        let recording = heard.scripts_over.len();
        let is_free =
            heard.busy.len() - recording < self.scenario.threads && recording <= self.scenario.threads;
        if heard.is_held || heard.signal || heard.fault || !is_free {
            return Ok(());
        }
        let wakes_at = self.run.scheduler.wakes_at().unwrap_or(self.run.decided + TWO_HOURS);
        for at in [self.run.decided, wakes_at.saturating_sub(Duration::from_millis(1))] {
            if let Some(id) = self.left_lying(at)
                && !heard.touched.contains(&self.waiting_in(id).expect("a request"))
            {
                return Err(format!("{id} could be built, and is not"));
            }
        }
        Ok(())
    }

    pub fn check_exit(&mut self, exit: DrainExit) -> Checked {
        let heard = &self.run.heard;
        let left = heard.busy.keys().next();
        must(left.is_none(), || format!("it ends, and {left:?} runs"))?;
        let owed = heard.owed.iter().find(|(_, times)| **times > 0);
        must(owed.is_none(), || format!("nobody hears of it: {owed:?}"))?;
        let is_sent = self.run.letters_sent == self.letters;
        must(is_sent || heard.signal, || "letters were written after the last mail".to_string())?;
        let expected = match exit {
            DrainExit::Signalled(_) => heard.signal,
            DrainExit::Faulty => heard.fault && !heard.signal,
            DrainExit::Held => heard.is_held && !heard.fault && !heard.signal,
            DrainExit::Drained => !heard.is_held && !heard.fault && !heard.signal,
        };
        must(expected, || format!("{exit:?} is not why it ends"))?;
        if exit != DrainExit::Drained {
            return Ok(());
        }
        let left = self.left_lying(self.run.decided);
        must(left.is_none(), || format!("{left:?} could be built, and it ends"))?;
        let left = heard.unsettled.iter().find(|id| self.waiting.contains_key(id));
        must(left.is_none(), || format!("{left:?} was not looked at again"))?;
        let standing = heard.waiting.iter().find(|id| {
            let is_standing = self.retries.get(id).is_some_and(Retry::is_standing);
            let is_first = || {
                let lane = self.waiting_in(id);
                let in_vain = heard.in_vain.values().any(|other| Some(*other) == lane);
                lane.is_some()
                    && !in_vain
                    && !heard.waiting.range(..*id).any(|other| self.waiting_in(other) == lane)
            };
            is_standing && is_first() && !heard.told.contains(&fault("again and again", id).to_string())
        });
        must(standing.is_none(), || format!("{standing:?} is put back again and again, and nobody hears"))
    }
}
