//! How the run of a build's script ended, wherever it ran.

use crate::{
    records::{Cause, Rc, Verdict},
    text::printable,
};

#[derive(Debug)]
pub enum ScriptEnd {
    /// It came to a verdict.
    Verdict(Verdict),
    /// We were told to stop.
    Stopped,
    /// Nobody wants it any more. Why what it left on the engine could not be taken away, if that is so.
    Cancelled(Option<Rc>, Option<NoVerdict>),
    /// The launcher ended without one.
    NoVerdict(NoVerdict),
}

impl ScriptEnd {
    /// bash has ended by itself. Its 0 counts once the last chunk has begun: before, `early` is the one that it ended in.
    pub fn exited(rc: Rc, early: &str) -> Self {
        let early = printable(early.trim());
        Self::Verdict(if rc != Rc::new(0) || early.is_empty() {
            Verdict::Ran(rc)
        } else {
            let reason = format!(
                "it ended in the chunk {early} as if all was done, and what comes after never began: \
                 an `exit 0`, or a here-document without its end?"
            );
            Verdict::Error(Cause::Installation, reason)
        })
    }
}

/// The engine's failure.
#[derive(Debug)]
pub struct NoVerdict {
    /// In one line.
    pub why: String,
    /// What the launcher said of itself, in the end.
    pub words: String,
}
