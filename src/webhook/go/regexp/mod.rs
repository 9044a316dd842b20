//! regexp: Go's dialect, which is RE2's, on top of the regex crate.
//!
//! The crate reads a dialect of its own: `\d` is Unicode there and ASCII here, `[a&&b]` an intersection
//! there and three characters here. So each pattern is written anew in the crate's words.

mod class;
mod escape;
mod input;
mod translate;

use regex::bytes::{Regex, RegexBuilder};

use super::utf8;

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
        let regex = compile(&text).map_err(|problem| format!("error parsing regexp: {problem}"));
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

fn compile(text: &str) -> Result<Regex, String> {
    let translated = translate::translate(text)?;
    RegexBuilder::new(&translated)
        .size_limit(SIZE_LIMIT)
        .nest_limit(translate::MAX_DEPTH * 2 + 10)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
            other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        })
}

#[cfg(test)]
mod tests;
