//! encoding/json: the text of JSON strings, read and written.

use super::utf8;

/// What stands between the quotes, checked already, without escapes. Half a surrogate pair is replaced.
pub fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(backslash) = rest.iter().position(|b| *b == b'\\') {
        utf8::push_valid(&rest[..backslash], &mut text);
        let code = rest[backslash + 1];
        rest = &rest[backslash + 2..];
        let c = match code {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (c, length) = unicode_escape(rest);
                rest = &rest[length..];
                c
            }
            other => char::from(other),
        };
        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    utf8::push_valid(rest, &mut text);
    text
}

/// The character of the digits behind `\u`, and how far to go on.
fn unicode_escape(rest: &[u8]) -> (char, usize) {
    let unit = |digits: Option<&[u8]>| u16::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok();
    let first = unit(rest.get(..4)).unwrap_or_default();
    let second = rest.get(4..6).filter(|escape| escape == b"\\u").and_then(|_| unit(rest.get(6..10)));
    if let Some(Ok(c)) = char::decode_utf16([first]).next() {
        return (c, 4);
    }
    match char::decode_utf16([first, second.unwrap_or_default()]).next() {
        Some(Ok(c)) => (c, 10),
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}

/// Writes `text` as a JSON string that is harmless in HTML, too.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(is_escaped) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let c = rest[at..].chars().next().unwrap_or_default();
            escape(c, out);
            rest = &rest[at + c.len_utf8()..];
        }
        out.extend_from_slice(rest.as_bytes());
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
    }
    out.push(b'"');
}

fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | ..' ')
}

fn escape(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        c => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
    }
}
