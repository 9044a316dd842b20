//! The trigger rules.

use std::time::SystemTime;

use super::{line::Line, request::Request, source::Argument};

/// A `trigger-rule`.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// All, left to right.
    And(Vec<Rule>),
    /// Any, left to right.
    Or(Vec<Rule>),
    /// The opposite.
    Not(Box<Rule>),
    /// One comparison.
    Match(Match),
    /// An object without a member that counts: never.
    Never,
}

/// A `match` rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// Equality with a text.
    Value {
        /// What is looked at.
        parameter: Argument,
        /// What it should be.
        value: String,
    },
}

/// What a rule says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Does the hook fire? An error is text for the log and answers 500.
    pub fires: Result<bool, String>,
    /// The bare not-found text that is logged beside the outcome, if there is one.
    pub not_found: Option<String>,
    /// The rule did not hold, at least one signature was looked for, and none was right.
    pub unsigned: bool,
    /// Deprecated match types that were used.
    pub lines: Vec<Line>,
}

impl Rule {
    /// Judges `request`. `soft_failures` is the hook's `trigger-signature-soft-failures`.
    pub fn judge(&self, request: &Request, soft_failures: bool, now: SystemTime) -> Verdict {
        let _ = (request, soft_failures, now);
        unimplemented!()
    }
}
