//! The trigger rules.

use super::{
    ip_range::IpRanges,
    signature::{Algorithm, Secret},
    source::Argument,
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
    /// Ours: `exists`: the request has it, be it null.
    Exists {
        /// What is looked for.
        parameter: Argument,
    },
    /// Ours: `is-null`: the request has it, and it is null.
    IsNull {
        /// What is looked at.
        parameter: Argument,
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

impl Rule {
    /// Takes out of each `or` the alternatives that ask for a signature which anybody could make, as long as there
    /// are others: they never hold. Their places, below `at`, come into `taken`. Under a `not` all stay, because what
    /// never holds would always hold there.
    pub fn take_out_empty_secrets(&mut self, at: &str, taken: &mut Vec<String>) {
        let (rules, name) = match self {
            Self::And(rules) => (rules, "and"),
            Self::Or(rules) => (rules, "or"),
            Self::Not(_) | Self::Match(_) | Self::Never => return,
        };
        for (n, rule) in rules.iter_mut().enumerate() {
            rule.take_out_empty_secrets(&format!("{at}.{name}[{n}]"), taken);
        }
        if name == "or" && !rules.iter().all(Self::has_empty_secret) {
            for (n, rule) in rules.iter_mut().enumerate().filter(|(_, rule)| rule.has_empty_secret()) {
                *rule = Self::Never;
                taken.push(format!("{at}.or[{n}]"));
            }
        }
    }

    /// Does it hold a signature that anybody could make?
    pub fn has_empty_secret(&self) -> bool {
        match self {
            Self::And(rules) | Self::Or(rules) => rules.iter().any(Self::has_empty_secret),
            Self::Not(rule) => rule.has_empty_secret(),
            Self::Match(Match::Signature { secret, .. } | Match::Scalr(secret)) => secret.is_empty(),
            Self::Match(_) | Self::Never => false,
        }
    }
}
