//! A pattern, compiled.

use regex::bytes::{Regex, RegexBuilder};

use super::translate::{MAX_DEPTH, translate};
use crate::webhook::go::utf8;

/// What a compiled pattern may take, in bytes: enough for `[\pL\pN_]{1,255}`.
const SIZE_LIMIT: usize = 16 << 20;

/// A pattern of a `regex` rule. One that cannot be read is an error for each request.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Result<Regex, String>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Compiles `text`, once.
    pub fn new(text: String) -> Self {
        let regex = compile(&text).map_err(|problem| format!("error parsing regexp: {problem}: `{text}`"));
        Self { text, regex }
    }

    /// Why it cannot be read.
    pub fn problem(&self) -> Option<&str> {
        self.regex.as_ref().err().map(String::as_str)
    }

    /// Is it found anywhere in `text`?
    pub fn is_match(&self, text: &[u8]) -> Result<bool, String> {
        let regex = self.regex.as_ref().map_err(Clone::clone)?;
        Ok(regex.is_match(&utf8::valid(text)))
    }
}

fn compile(text: &str) -> Result<Regex, &'static str> {
    RegexBuilder::new(&translate(text)?)
        .size_limit(SIZE_LIMIT)
        .nest_limit(MAX_DEPTH * 2 + 10)
        .build()
        .map_err(|_| "expression too large")
}
