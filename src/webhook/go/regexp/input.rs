//! A pattern on its way into the crate's dialect.

use std::{iter::Peekable, str::CharIndices};

/// The pattern and where we are in it.
pub struct Input<'p> {
    pub pattern: &'p str,
    chars: Peekable<CharIndices<'p>>,
}

impl<'p> Input<'p> {
    pub fn new(pattern: &'p str) -> Self {
        Self { pattern, chars: pattern.char_indices().peekable() }
    }

    pub fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at)
    }

    pub fn rest(&mut self) -> &'p str {
        let at = self.position();
        &self.pattern[at..]
    }

    /// The text from `start` up to here.
    pub fn since(&mut self, start: usize) -> &'p str {
        let end = self.position();
        &self.pattern[start..end]
    }

    pub fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, c)| c)
    }

    pub fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    /// Takes `text` if it comes next.
    pub fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            for _ in text.chars() {
                self.next();
            }
        }
        found
    }
}
