//! One `build`, from its start to its end.

use std::{collections::VecDeque, time::Duration};

use super::{Scenario, What, builds::Build, heard::Heard, kernel::Change};
use crate::{
    builder::scheduler::{Event, Scheduler, Terms},
    queue::EntryId,
};

#[expect(clippy::struct_excessive_bools, reason = "each is told apart from the others")]
pub struct Run {
    pub scheduler: Scheduler,
    pub is_watched: bool,
    /// What the kernel has not told yet.
    pub kernel: VecDeque<Change>,
    /// What has been told, and not been heard.
    pub channel: Vec<Event>,
    pub builds: Vec<Build>,
    /// Rounds of mail that are under way: their numbers, and how many letters they send.
    pub rounds: VecDeque<(usize, usize)>,
    pub letters_sent: usize,
    /// What was asked for before, as far as the drain knows.
    pub history: Vec<(EntryId, What)>,
    pub has_died: bool,
    pub is_outdated: bool,
    pub is_ending_builds: bool,
    pub heard: Heard,
    /// When the scheduler last decided.
    pub decided: Duration,
    /// So many actions since anything happened.
    pub idle_actions: usize,
}

impl Run {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            scheduler: Scheduler::new(Terms {
                threads: scenario.threads,
                stays: scenario.stays,
                newest_only: scenario.newest_only,
                watched: scenario.watched,
            }),
            is_watched: scenario.watched,
            kernel: VecDeque::new(),
            channel: Vec::new(),
            builds: Vec::new(),
            rounds: VecDeque::new(),
            letters_sent: 0,
            history: Vec::new(),
            has_died: false,
            is_outdated: false,
            is_ending_builds: false,
            heard: Heard { is_watched: scenario.watched, ..Heard::default() },
            decided: Duration::ZERO,
            idle_actions: 0,
        }
    }

    /// The kernel sees it.
    pub fn changed(&mut self, change: Change) {
        if self.is_watched {
            self.kernel.push_back(change);
        }
    }
}
