//! A server's reply (RFC 5321, 4.2): its code decides, its text is bytes for people.

use std::{
    fmt,
    io::{self, BufRead, ErrorKind, Read},
};

/// More than any reply has; a server that goes on and on is no mail server.
const LONGEST: u64 = 64 << 10;

/// So many bytes of each line are kept.
const SHOWN: usize = 512;

/// A whole reply, of one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits; of several lines, the last one's.
    pub code: u16,
    /// Each line's text, without its code, lossily.
    pub lines: Vec<String>,
}

impl Reply {
    /// The first digit, by which a client decides (4.2.1): 2 done, 3 go on, 4 not now, 5 never.
    pub fn class(&self) -> u16 {
        self.code / 100
    }
}

/// In one line, printable.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.lines.join(" ");
        write!(f, "{} {}", self.code, crate::text::printable(text.trim()))
    }
}

/// Reads a whole reply. `UnexpectedEof` if the connection ends before, `InvalidData` if it is none.
pub fn read(stream: &mut impl BufRead) -> io::Result<Reply> {
    let mut stream = stream.take(LONGEST);
    let mut lines = Vec::new();
    loop {
        let mut bytes = Vec::new();
        stream.read_until(b'\n', &mut bytes)?;
        if bytes.pop() != Some(b'\n') {
            return Err(if stream.limit() == 0 {
                io::Error::new(ErrorKind::InvalidData, "a reply without end")
            } else {
                io::Error::new(ErrorKind::UnexpectedEof, "the server hung up")
            });
        }
        let Some((code, more, text)) = line(bytes.strip_suffix(b"\r").unwrap_or(&bytes)) else {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
            let shown = format!("'{}' is no reply", crate::text::printable(&shown));
            return Err(io::Error::new(ErrorKind::InvalidData, shown));
        };
        lines.push(String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned());
        if !more {
            return Ok(Reply { code, lines });
        }
    }
}

/// Code, whether more lines follow, text. The blank behind the code may be missing if no text follows.
fn line(bytes: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Some((code, false, rest)),
        [b' ', text @ ..] => Some((code, false, text)),
        [b'-', text @ ..] => Some((code, true, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> Result<u16, ErrorKind> {
        read(&mut &bytes[..]).map(|reply| reply.code).map_err(|error| error.kind())
    }

    #[test]
    fn only_the_code_decides() {
        for reply in [
            &b"550\r\n"[..],
            b"550 \r\n",
            b"550 5.1.1 unbekannt \xfc\r\n",
            b"550 bare line feed\n",
            b"550-several\r\n550-\r\n550 lines\r\n",
            b"250-by the last\r\n550 one\r\n",
            b"550-one\r\n550\r\n250 of the next reply\r\n",
        ] {
            assert_eq!(code(reply), Ok(550), "{:?}", String::from_utf8_lossy(reply));
        }
        for none in [&b"\r\n"[..], b"55\r\n", b"550x\r\n", b"ok\r\n", b"HTTP/1.1 400 Bad Request\r\n"] {
            assert_eq!(code(none), Err(ErrorKind::InvalidData), "{:?}", String::from_utf8_lossy(none));
        }
        for cut in [&b""[..], b"550", b"550 not whole", b"550-more\r\n"] {
            assert_eq!(code(cut), Err(ErrorKind::UnexpectedEof), "{:?}", String::from_utf8_lossy(cut));
        }
    }

    #[test]
    fn a_reply_without_end_is_none() {
        assert_eq!(code(&b"250-again\r\n".repeat(10_000)), Err(ErrorKind::InvalidData));
        assert_eq!(code(&b"2".repeat(1 << 20)), Err(ErrorKind::InvalidData));
    }

    #[test]
    fn its_text_is_shown_in_one_printable_line() {
        let reply = read(&mut &b"550-5.1.1 \x1b[31mno\xff\r\n550 such user\r\n"[..]).unwrap();
        assert_eq!(reply.to_string(), "550 5.1.1 \\x1b[31mno\u{fffd} such user");
    }
}
