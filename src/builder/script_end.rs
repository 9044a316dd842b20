//! How the run of a build's script ended, wherever it ran.

use crate::records::Verdict;

#[derive(Debug)]
pub enum ScriptEnd {
    /// It came to a verdict.
    Verdict(Verdict),
    /// We were told to stop.
    Stopped,
    /// The launcher ended without one.
    NoVerdict(NoVerdict),
}

/// The engine's failure.
#[derive(Debug)]
pub struct NoVerdict {
    /// In one line.
    pub why: String,
    /// What the launcher said of itself, in the end.
    pub words: String,
}
