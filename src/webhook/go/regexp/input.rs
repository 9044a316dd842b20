//! A pattern on its way into the crate's dialect.

/// What is left of it, or what is wrong with it.
pub type Translated<T> = Result<T, &'static str>;

/// What is left of a pattern.
pub struct Input<'p> {
    pub rest: &'p str,
}

impl<'p> Input<'p> {
    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// Takes `text` if it comes next.
    pub fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes what stands before the next `end`, and that.
    pub fn take_to(&mut self, end: char) -> Option<&'p str> {
        let (taken, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(taken)
    }
}
