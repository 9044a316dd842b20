//! The trigger rules.

use std::time::SystemTime;

use subtle::ConstantTimeEq;

use super::{
    ip_range::IpRanges,
    log_line::Line,
    request::Request,
    scalr::{self, ScalrError},
    signature::{Algorithm, Secret, SignatureError},
    source::{Argument, SourceError},
};
use crate::webhook::go::regexp::Pattern;

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
    /// `value`: equality with a text.
    Value {
        /// What is looked at.
        parameter: Argument,
        /// What it should be.
        value: String,
    },
    /// `regex`: a search, not anchored.
    Regex {
        /// What is searched.
        parameter: Argument,
        /// For what.
        pattern: Pattern,
    },
    /// `payload-hmac-*`: a signature of the raw body.
    Signature {
        /// The signatures the client claims.
        parameter: Argument,
        /// The kind of HMAC.
        algorithm: Algorithm,
        /// Its key.
        secret: Secret,
        /// Written as `payload-hash-*`: each use is a line in the log.
        deprecated: bool,
    },
    /// `ip-whitelist`: the client's address.
    IpWhitelist(IpRanges),
    /// `scalr-signature`: a signature of body and date, not too old.
    Scalr(Secret),
    /// Anything else never holds.
    Unknown {
        /// Looked up all the same: it may be an error.
        parameter: Argument,
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

impl Verdict {
    /// What no rule says.
    pub fn fires() -> Self {
        Self { fires: Ok(true), not_found: None, unsigned: false, lines: Vec::new() }
    }
}

/// Why a rule has no plain answer.
#[derive(Debug)]
enum RuleError {
    /// Not an answer of 500 by itself.
    NotFound(SourceError),
    /// What `trigger-signature-soft-failures` is about.
    Signature(SignatureError),
    Other(String),
}

impl From<SourceError> for RuleError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::NotFound(_) => Self::NotFound(error),
            SourceError::Other(text) => Self::Other(text),
        }
    }
}

impl From<ScalrError> for RuleError {
    fn from(error: ScalrError) -> Self {
        match error {
            ScalrError::Signature(error) => error.into(),
            ScalrError::Date(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<SignatureError> for RuleError {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::NoSecret(_) => Self::Other(error.to_string()),
            _ => Self::Signature(error),
        }
    }
}

/// A boolean that stands even if there is an error: an `or` counts it.
type Answer = (bool, Option<RuleError>);

impl Rule {
    /// Does it hold a signature that anybody could make?
    pub fn has_empty_secret(&self) -> bool {
        match self {
            Self::And(rules) | Self::Or(rules) => rules.iter().any(Self::has_empty_secret),
            Self::Not(rule) => rule.has_empty_secret(),
            Self::Match(Match::Signature { secret, .. } | Match::Scalr(secret)) => secret.is_empty(),
            Self::Match(_) | Self::Never => false,
        }
    }

    /// Judges `request`. `soft_failures` is the hook's `trigger-signature-soft-failures`.
    pub fn judge(&self, request: &Request, soft_failures: bool, now: SystemTime) -> Verdict {
        let mut judge =
            Judge { request, soft_failures, now, looked: false, signed: false, lines: Vec::new() };
        let (holds, error) = judge.rule(self);
        let unsigned = judge.looked && !judge.signed;
        let (fires, not_found, unsigned) = match error {
            None => (Ok(holds), None, unsigned && !holds),
            Some(RuleError::NotFound(error)) => (Ok(holds), Some(error.to_string()), unsigned && !holds),
            Some(RuleError::Signature(error)) => (Err(error.to_string()), None, unsigned),
            Some(RuleError::Other(text)) => (Err(text), None, false),
        };
        Verdict { fires, not_found, unsigned, lines: judge.lines }
    }
}

/// One evaluation, and what it comes to know on the way.
struct Judge<'r> {
    request: &'r Request,
    soft_failures: bool,
    now: SystemTime,
    /// A signature was looked for.
    looked: bool,
    /// One was right.
    signed: bool,
    lines: Vec<Line>,
}

impl Judge<'_> {
    fn rule(&mut self, rule: &Rule) -> Answer {
        match rule {
            Rule::And(rules) => self.and(rules),
            Rule::Or(rules) => self.or(rules),
            Rule::Not(rule) => match self.rule(rule) {
                // The peer fires here: whoever leaves a field out would pass every `not`.
                (_, Some(error @ RuleError::NotFound(_))) => (false, Some(error)),
                (holds, error) => (!holds, error),
            },
            Rule::Match(rule) => match self.matches(rule) {
                Ok(holds) => (holds, None),
                Err(error) => (false, Some(error)),
            },
            Rule::Never => (false, None),
        }
    }

    fn and(&mut self, rules: &[Rule]) -> Answer {
        for rule in rules {
            match self.rule(rule) {
                (true, None) => {}
                (_, error) => return (false, error),
            }
        }
        (true, None)
    }

    fn or(&mut self, rules: &[Rule]) -> Answer {
        for rule in rules {
            let (holds, error) = self.rule(rule);
            match error {
                None | Some(RuleError::NotFound(_)) => {}
                Some(RuleError::Signature(_)) if self.soft_failures => {}
                error => return (false, error),
            }
            if holds {
                return (true, None);
            }
        }
        (false, None)
    }

    fn matches(&mut self, rule: &Match) -> Result<bool, RuleError> {
        let request = self.request;
        match rule {
            Match::Value { parameter, value } => {
                Ok(parameter.resolve(request)?.ct_eq(value.as_bytes()).into())
            }
            Match::Regex { parameter, pattern } => {
                pattern.is_match(&parameter.resolve(request)?).map_err(RuleError::Other)
            }
            Match::Signature { parameter, algorithm, secret, deprecated } => {
                self.looked = true;
                let claimed = parameter.resolve(request)?;
                if *deprecated {
                    self.lines.push(Line::Plain(algorithm.deprecation().to_owned()));
                }
                algorithm.check(secret, &request.body, &claimed)?;
                self.signed = true;
                Ok(true)
            }
            Match::IpWhitelist(ranges) => {
                ranges.contain_client(&request.remote_addr).map_err(RuleError::Other)
            }
            Match::Scalr(secret) => {
                self.looked = true;
                let holds = scalr::check(secret, request, self.now)?;
                self.signed |= holds;
                Ok(holds)
            }
            Match::Unknown { parameter } => {
                parameter.resolve(request)?;
                Ok(false)
            }
        }
    }
}
