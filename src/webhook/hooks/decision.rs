//! Does a hook fire for a delivery?

use std::time::SystemTime;

use super::{delivery::Delivery, evaluation::evaluate, log_line::LogLine};

/// What a hook makes of a delivery, before anything is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the log gets between `got matched` and `triggered successfully` (or its opposite), in order.
    pub lines: Vec<LogLine>,
    /// What becomes of the request.
    pub outcome: Outcome,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The rules hold: run the command.
    Fires,
    /// The rules do not hold. `unsigned`: a signature was looked for and none was right.
    Mismatch {
        /// Answer with `signature-mismatch-http-response-code` if that is set.
        unsigned: bool,
    },
    /// The rules could not be evaluated: 500, `Error occurred while evaluating hook rules.` `unsigned` as above.
    RuleError {
        /// Answer with `signature-mismatch-http-response-code` if that is set.
        unsigned: bool,
    },
    /// 500, `Error occurred while parsing multipart form.`
    BadMultipart,
    /// The hook is disabled ([`Hook::disabled`](super::Hook::disabled)): 500, with the body of a rule error.
    Disabled,
}

/// Decides as the hooks file says. Methods are the caller's business.
///
/// The body is parsed here at the latest, except when a signature that the rule asks for before any part of the
/// body is wrong: then it is not parsed at all, and parse errors are not logged.
pub fn decide(delivery: &Delivery<'_>, now: SystemTime) -> Decision {
    if let Some(reason) = &delivery.hook.disabled {
        let line = LogLine::Tagged(format!("error evaluating hook: {reason}"));
        return Decision { lines: vec![line], outcome: Outcome::Disabled };
    }
    if delivery.must_be_parsed_first() && delivery.parsed().multipart_is_broken {
        return Decision { lines: delivery.parsed().lines.clone(), outcome: Outcome::BadMultipart };
    }
    let result = delivery.hook.rule.as_ref().map(|rule| evaluate(rule, delivery, now));
    let unsigned = result.as_ref().is_some_and(|result| result.unsigned);
    if !unsigned {
        delivery.parsed();
    }
    let mut lines = delivery.parsed_so_far().map_or_else(Vec::new, |parsed| parsed.lines.clone());
    let Some(result) = result else { return Decision { lines, outcome: Outcome::Fires } };
    lines.extend(result.lines);
    lines.extend(result.not_found.map(LogLine::Tagged));
    let outcome = match result.fires {
        Ok(true) => Outcome::Fires,
        Ok(false) => Outcome::Mismatch { unsigned },
        Err(error) => {
            lines.push(LogLine::Tagged(format!("error evaluating hook: {error}")));
            Outcome::RuleError { unsigned }
        }
    };
    Decision { lines, outcome }
}
