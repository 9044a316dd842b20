//! What the builder does for the forge: puts each state of a build into the outbox.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Sender},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    api::Api,
    reporter::{self, Errand, Pauses, Tell},
    status::{State, Status},
    unsent::Unsent,
};
use crate::{
    home::Home,
    queue::{BuildRequest, EntryId},
    records::{BuildResult, Outcome},
};

/// Reports, if there is a forge to report to.
#[derive(Debug)]
pub struct Statuses {
    home: Home,
    api: Option<Api>,
    page_url: Option<String>,
    unsent: Arc<Unsent>,
    /// Wakes the thread that sends, once there is one.
    reporter: Mutex<Option<Sender<Errand>>>,
}

impl Statuses {
    /// Nothing is touched yet. `page_url` is where people see the builds, without a slash at its end.
    pub fn new(home: &Home, api: Option<Api>, page_url: Option<String>) -> Self {
        let unsent = Arc::new(Unsent::new(home));
        Self { home: home.clone(), api, page_url, unsent, reporter: Mutex::default() }
    }

    /// Starts to send them, each as soon as it may be. `tell` hears what a person has to know.
    pub fn start(&self, pauses: Pauses, tell: Tell) -> io::Result<()> {
        let Some(api) = self.api.clone() else { return Ok(()) };
        let errands = reporter::start(&self.home, api, Arc::clone(&self.unsent), pauses, tell)?;
        *self.reporter() = Some(errands);
        Ok(())
    }

    /// Sends what is due and then calls `tell`; at once, if nothing is sent anyway.
    pub fn pass_then(&self, tell: impl FnOnce() + Send + 'static) {
        match &*self.reporter() {
            Some(errands) => _ = errands.send(Errand::PassThen(Box::new(tell))),
            None => tell(),
        }
    }

    /// A build has begun.
    pub fn pending(&self, id: &EntryId, request: &BuildRequest) -> io::Result<()> {
        self.put(id, request, State::Pending, "building")
    }

    /// A build has its final word. What ran nothing is told of only if its beginning was, which `has_begun` says.
    pub fn finished(
        &self,
        id: &EntryId,
        request: &BuildRequest,
        result: &BuildResult,
        has_begun: bool,
    ) -> io::Result<()> {
        let took = || format!("{:#}", SignedDuration::from_secs_f64(result.seconds.round()));
        let reason = result.reason.as_deref().unwrap_or("no reason on record");
        let words = match (result.outcome, result.rc) {
            (Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded, _) if !has_begun => return Ok(()),
            (Outcome::Succeeded, _) => format!("succeeded after {}", took()),
            (Outcome::Failed, Some(rc)) => format!("failed with rc {rc} after {}", took()),
            (Outcome::Failed, None) => format!("failed after {}", took()),
            (Outcome::TimedOut, _) => reason.to_string(),
            (Outcome::Error, _) => format!("could not be built: {reason}"),
            (Outcome::Skipped, _) => format!("skipped: {reason}"),
            (Outcome::Cancelled, _) => format!("cancelled: {reason}"),
            (Outcome::Superseded, _) => "superseded by a newer push".to_string(),
        };
        self.put(id, request, State::Over(result.outcome), &words)
    }

    fn put(&self, id: &EntryId, request: &BuildRequest, state: State, words: &str) -> io::Result<()> {
        if self.api.is_none() || !self.home.forge_token().exists() {
            return Ok(());
        }
        let status = Status {
            repository: request.repository.clone(),
            git_ref: request.git_ref.clone(),
            commit_id: request.commit_id.clone(),
            state,
            description: crate::text::printable(words).into_owned(),
            target_url: self.page_url.as_ref().map(|url| format!("{url}/builds/{id}")),
            since: Timestamp::now(),
            refused: None,
        };
        self.unsent.put(id, &status)?;
        if let Some(errands) = &*self.reporter() {
            let _ = errands.send(Errand::Pass);
        }
        Ok(())
    }

    fn reporter(&self) -> MutexGuard<'_, Option<Sender<Errand>>> {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
