//! What `build check` prints: a line per finding.

use std::io::{self, Write};

/// How many things are wrong.
#[derive(Debug, Default)]
pub struct Findings {
    wrong: usize,
}

impl Findings {
    /// Something that keeps, or can keep, a push from being built and told of; with what to do.
    pub fn wrong(&mut self, what: &str) {
        self.wrong += 1;
        say(&format!("WRONG   {what}"));
    }

    pub fn how_many(&self) -> usize {
        self.wrong
    }
}

pub fn ok(what: &str) {
    say(&format!("ok      {what}"));
}

/// Something to know, that is no fault.
pub fn note(what: &str) {
    say(&format!("note    {what}"));
}

pub fn say(line: &str) {
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout(), "{line}");
}
