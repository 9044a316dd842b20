//! Regular expressions in the peer's dialect.

use regex::Regex;

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
    pub(super) fn new(text: String) -> Self {
        let regex = Regex::new(&text).map_err(|error| error.to_string());
        Self { text, regex }
    }

    /// Why it cannot be read.
    pub(super) fn problem(&self) -> Option<&str> {
        self.regex.as_ref().err().map(String::as_str)
    }

    /// Is it found anywhere in `text`?
    pub(super) fn is_match(&self, text: &[u8]) -> Result<bool, String> {
        let regex = self.regex.as_ref().map_err(Clone::clone)?;
        Ok(regex.is_match(&String::from_utf8_lossy(text)))
    }
}
