//! How text from outside is shown where people read it line by line: nothing in it can end a line, move the
//! cursor or turn the direction of writing.

use std::{borrow::Cow, fmt::Write};

/// `text` with every control character (tab excepted), line separator and bidirectional mark escaped as
/// `\n`, `\r`, `\x1b` or `\u{2028}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            c if is_unprintable(c) && c.is_ascii() => _ = write!(shown, "\\x{:02x}", c as u32),
            c if is_unprintable(c) => _ = write!(shown, "\\u{{{:x}}}", c as u32),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Control characters but tab (C0, DEL, C1), line and paragraph separators, bidirectional marks and
/// controls, and the byte order mark.
pub fn is_unprintable(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_from_outside_can_end_a_line_or_turn_it() {
        assert_eq!(
            printable("a\nb\r\u{1b}[2J\u{2028}\u{202e}x\u{85}"),
            "a\\nb\\r\\x1b[2J\\u{2028}\\u{202e}x\\u{85}"
        );
    }

    #[test]
    fn ordinary_text_with_tabs_and_umlauts_passes() {
        assert_eq!(printable("grün\t😀"), "grün\t😀");
    }
}
