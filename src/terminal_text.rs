//! What a terminal would show of a program's output at the end, as plain text: progress bars as they came to rest,
//! no colours, and no control character but tab and newline.

use anstyle_parse::{Params, Parser, Perform, Utf8Parser};

/// Bytes that are no UTF-8 are shown as U+FFFD. Never longer than three times the input.
pub fn plain(output: &[u8]) -> String {
    let mut screen = Screen::default();
    let text = String::from_utf8_lossy(output);
    for (n, line) in text.split('\n').enumerate() {
        if n > 0 {
            screen.new_line();
        }
        // A sequence that is not closed ends with its line: it may have been cut, or be no sequence at all.
        let mut parser = Parser::<Utf8Parser>::new();
        for byte in line.bytes() {
            parser.advance(&mut screen, byte);
        }
    }
    screen.text()
}

/// A place that was erased: a blank, but none at the end of a line.
const ERASED: char = '\0';

/// As high and as wide as it needs to be. The cursor never leaves what is written: nothing can blow it up.
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Default for Screen {
    fn default() -> Self {
        Self { lines: vec![Vec::new()], row: 0, column: 0 }
    }
}

impl Screen {
    fn text(self) -> String {
        let lines: Vec<String> = self
            .lines
            .into_iter()
            .map(|line| String::from_iter(line).trim_end_matches(ERASED).replace(ERASED, " "))
            .collect();
        lines.join("\n")
    }

    fn line(&mut self) -> &mut Vec<char> {
        &mut self.lines[self.row]
    }

    fn put(&mut self, c: char) {
        let column = self.column;
        match self.line().get_mut(column) {
            Some(place) => *place = c,
            None => self.line().push(c),
        }
        self.column += 1;
    }

    fn go_to_column(&mut self, column: usize) {
        self.column = column.min(self.line().len());
    }

    fn go_to_row(&mut self, row: usize) {
        self.row = row.min(self.lines.len() - 1);
        self.go_to_column(self.column);
    }

    fn new_line(&mut self) {
        self.row += 1;
        self.column = 0;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
    }

    fn erase_in_line(&mut self, what: u16) {
        let column = self.column;
        match what {
            0 => self.line().truncate(column),
            1 => self.line().iter_mut().take(column + 1).for_each(|place| *place = ERASED),
            _ => self.line().fill(ERASED),
        }
    }
}

impl Perform for Screen {
    fn print(&mut self, c: char) {
        if !c.is_control() {
            self.put(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\t' => self.put('\t'),
            0x08 => self.column = self.column.saturating_sub(1),
            _ => {}
        }
    }

    /// What progress bars move by (ECMA-48); colours and all else change nothing that is written.
    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: u8) {
        if !intermediates.is_empty() {
            return;
        }
        let given = params.iter().next().and_then(|param| param.first().copied()).unwrap_or(0);
        let n = usize::from(given.max(1));
        match action {
            b'A' => self.go_to_row(self.row.saturating_sub(n)),
            b'B' => self.go_to_row(self.row + n),
            b'C' => self.go_to_column(self.column + n),
            b'D' => self.go_to_column(self.column.saturating_sub(n)),
            b'E' => {
                self.column = 0;
                self.go_to_row(self.row + n);
            }
            b'F' => {
                self.column = 0;
                self.go_to_row(self.row.saturating_sub(n));
            }
            b'G' => self.go_to_column(n - 1),
            b'J' if given == 0 => {
                self.erase_in_line(0);
                self.lines.truncate(self.row + 1);
            }
            b'K' => self.erase_in_line(given),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_a_terminal_would_show_at_the_end() {
        for (output, shown) in [
            ("", ""),
            ("one\ntwo\n", "one\ntwo\n"),
            ("no end", "no end"),
            ("dos\r\nlines\r\n", "dos\nlines\n"),
            ("tab\there \n", "tab\there \n"),
            ("grün 😀\n", "grün 😀\n"),
            // A progress bar, its line erased, and one that is shorter than what it writes over.
            (" 1%\r50%\r100%\ndone\n", "100%\ndone\n"),
            ("working\r\x1b[Kdone\n", "done\n"),
            ("working\x1b[2K\rdone\n", "done\n"),
            ("abc\x1b[1Kd\n", "   d\n"),
            ("100%\r5%\n", "5%0%\n"),
            ("ab\x08c\n", "ac\n"),
            ("\x08\x08a\n", "a\n"),
            // Two bars one above the other.
            ("a 1\nb 1\n\x1b[2Aa 2\x1b[K\nb 2\x1b[K\n", "a 2\nb 2\n"),
            ("a\nb\nc\n\x1b[3F\x1b[Jd\n", "d\n"),
            // No colours, titles, links, bells, other controls.
            ("\x1b[1;31mred\x1b[0m\n", "red\n"),
            ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "alink\n"),
            ("a\x07\x00\x0b\x0c\x7f\u{85}\u{9b}b\n", "ab\n"),
            ("\x1b(Ba\x1b7\x1bM\x1b[?25lb\n", "ab\n"),
            // What is not closed takes no more than its line.
            ("\x1b]0;open\nnext\n", "\nnext\n"),
            ("\x1bPopen\nnext\n", "\nnext\n"),
            ("cut \x1b[3", "cut "),
            // No distance is too far.
            ("a\x1b[65535C\x1b[65535Bb\x1b[65535A\x1b[65535D\n", "ab\n"),
        ] {
            assert_eq!(plain(output.as_bytes()), shown, "{output:?}");
        }
        assert_eq!(plain(b"bad \xff\xc3\xa9\n"), "bad \u{fffd}é\n");
    }
}
