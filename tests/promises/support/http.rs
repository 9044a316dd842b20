//! HTTP as its client writes and reads it, byte by byte.

use std::{
    io::{ErrorKind, Read},
    net::{Shutdown, TcpStream},
};

/// A request with the headers that HTTP needs.
pub fn raw_request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut raw = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n").into_bytes();
    if !body.is_empty() {
        raw.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    for (name, value) in headers {
        raw.extend(format!("{name}: {value}\r\n").bytes());
    }
    raw.extend(b"\r\n");
    raw.extend(body);
    raw
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names as they were written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one answer, and no byte more.
    pub fn read(stream: &mut impl Read, head_only: bool) -> Self {
        let head = read_to(stream, b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut reply = Self { status, headers, body: Vec::new() };
        if head_only || matches!(status, 100..200 | 204 | 304) {
            return reply;
        }
        if let Some(length) = reply.header("Content-Length") {
            reply.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut reply.body).unwrap();
        } else if reply.header("Transfer-Encoding") == Some("chunked") {
            while let Some(chunk) = read_chunk(stream) {
                reply.body.extend(chunk);
            }
        } else {
            stream.read_to_end(&mut reply.body).unwrap();
        }
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// What a header says; nothing if it is not there.
    pub fn value(&self, name: &str) -> &str {
        self.header(name).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One chunk, or nothing at the end. Panics if the body breaks off.
pub fn read_chunk(stream: &mut impl Read) -> Option<Vec<u8>> {
    try_read_chunk(stream).expect("the body broke off")
}

/// The same, with an error where the body breaks off.
pub fn try_read_chunk(stream: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let line = read_to(stream, b"\r\n")?;
    let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

/// Closes the sending side.
pub fn say_no_more(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Reads to the end of this mark, and no byte more. What came before an error is in the error.
pub fn read_to(stream: &mut impl Read, mark: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(mark) {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes);
            std::io::Error::new(error.kind(), format!("{error} after {before:?}"))
        })?;
        bytes.push(byte[0]);
    }
    Ok(bytes)
}

/// The other end closes the connection without another word, and not only after a silence that nobody has time for.
pub fn assert_closed(stream: &mut TcpStream) {
    let mut said = Vec::new();
    let end = stream.read_to_end(&mut said);
    assert!(said.is_empty(), "{:?}", String::from_utf8_lossy(&said));
    assert!(end.map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock), "it stays open");
}
