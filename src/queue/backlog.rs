//! Which entry is next: the oldest that may run.
//!
//! The directory is read once; after that, names come one at a time as the kernel reports them. An entry is
//! opened only when a slot is free for it; one whose lane is busy is remembered with its lane and not opened
//! again before that is free.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{EntryId, Lane};

/// The entries that wait, as far as they are known. That one is named here does not mean that it still is
/// there: whoever takes one looks, so being told of a name twice does no harm.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Not looked at yet.
    unread: BTreeSet<EntryId>,
    /// Looked at while they could not start.
    passed: HashMap<Lane, BTreeSet<EntryId>>,
    /// The first of each lane in `passed` that is free.
    ready: BTreeMap<EntryId, Lane>,
    busy: HashSet<Lane>,
}

impl Backlog {
    /// An entry has appeared.
    pub fn add(&mut self, id: EntryId) {
        self.unread.insert(id);
    }

    /// Many have appeared, or may have: what a look at the directory shows, in order.
    pub fn add_all(&mut self, ids: impl IntoIterator<Item = EntryId>) {
        self.unread.append(&mut ids.into_iter().collect());
    }

    /// Takes out the oldest entry that may run, or has to be looked at to know. What becomes of it is told
    /// by [`occupy`](Self::occupy) or [`pass`](Self::pass), or by nothing when it is no request.
    pub fn take(&mut self) -> Option<EntryId> {
        let ready_first = match (self.ready.first_key_value(), self.unread.first()) {
            (Some((ready, _)), Some(unread)) => ready < unread,
            (ready, _) => ready.is_some(),
        };
        if !ready_first {
            return self.unread.pop_first();
        }
        let (id, lane) = self.ready.pop_first()?;
        if let Some(passed) = self.passed.get_mut(&lane) {
            passed.remove(&id);
        }
        self.offer(&lane);
        Some(id)
    }

    /// May this entry of this lane start? Not while one of the lane runs, nor past an older one of it.
    pub fn may_start(&self, id: &EntryId, lane: &Lane) -> bool {
        let is_oldest = |passed: &BTreeSet<EntryId>| passed.first().is_none_or(|first| id <= first);
        !self.busy.contains(lane) && self.passed.get(lane).is_none_or(is_oldest)
    }

    /// An entry was looked at and has to wait for its lane.
    pub fn pass(&mut self, id: EntryId, lane: &Lane) {
        self.passed.entry(lane.clone()).or_default().insert(id);
        self.offer(lane);
    }

    /// A build of this lane starts.
    pub fn occupy(&mut self, lane: Lane) {
        if let Some(first) = self.passed.get(&lane).and_then(BTreeSet::first) {
            self.ready.remove(first);
        }
        self.busy.insert(lane);
    }

    /// The build of this lane is over: the next one of the lane may start.
    pub fn release(&mut self, lane: &Lane) {
        self.busy.remove(lane);
        self.offer(lane);
    }

    /// Keeps `ready` true for this lane: its first, if it is free.
    fn offer(&mut self, lane: &Lane) {
        let Some(passed) = self.passed.get(lane) else { return };
        let mut in_order = passed.iter();
        let Some(first) = in_order.next() else {
            self.passed.remove(lane);
            return;
        };
        if !self.busy.contains(lane) {
            self.ready.insert(first.clone(), lane.clone());
            if let Some(second) = in_order.next() {
                self.ready.remove(second);
            }
        }
    }

