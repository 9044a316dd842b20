//! The drain says in `queue/drain.json` that it lives, for those who can see neither its lock nor its process.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::builder::Builder;
use crate::{
    durable,
    error_chain::in_full,
    records::drain_state::{DrainState, FILE_NAME, SAID_EVERY},
};

/// Those who may look at the home may read it.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub struct Heartbeat {
    path: PathBuf,
    state: DrainState,
    /// When it is to be said again, though nothing has changed.
    due: Instant,
}

impl Heartbeat {
    pub fn start(builder: &Builder, threads: usize, stay: bool) -> Self {
        let now = Some(Timestamp::now());
        let settings = &builder.settings;
        let state = DrainState {
            pid: Some(std::process::id()),
            started: now,
            looked: now,
            threads: u32::try_from(threads).ok(),
            stay,
            min_free: Some(settings.min_free),
            log_limit: Some(settings.log_limit),
            page_url: settings.page_url.clone(),
            ..DrainState::default()
        };
        let mut heartbeat =
            Self { path: builder.home.queue().join(FILE_NAME), state, due: Instant::now() + SAID_EVERY };
        heartbeat.say();
        heartbeat
    }

    /// How long until it has to be said again.
    pub fn pause(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// The drain has come round: says so if the faults that stand are others, or it is time.
    pub fn beat(&mut self, troubles: Vec<String>) {
        if troubles != self.state.troubles || self.pause().is_zero() {
            self.state.troubles = troubles;
            self.state.looked = Some(Timestamp::now());
            self.say();
        }
    }

    pub fn end(mut self, troubles: Vec<String>) {
        let now = Some(Timestamp::now());
        self.state = DrainState { troubles, looked: now, ended: now, ..self.state };
        self.say();
    }

    /// For readers only: that it cannot be written is no reason to build nothing.
    fn say(&mut self) {
        self.due = Instant::now() + SAID_EVERY;
        if let Err(error) = durable::replace_unsynced(&self.path, &durable::json_line(&self.state), MODE) {
            tracing::debug!("nobody sees that build is at work: {}", in_full(&error));
        }
    }
}
