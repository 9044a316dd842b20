//! One build, in whatever state it is.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    document::{Asked, Bad, Document, Finished, Running, RunningStage, Waiting},
    folder::Folder,
    records::{self, RecordState},
};
use crate::{home::Home, queue::EntryId, records::Outcome};

/// The document of one build.
#[derive(Debug, Clone, Serialize)]
pub struct BuildDocument {
    /// Its form: 1.
    pub schema: u32,
    /// When it was made.
    pub now: Timestamp,
    /// The build.
    pub build: Build,
}

/// A build.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Build {
    /// It waits.
    Waiting(Waiting),
    /// It has been begun.
    Running(Running),
    /// It is over.
    Finished(Arc<Finished>),
    /// It cannot be built.
    Bad(Bad),
}

impl Build {
    /// The build of this id: among what the document shows, or else by its own record; none if there is none.
    pub fn find(document: &Document, home: &Home, id: &EntryId) -> Option<Self> {
        if let Some(running) = document.running.iter().find(|running| running.asked.id == *id) {
            return Some(Self::Running(running.clone()));
        }
        if let Some(finished) = document.recent.iter().find(|finished| finished.asked.id == *id) {
            return Some(Self::Finished(Arc::clone(finished)));
        }
        if let Some(waiting) = document.waiting.iter().find(|waiting| waiting.asked.id == *id) {
            return Some(Self::Waiting(waiting.clone()));
        }
        Self::older(home, id).or_else(|| Self::bad(home, id))
    }

    /// One that is not on view: older than the newest records.
    fn older(home: &Home, id: &EntryId) -> Option<Self> {
        match records::read(&Folder::open(&home.builds()).ok()?, id) {
            RecordState::Final(finished) => Some(Self::Finished(finished)),
            RecordState::Begun { asked, attempt: Some(attempt), .. } if attempt.script_pid.is_some() => {
                let stage = RunningStage::Running;
                Some(Self::Running(Running { stage, ..Running::of(asked, Some(attempt)) }))
            }
            RecordState::Begun { asked, problem, .. } => {
                Some(Self::Finished(Arc::new(Finished::unreadable(asked, problem))))
            }
            RecordState::Gone => None,
        }
    }

    fn bad(home: &Home, id: &EntryId) -> Option<Self> {
        let bad = Folder::open(&home.queue()).ok()?.folder("bad").ok()?;
        let name = id.waiting();
        bad.stamp(&name)?;
        Some(Self::Bad(Bad { why: bad.text(&format!("{name}.why"), 500), name }))
    }

    /// What was asked, if it is an entry that could be read.
    pub fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Waiting(waiting) => Some(&waiting.asked),
            Self::Running(running) => Some(&running.asked),
            Self::Finished(finished) => Some(&finished.asked),
            Self::Bad(_) => None,
        }
    }

    /// How it came out, if it is over.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Finished(finished) => finished.outcome,
            _ => None,
        }
    }
}
