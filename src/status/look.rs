//! What a look at the names shows: everything but the finished builds.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;

use super::{
    document::{Problem, Running, Waiting},
    records::RecordList,
    standing::Standing,
};
use crate::queue::Listing;

/// A look at an installation. What has not changed since the last one need not be read again.
#[derive(Debug)]
pub struct Look {
    /// When.
    pub now: Timestamp,
    /// The names in the queue.
    pub names: Listing,
    /// The names of the records.
    pub records: RecordList,
    /// What is around.
    pub standing: Standing,
    /// What is being built.
    pub running: Vec<Running>,
    /// The first of what waits.
    pub waiting: Vec<Waiting>,
    /// What is wrong with CI itself.
    pub problems: Vec<Problem>,
}

impl Look {
    /// Differs whenever the document would, times apart.
    pub fn tag(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.names.hash(&mut hasher);
        (self.records.stamp, self.records.total, &self.records.newest.first()).hash(&mut hasher);
        let Standing { drain, letters, bad, disk: _ } = &self.standing;
        (drain.running, drain.pid, drain.threads, drain.started, drain.ended, &drain.hold, &drain.troubles)
            .hash(&mut hasher);
        for running in &self.running {
            (&running.asked.id, running.stage, running.started, running.attempt, &running.cancel)
                .hash(&mut hasher);
        }
        for waiting in &self.waiting {
            (
                &waiting.asked.id,
                waiting.waits_for,
                &waiting.waits_for_text,
                &waiting.behind,
                waiting.until,
                waiting.attempts,
            )
                .hash(&mut hasher);
        }
        (letters, bad).hash(&mut hasher);
        for problem in &self.problems {
            // Not the words of what is measured: they change with every byte.
            (problem.check, (problem.check != "disk").then_some(&problem.text)).hash(&mut hasher);
        }
        hasher.finish()
    }
}
