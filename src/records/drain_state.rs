//! `queue/drain.json`: what the drain says of itself to those who may only read, and so see neither its lock nor
//! its process. It is replaced at the start, at the end, at each change and every 30 seconds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The file's name in `queue/`.
pub const FILE_NAME: &str = "drain.json";

/// How often a drain that lives says so.
pub const SAID_EVERY: Duration = Duration::from_secs(30);

/// One that has been silent for longer is taken for dead.
pub const SILENT_FOR: Duration = Duration::from_secs(90);

/// The drain that runs, or the last one that did. Whatever is missing is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainState {
    /// Its process.
    pub pid: Option<u32>,
    /// Since when it runs.
    pub started: Option<Timestamp>,
    /// When it last looked at the queue.
    pub looked: Option<Timestamp>,
    /// When it ended; null while it runs.
    pub ended: Option<Timestamp>,
    /// How many builds it runs at a time.
    pub threads: Option<u32>,
    /// Does it stay when there is nothing to do?
    pub stay: bool,
    /// The faults of the machine that stand, each in one line.
    pub troubles: Vec<String>,
    /// Bytes that have to be free for a build to start: `AMP_CI_MIN_FREE`.
    pub min_free: Option<u64>,
    /// Bytes of output that are kept of a build: `AMP_CI_LOG_LIMIT`.
    pub log_limit: Option<u64>,
    /// Where people reach the page: `AMP_CI_PAGE_URL`.
    pub page_url: Option<String>,
}

impl DrainState {
    /// Does it run, as far as one can tell at `now`?
    pub fn is_alive(&self, now: Timestamp) -> bool {
        let silent_for = SignedDuration::try_from(SILENT_FOR).unwrap_or_default();
        self.ended.is_none() && self.looked.is_some_and(|looked| now.duration_since(looked) <= silent_for)
    }

    /// When a drain was last known to be there.
    pub fn last_seen(&self) -> Option<Timestamp> {
        [self.started, self.looked, self.ended].into_iter().flatten().max()
    }
}

#[cfg(test)]
mod tests {
    use super::DrainState;

    #[test]
    fn one_that_has_been_silent_for_90_seconds_is_dead() {
        let state: DrainState =
            serde_json::from_str(r#"{"pid":7,"looked":"2026-11-22T11:00:00Z","later":"is ignored"}"#)
                .unwrap();
        assert!(state.is_alive("2026-11-22T11:01:30Z".parse().unwrap()));
        assert!(!state.is_alive("2026-11-22T11:01:31Z".parse().unwrap()));
        let ended = DrainState { ended: state.looked, ..state };
        assert!(!ended.is_alive("2026-11-22T11:00:00Z".parse().unwrap()));
    }
}
