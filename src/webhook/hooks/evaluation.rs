//! What a trigger rule says of a delivery.

use std::time::SystemTime;

use subtle::ConstantTimeEq;

use super::{
    delivery::{Delivery, NoValue},
    log_line::LogLine,
    rule::{Match, Rule},
    scalr::{self, ScalrError},
    signature::SignatureError,
};

/// What a rule says of a delivery.
#[derive(Debug)]
pub struct RuleResult {
    /// Does the hook fire? An error is text for the log and answers 500.
    pub fires: Result<bool, String>,
    /// The bare not-found text that is logged beside the outcome, if there is one.
    pub not_found: Option<String>,
    /// The rule did not hold, at least one signature was looked for, and none was right.
    pub unsigned: bool,
    /// Deprecated match types that were used.
    pub lines: Vec<LogLine>,
}

/// Evaluates `rule`; `now` is for signatures that grow old.
pub fn evaluate(rule: &Rule, delivery: &Delivery<'_>, now: SystemTime) -> RuleResult {
    let mut evaluation = Evaluation { delivery, now, looked: false, signed: false, lines: Vec::new() };
    let (holds, error) = evaluation.rule(rule);
    let unsigned = evaluation.looked && !evaluation.signed;
    let (fires, not_found, unsigned) = match error {
        None => (Ok(holds), None, unsigned && !holds),
        Some(RuleError::NotFound(error)) => (Ok(holds), Some(error.to_string()), unsigned && !holds),
        Some(RuleError::Signature(error)) => (Err(error.to_string()), None, unsigned),
        Some(RuleError::Other(text)) => (Err(text), None, false),
    };
    RuleResult { fires, not_found, unsigned, lines: evaluation.lines }
}

/// Why a rule has no plain answer.
#[derive(Debug)]
enum RuleError {
    /// Not an answer of 500 by itself.
    NotFound(NoValue),
    /// What `trigger-signature-soft-failures` is about.
    Signature(SignatureError),
    Other(String),
}

impl From<NoValue> for RuleError {
    fn from(error: NoValue) -> Self {
        match error {
            NoValue::NotFound(_) => Self::NotFound(error),
            NoValue::InsideNull | NoValue::Other(_) => Self::Other(error.to_string()),
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

/// One evaluation, and what it comes to know on the way.
struct Evaluation<'d> {
    delivery: &'d Delivery<'d>,
    now: SystemTime,
    /// A signature was looked for.
    looked: bool,
    /// One was right.
    signed: bool,
    lines: Vec<LogLine>,
}

impl Evaluation<'_> {
    fn rule(&mut self, rule: &Rule) -> Answer {
        match rule {
            Rule::And(rules) => self.and(rules),
            Rule::Or(rules) => self.or(rules),
            Rule::Not(rule) => match self.rule(rule) {
                // webhook 2.8 fires here: whoever leaves a field out would pass every `not`.
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
                Some(RuleError::Signature(_)) if self.delivery.hook.signature_soft_failures => {}
                error => return (false, error),
            }
            if holds {
                return (true, None);
            }
        }
        (false, None)
    }

    fn matches(&mut self, rule: &Match) -> Result<bool, RuleError> {
        let delivery = self.delivery;
        let request = &delivery.request;
        match rule {
            Match::Value { parameter, value } => {
                Ok(delivery.value(parameter)?.ct_eq(value.as_bytes()).into())
            }
            Match::Regex { parameter, pattern } => {
                pattern.is_match(&delivery.value(parameter)?).map_err(RuleError::Other)
            }
            Match::Exists { parameter } => Ok(delivery.look_up(parameter)?.is_some()),
            Match::IsNull { parameter } => {
                Ok(delivery.look_up(parameter)?.is_some_and(|value| value.is_null))
            }
            Match::Signature { parameter, algorithm, secret, deprecated } => {
                self.looked = true;
                let claimed = delivery.value(parameter)?;
                if *deprecated {
                    self.lines.push(LogLine::Plain(algorithm.deprecation().to_owned()));
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
                delivery.value(parameter)?;
                Ok(false)
            }
        }
    }
}
