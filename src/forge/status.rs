//! What a forge is told of a build: the text of a status file, `outbox/ID.status.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    queue::fields::{CommitId, GitRef, Repository},
    records::Outcome,
};

/// Why nobody will ever take a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The forge's code, if it was the forge.
    pub code: Option<u16>,
    /// For people.
    pub why: String,
}

/// One state of one build. It says nothing of whom it is sent to: that is settled when it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Without its owner.
    pub repository: Repository,
    /// In full.
    #[serde(rename = "ref")]
    pub git_ref: GitRef,
    /// What was built.
    pub commit_id: CommitId,
    /// How it is with the build.
    pub state: State,
    /// The same in words. What is longer than the forge takes is cut off when it is sent.
    pub description: String,
    /// The build's page, if there is one.
    #[serde(default)]
    pub target_url: Option<String>,
    /// Since when it waits to be sent; its age counts from here.
    pub since: Timestamp,
    /// Once nobody will ever take it: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// How it is with a build. In the file as one word: `pending`, or the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has begun.
    Pending,
    /// It is over.
    #[serde(untagged)]
    Over(Outcome),
}

impl Status {
    /// Under which name the forge keeps it. Always the same, since people require check marks by this name.
    pub fn context(&self) -> &'static str {
        if self.git_ref.as_str().starts_with("refs/tags/") { "amp_ci/tag" } else { "amp_ci" }
    }

    /// What the forge has one state of: statuses with the same key replace each other there.
    pub fn key(&self) -> (String, String, &'static str) {
        (self.repository.to_string(), self.commit_id.as_str().to_ascii_lowercase(), self.context())
    }
}