    /// Is there one to be looked at, or to start, whose lane is free?
    pub fn has_next(&self) -> bool {
        !self.unread.is_empty() || !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::BuildRequest;

    fn id(text: &str) -> EntryId {
        EntryId::parse(text).expect("an id")
    }

    fn lane(repository: &str, branch: &str) -> Lane {
        let json = format!(
            r#"{{"repository":"{repository}","ref":"refs/heads/{branch}","commit_id":"{}"}}"#,
            "a".repeat(40)
        );
        serde_json::from_str::<BuildRequest>(&json).expect("a request").lane()
    }

    /// Starts what may start, as a drain with `slots` does; returns what was started, in order.
    fn start(backlog: &mut Backlog, slots: usize, lanes: &HashMap<EntryId, Lane>) -> Vec<EntryId> {
        let mut started = Vec::new();
        while started.len() < slots {
            let Some(id) = backlog.take() else { break };
            let lane = &lanes[&id];
            if backlog.may_start(&id, lane) {
                backlog.occupy(lane.clone());
                started.push(id);
            } else {
                backlog.pass(id, lane);
            }
        }
        started
    }

    #[test]
    fn one_lane_runs_one_at_a_time_and_in_order_while_others_run_beside_it() {
        let (a, b) = (lane("a", "main"), lane("b", "main"));
        let lanes: HashMap<_, _> = [("1.0", &a), ("2.0", &a), ("3.0", &a), ("4.0", &b), ("5.0", &b)]
            .map(|(i, l)| (id(i), l.clone()))
            .into();
        let mut backlog = Backlog::default();
        lanes.keys().cloned().for_each(|id| backlog.add(id));
        assert_eq!(start(&mut backlog, 4, &lanes), [id("1.0"), id("4.0")]);
        assert!(!backlog.has_next(), "they wait for their lanes");
        backlog.release(&b);
        assert_eq!(start(&mut backlog, 4, &lanes), [id("5.0")]);
        backlog.release(&a);
        assert_eq!(start(&mut backlog, 4, &lanes), [id("2.0")]);
        backlog.release(&a);
        backlog.release(&b);
        assert_eq!(start(&mut backlog, 4, &lanes), [id("3.0")]);
        assert!(!backlog.has_next());
    }

    #[test]
    fn an_older_entry_that_appears_late_goes_first() {
        let a = lane("a", "main");
        let mut lanes: HashMap<_, _> = [("5.0", &a), ("7.0", &a)].map(|(i, l)| (id(i), l.clone())).into();
        let mut backlog = Backlog::default();
        backlog.occupy(a.clone());
        lanes.keys().cloned().for_each(|id| backlog.add(id));
        assert_eq!(start(&mut backlog, 1, &lanes), []);
        lanes.insert(id("6.0"), a.clone());
        lanes.insert(id("4.0"), a.clone());
        backlog.release(&a);
        backlog.add(id("6.0"));
        backlog.add(id("4.0"));
        for expected in ["4.0", "5.0", "6.0", "7.0"] {
            assert_eq!(start(&mut backlog, 1, &lanes), [id(expected)]);
            backlog.release(&a);
        }
        assert!(!backlog.has_next());
    }

    #[test]
    fn an_entry_that_had_to_wait_for_its_lane_goes_before_the_younger_ones_of_others() {
        let (a, b) = (lane("a", "main"), lane("b", "main"));
        let lanes: HashMap<_, _> =
            [("1.0", &a), ("2.0", &a), ("3.0", &b)].map(|(i, l)| (id(i), l.clone())).into();
        let mut backlog = Backlog::default();
        backlog.add_all([id("1.0"), id("2.0")]);
        assert_eq!(start(&mut backlog, 2, &lanes), [id("1.0")]);
        backlog.release(&a);
        backlog.add(id("3.0"));
        assert_eq!(start(&mut backlog, 1, &lanes), [id("2.0")]);
        assert_eq!(start(&mut backlog, 1, &lanes), [id("3.0")]);
    }

    #[test]
    fn being_told_twice_does_no_harm() {
        let a = lane("a", "main");
        let lanes: HashMap<_, _> = [("1.0", &a), ("2.0", &a)].map(|(i, l)| (id(i), l.clone())).into();
        let mut backlog = Backlog::default();
        backlog.add(id("1.0"));
        backlog.add(id("2.0"));
        assert_eq!(start(&mut backlog, 2, &lanes), [id("1.0")]);
        backlog.add(id("2.0"));
        assert_eq!(start(&mut backlog, 2, &lanes), []);
        backlog.release(&a);
        assert_eq!(start(&mut backlog, 1, &lanes), [id("2.0")]);
        assert!(!backlog.has_next());
    }
}
