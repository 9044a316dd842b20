//! Reading a YAML tree into types, every complaint with its place.
//!
//! Names are taken in any mixture of capitals; a text may be written as number or boolean; null is as good
//! as nothing. Anything else of a wrong type makes the file fail; an unknown name is a warning.

use std::time::Duration;

use super::{
    node::{Node, Value},
    scalar::scalar_text,
};
use crate::timeout::{NoTimeout, Timeout};

/// Reads one file's tree.
pub struct Reader<'f> {
    /// How the file is named in complaints.
    pub file: &'f str,
    pub warnings: Vec<String>,
    /// Which hook we are in.
    pub hook: String,
}

/// Why a hooks file did not load; names file, line, hook and property.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

pub type Read<T> = Result<T, LoadError>;

impl<'f> Reader<'f> {
    pub fn new(file: &'f str) -> Self {
        Self { file, warnings: Vec::new(), hook: String::new() }
    }

    /// The members of an object that `known` names. Where a name is written twice, in different capitals,
    /// the later one in the order of the bytes counts, as with webhook 2.8.
    pub fn members<'n>(
        &mut self,
        node: &'n Node,
        at: &str,
        known: &'static [&'static str],
    ) -> Read<Vec<(&'static str, &'n Node)>> {
        let entries = match &node.value {
            Value::Map(entries) => &entries[..],
            Value::Null => &[],
            other => return Err(self.error(node, at, &format!("must be an object, not {}", other.kind()))),
        };
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(name, _)| name);
        let mut members = Vec::new();
        for (name, value) in entries {
            match known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                Some(_) if value.value == Value::Null => {}
                Some(known) => members.push((*known, value)),
                None => self.warn(value, at, &unknown_name(name, known)),
            }
        }
        Ok(members)
    }

    pub fn list<T>(
        &mut self,
        node: &Node,
        at: &str,
        read: fn(&mut Self, &Node, &str) -> Read<T>,
    ) -> Read<Vec<T>> {
        match &node.value {
            Value::List(items) => {
                items.iter().enumerate().map(|(n, item)| read(self, item, &format!("{at}[{n}]"))).collect()
            }
            other => Err(self.error(node, at, &format!("must be a list, not {}", other.kind()))),
        }
    }

    pub fn text(&mut self, node: &Node, at: &str) -> Read<String> {
        match &node.value {
            Value::List(_) | Value::Map(_) => {
                Err(self.error(node, at, &format!("must be text, not {}", node.value.kind())))
            }
            scalar => Ok(scalar_text(scalar.clone())),
        }
    }

    pub fn boolean(&mut self, node: &Node, at: &str) -> Read<bool> {
        match &node.value {
            Value::Bool(bool) => Ok(*bool),
            other => Err(self.error(
                node,
                at,
                &format!("must be true or false, without quotes, not {}", other.kind()),
            )),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the guard keeps to what a float holds exactly")]
    pub fn integer(&mut self, node: &Node, at: &str) -> Read<i64> {
        match &node.value {
            Value::Integer(number) if i64::try_from(*number).is_ok() => Ok(*number as i64),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Ok(*number as i64),
            Value::Integer(_) | Value::Float(_) => Err(self.error(node, at, "must be a whole number")),
            other => Err(self.error(
                node,
                at,
                &format!("must be a whole number, without quotes, not {}", other.kind()),
            )),
        }
    }

    pub fn count(&mut self, node: &Node, at: &str) -> Read<u32> {
        let number = self.integer(node, at)?;
        u32::try_from(number).map_err(|_| self.error(node, at, "must be a number from 0 on"))
    }

    pub fn timeout(&mut self, node: &Node, at: &str) -> Read<Option<Duration>> {
        let Timeout(limit) = self
            .text(node, at)?
            .parse()
            .map_err(|error: NoTimeout| self.error(node, at, &error.to_string()))?;
        Ok(limit)
    }

    pub fn error(&self, node: &Node, at: &str, problem: &str) -> LoadError {
        LoadError(self.place(node, at) + problem)
    }

    pub fn warn(&mut self, node: &Node, at: &str, problem: &str) {
        self.warnings.push(self.place(node, at) + problem);
    }

    /// `hooks.json:7: hook "deploy": trigger-rule.match: `
    fn place(&self, node: &Node, at: &str) -> String {
        let mut place = format!("{}:{}: ", self.file, node.line);
        for part in [self.hook.as_str(), at].into_iter().filter(|part| !part.is_empty()) {
            place += part;
            place += ": ";
        }
        place
    }
}

fn unknown_name(name: &str, known: &[&str]) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known);
    let nearest = known.iter().min_by_key(distance).filter(|nearest| distance(nearest) <= 1 + name.len() / 4);
    match nearest {
        Some(nearest) => format!("unknown property {name:?} is ignored; did you mean {nearest:?}?"),
        None => format!("unknown property {name:?} is ignored"),
    }
}
