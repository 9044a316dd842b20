//! strconv: text between quotes, as `%q` writes it: YAML and JSON can read it, and no log line ends in it.

use std::{fmt::Write as _, iter};

/// `["a" "b\n"]`: an argument list as it stands in the log.
pub fn quote_list<'a>(words: impl Iterator<Item = &'a [u8]>) -> String {
    let quoted: Vec<String> = words.map(quote).collect();
    format!("[{}]", quoted.join(" "))
}

/// `"b\n"`.
pub fn quote(word: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in word.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut quoted, c));
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, c: char) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        _ => "",
    };
    let _ = match u32::from(c) {
        _ if !short.is_empty() => quoted.write_str(short),
        0x20..0x7f => quoted.write_char(c),
        code @ ..0x80 => write!(quoted, "\\x{code:02x}"),
        _ if is_printable(c) => quoted.write_char(c),
        code @ ..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        code => write!(quoted, "\\U{code:08x}"),
    };
}

/// Is it seen? Rust's own idea of it; after another character, because combining marks are fine there.
pub fn is_printable(c: char) -> bool {
    let text: String = iter::once('a').chain(iter::once(c)).collect();
    text.escape_debug().nth(2).is_none()
}

#[cfg(test)]
mod tests {
    use super::quote_list;

    #[test]
    fn arguments_are_quoted_as_go_quotes_them() {
        let words: [&[u8]; 6] = [
            b"",
            b"a b",
            b"\"\\\n\t\x07\x00\x7f",
            "é\u{301}😀".as_bytes(),
            b"\xff\xc3",
            "\u{a0}\u{2028}".as_bytes(),
        ];
        assert_eq!(
            quote_list(words.into_iter()),
            r#"["" "a b" "\"\\\n\t\a\x00\x7f" "é́😀" "\xff\xc3" "\u00a0\u2028"]"#
        );
    }
}
