//! What is promised, looked after at each step.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use super::{
    Checked, Content, Push, TWO_HOURS, What, World,
    builds::{Build, Stage},
    disk::{self, Record, lane_of},
    faults::fault,
    must,
};
use crate::{
    builder::scheduler::{DrainExit, Withdrawal},
    queue::{EntryId, Retry},
};

impl World<'_> {
    /// May this one start now?
    pub fn check_turn(&self, id: &EntryId, what: What) -> Checked {
        let (heard, lane) = (&self.run.heard, what.lane());
        let is_touched = heard.touched.contains(lane);
        let is_cancelled =
            heard.cancelled.contains(id) && self.cancels.contains(id) && !heard.tried.contains(id);
        must(!is_cancelled || is_touched, || format!("{id} is claimed, and nobody wants it"))?;
        let is_final = self.records.get(id).is_some_and(|record| record.is_final);
        must(!is_final, || format!("{id} is built though it has a result"))?;
        let others = heard.busy.iter().find(|(_, busy)| **busy == lane);
        must(others.is_none(), || format!("{id} starts beside another of its lane: {others:?}"))?;
        // The newest of a branch takes the place of the oldest.
        let in_lane = |id: &&EntryId| self.asks_for(id).is_some_and(|asked| asked.lane() == lane);
        let oldest = heard.waiting.range(..id).find(in_lane);
        // In the place of one that cannot be recorded, and so stays.
        let mut older = self.waiting.range(..id).map(|(_, entry)| &entry.content);
        let is_stuck = older.any(|content| matches!(content, Content::CannotBeMoved));
        let is_exempt = self.scenario.newest_only && (is_touched || is_stuck && lane == "a");
        let is_its_turn = is_exempt || oldest.is_none_or(|oldest| self.is_replaced_by(oldest, what));
        must(is_its_turn, || format!("{id} starts before an older one of its lane: {oldest:?}"))?;
        let pauses =
            self.retries.get(id).is_some_and(|retry| retry.pause(self.clock()) > Duration::from_secs(1));
        must(!pauses, || format!("{id} starts though it pauses"))?;
        let is_suspect = self.records.get(id).is_some_and(|record| record.died);
        must(!is_suspect || !self.suspect_runs(), || format!("{id} is a second suspect"))?;
        self.check_newest(id, what)?;
        self.check_is_no_repeat(id, what)
    }

    /// Where the newest push wins: may it be recorded instead of being built, because of one that asks for this?
    fn is_replaced_by(&self, id: &EntryId, what: What) -> bool {
        let is_of_branch = self.asks_for(id).is_some_and(|asked| asked.git_ref == what.git_ref);
        let is_rerun = self.push(id).is_some_and(|push| push.is_rerun);
        self.scenario.newest_only && what.is_branch() && is_of_branch && !is_rerun
    }

    /// What it asks for, as it waits.
    fn asks_for(&self, id: &EntryId) -> Option<What> {
        disk::what(&self.waiting.get(id)?.content)
    }

    /// Is its commit asked for by nothing else, so that it is no repeat in anybody's eyes?
    fn is_alone(&self, id: &EntryId, what: What) -> bool {
        let times = self.asked.iter().filter(|asked| **asked == what).count();
        times == 1 && self.push(id).is_some_and(|push| !push.is_rerun)
    }

    /// No newer one of its branch is known that would win.
    fn check_newest(&self, id: &EntryId, what: What) -> Checked {
        let heard = &self.run.heard;
        if !self.scenario.newest_only
            || !what.is_branch()
            || heard.touched.contains(what.lane())
            || !self.is_alone(id, what)
        {
            return Ok(());
        }
        let newer = heard.waiting.range(id..).find(|newer| {
            *newer != id
                && !self.retries.contains_key(*newer)
                && self.records.get(*newer).is_none_or(|record| !record.died && !record.is_final)
                && self.is_replaced_by(newer, what)
                && self.push(newer).is_some_and(|push| self.is_alone(newer, push.what))
        });
        must(newer.is_none(), || format!("{id} is built, and {newer:?} is newer"))
    }

    /// The one before it did not ask for the same while this one was known already.
    fn check_is_no_repeat(&self, id: &EntryId, what: What) -> Checked {
        let heard = &self.run.heard;
        let is_free = self.scenario.newest_only
            || heard.wanted.contains(id)
            || heard.touched.contains(what.lane())
            || self.push(id).is_none_or(|push| push.is_rerun);
        let asked = |id: &EntryId| self.records.get(id).and_then(|record| record.what);
        let of_ref = |id: &&EntryId| asked(id).is_some_and(|other| other.git_ref == what.git_ref);
        let before = heard.claims.range(..id).rev().find(|(before, _)| of_ref(before));
        let repeats = before.filter(|(before, newest)| asked(before) == Some(what) && id <= newest);
        must(is_free || repeats.is_none(), || {
            format!("{id} is built, and asks for what {repeats:?} asked for")
        })
    }

    /// May it be recorded instead of being built?
    pub fn check_withdrawal(&self, id: &EntryId, push: &Push, why: &Withdrawal) -> Checked {
        let heard = &self.run.heard;
        must(!heard.fault && !heard.signal, || format!("{id} is withdrawn when nothing is to begin"))?;
        let record = |id| self.records.get(id).and_then(|record: &Record| record.what);
        let claimed = |id| self.claimed.get(id).and_then(|entry| disk::what(&entry.content));
        let of = |id| claimed(id).or_else(|| record(id));
        if heard.touched.contains(push.what.lane()) {
            return Ok(());
        }
        match why {
            Withdrawal::Cancelled => must(self.cancels.contains(id), || format!("nobody has cancelled {id}")),
            Withdrawal::Superseded(by) => {
                let newer = of(by).filter(|newer| newer.git_ref == push.what.git_ref && newer.is_branch());
                let may = self.scenario.newest_only && by > id && newer.is_some() && !push.is_rerun;
                must(may && self.claimed.contains_key(by), || format!("{id} is superseded by {by}"))
            }
            Withdrawal::Repeats(by) => {
                let came_in_time = heard.claims.get(by).is_none_or(|newest| id <= newest);
                let may = by < id && of(by) == Some(push.what) && !push.is_rerun && came_in_time;
                must(may, || format!("{id} does not repeat {by}"))
            }
        }
    }

    /// One that begins has all that it supersedes on record.
    pub fn check_is_last(&self, id: &EntryId, what: What) -> Checked {
        let heard = &self.run.heard;
        let older = heard.waiting.range(..id).find(|older| {
            self.is_replaced_by(older, what)
                && !heard.touched.contains(what.lane())
                && !self.records.contains_key(*older)
                && self.push(older).is_some_and(|push| self.is_alone(older, push.what))
        });
        must(older.is_none(), || format!("{id} begins before {older:?} is on record"))
    }

    /// What somebody does not want is on record, or has been told to end.
    fn check_cancels(&self) -> Checked {
        let heard = &self.run.heard;
        let runs = |build: &&Build| {
            let is_meant = heard.cancelled.contains(&build.id) && self.cancels.contains(&build.id);
            is_meant && matches!(build.stage, Stage::Runs) && !build.is_cancelled
        };
        if heard.signal || heard.fault {
            return Ok(());
        }
        let runs = self.run.builds.iter().find(runs).map(|build| &build.id);
        must(runs.is_none(), || format!("{runs:?} runs on, and nobody wants it"))?;
        let waits = heard.cancelled.iter().find(|id| {
            let is_touched = |lane| heard.touched.contains(lane);
            self.cancels.contains(id)
                && !heard.tried.contains(*id)
                && !heard.busy.contains_key(*id)
                && heard.waiting.contains(id)
                && self.waiting_in(id).is_some_and(|lane| !is_touched(lane))
        });
        must(waits.is_none(), || format!("{waits:?} waits on, and nobody wants it"))
    }

    /// One that stays has nothing to do.
    pub fn check_idle(&self) -> Checked {
        must(self.scenario.stays, || "it is idle and is not to stay".to_string())?;
        must(self.run.letters_sent == self.letters, || "it rests, and letters are to be sent".to_string())?;
        self.check_slots_are_used()
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
        let blocked: HashSet<&str> = still.chain(taken).collect();
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
        self.check_cancels()?;
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
