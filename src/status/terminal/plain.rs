//! Output on a terminal: its colours stay, every other command to the terminal goes.

use std::fmt::Write;

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

use crate::text::is_unprintable;

/// Filters what is written to a terminal, over any cuts in it.
pub struct Filter {
    parser: Parser<DefaultCharAccumulator>,
    kept: Kept,
}

#[derive(Default)]
struct Kept(String);

impl Filter {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { parser: Parser::<DefaultCharAccumulator>::new(), kept: Kept::default() }
    }

    /// What of these bytes may reach the terminal.
    pub fn pass(&mut self, bytes: &[u8]) -> String {
        for byte in bytes {
            self.parser.advance(&mut self.kept, *byte);
        }
        std::mem::take(&mut self.kept.0)
    }
}

impl Perform for Kept {
    fn print(&mut self, c: char) {
        self.0.push(if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c });
    }

    fn execute(&mut self, byte: u8) {
        if matches!(byte, b'\n' | b'\r' | b'\t') {
            self.0.push(byte.into());
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action != b'm' || ignore || !intermediates.is_empty() {
            return;
        }
        let parameters: Vec<String> = params
            .iter()
            .map(|parts| parts.iter().map(u16::to_string).collect::<Vec<_>>().join(":"))
            .collect();
        // Into memory: there is nothing that could fail.
        let _ = write!(self.0, "\x1b[{}m", parameters.join(";"));
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn colours_pass_and_whatever_else_a_terminal_would_do_does_not() {
        let hostile = b"\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07\x1b]52;c;cm0=\x1b\\\x1b[?1049h\x1bc\x08\x07 \x1b[38:5:9mx\n\r\t\xff.\xc2\x9b2J";
        let mut filter = Filter::new();
        let mut shown = String::new();
        // One byte at a time: sequences are cut anywhere.
        for byte in hostile {
            shown += &filter.pass(&[*byte]);
        }
        assert_eq!(shown, "\x1b[31mred\x1b[0m \x1b[38:5:9mx\n\r\t.\u{fffd}2J");
    }
}
