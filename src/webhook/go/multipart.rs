//! mime/multipart: `multipart/form-data` bodies, which are in memory already: parts are slices of the body.
//!
//! Lines may end in a bare line feed if the first boundary's does, and a part without a proper name is skipped.

use std::borrow::Cow;

use super::mime::MediaType;

/// More parts than this are refused, as in Go.
const MAX_PARTS: usize = 1000;

/// A part with a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'b> {
    pub name: String,
    /// It has a file name, so it is a file and not a value.
    pub is_file: bool,
    /// Its content type is `application/json`, without parameters.
    pub is_json: bool,
    pub content: Cow<'b, [u8]>,
}

/// Why a body is broken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MultipartError(&'static str);

const NO_BOUNDARY: MultipartError = MultipartError("there is no boundary where one must be");
const BAD_HEADER: MultipartError = MultipartError("a line is no header of a part");

/// The named parts of `body`, in order. `content_type` is the request's own header.
pub fn parse<'b>(content_type: &str, body: &'b [u8]) -> Result<Vec<Part<'b>>, MultipartError> {
    let media = MediaType::parse(content_type).ok().filter(|media| media.name == "multipart/form-data");
    let boundary = media.as_ref().and_then(|media| media.parameter("boundary"));
    let boundary = boundary.ok_or(MultipartError("the Content-Type names no boundary"))?;
    let dashes = format!("--{boundary}").into_bytes();
    let mut reader =
        Reader { rest: body, delimiter: [b"\r\n", &*dashes].concat(), dashes, line_end: b"\r\n" };
    if !reader.skip_preamble()? {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    for n in 0.. {
        let Some(head) = reader.head()? else { break };
        if n == MAX_PARTS {
            return Err(MultipartError("there are too many parts"));
        }
        let content = reader.content()?;
        parts.extend(part(&head, content));
        if !reader.boundary()? {
            break;
        }
    }
    Ok(parts)
}

/// Header lines of a part that say something to us, continuation lines joined; of others nothing is kept.
type Head = Vec<(&'static str, String)>;

const FIELDS: [&str; 3] = ["Content-Disposition", "Content-Transfer-Encoding", "Content-Type"];

fn part<'b>(head: &Head, content: &'b [u8]) -> Option<Part<'b>> {
    let field = |wanted: &str| head.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.trim());
    let disposition = MediaType::parse(field("Content-Disposition")?).ok()?;
    let name = disposition.parameter("name").filter(|name| !name.is_empty())?;
    if disposition.name != "form-data" {
        return None;
    }
    let quoted =
        field("Content-Transfer-Encoding").is_some_and(|e| e.eq_ignore_ascii_case("quoted-printable"));
    let decoded = quoted.then(|| unquote(content)).flatten();
    Some(Part {
        name: name.to_owned(),
        is_file: disposition.parameter("filename").is_some_and(|file| !file.is_empty()),
        is_json: field("Content-Type") == Some("application/json"),
        content: decoded.map_or(Cow::Borrowed(content), Cow::Owned),
    })
}

/// Quoted-printable; bytes that should have been quoted and were not stand for themselves.
fn unquote(content: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::with_capacity(content.len());
    for byte in content {
        match byte {
            ..128 => quoted.push(*byte),
            _ => quoted.extend_from_slice(format!("={byte:02X}").as_bytes()),
        }
    }
    quoted_printable::decode(quoted, quoted_printable::ParseMode::Robust).ok()
}

struct Reader<'b> {
    rest: &'b [u8],
    /// Two dashes and the boundary.
    dashes: Vec<u8>,
    /// The same behind the end of a line.
    delimiter: Vec<u8>,
    line_end: &'static [u8],
}

impl<'b> Reader<'b> {
    /// Up to the first part; false if there is none.
    fn skip_preamble(&mut self) -> Result<bool, MultipartError> {
        loop {
            let after = self.line().strip_prefix(&*self.dashes);
            match after.map(trim_start) {
                Some(b"\r\n") => return Ok(true),
                Some(b"\n") => {
                    self.line_end = b"\n";
                    self.delimiter = [b"\n", &*self.dashes].concat();
                    return Ok(true);
                }
                _ if after.is_some_and(|after| self.is_last(after)) => return Ok(false),
                _ if self.rest.is_empty() => return Err(NO_BOUNDARY),
                _ => {}
            }
        }
    }

    /// The line of the boundary, which is next; false if it is the last one.
    fn boundary(&mut self) -> Result<bool, MultipartError> {
        let line = self.line();
        let after = line.strip_prefix(&*self.dashes).unwrap_or(line);
        let goes_on = trim_start(after) == self.line_end;
        if goes_on || self.is_last(after) { Ok(goes_on) } else { Err(NO_BOUNDARY) }
    }

    fn is_last(&self, after_dashes: &[u8]) -> bool {
        after_dashes
            .strip_prefix(b"--")
            .map(trim_start)
            .is_some_and(|end| end.is_empty() || end == self.line_end)
    }

    /// The header lines of a part; none where the body ends instead.
    fn head(&mut self) -> Result<Option<Head>, MultipartError> {
        let mut head = Head::new();
        // Where the last line belongs: none yet, one that is not kept, one that is.
        let mut last: Option<Option<usize>> = None;
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            // A file's name may be in any encoding.
            let line = String::from_utf8_lossy(self.line());
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                return Ok(Some(head));
            }
            if line.starts_with([' ', '\t']) {
                if let Some(at) = last.ok_or(BAD_HEADER)? {
                    head[at].1.extend([" ", line.trim()]);
                }
            } else {
                let (name, value) = line.split_once(':').ok_or(BAD_HEADER)?;
                let known = FIELDS.iter().find(|known| known.eq_ignore_ascii_case(name.trim_end()));
                // Of a field that comes twice the first one counts.
                let known = known.filter(|known| head.iter().all(|(kept, _)| kept != *known));
                last = Some(known.map(|known| {
                    head.push((known, value.trim().to_owned()));
                    head.len() - 1
                }));
            }
        }
    }

    /// What stands before the next boundary, which stays.
    fn content(&mut self) -> Result<&'b [u8], MultipartError> {
        if self.rest.strip_prefix(&*self.dashes).is_some_and(ends_boundary) {
            return Ok(b"");
        }
        let body = self.rest;
        let mut from = 0;
        while let Some(found) = memchr::memmem::find(&body[from..], &self.delimiter) {
            let at = from + found;
            let after = at + self.delimiter.len();
            if ends_boundary(&body[after..]) {
                self.rest = &body[at + self.line_end.len()..];
                return Ok(&body[..at]);
            }
            from = at + 1;
        }
        Err(NO_BOUNDARY)
    }

    /// The next line with its end.
    fn line(&mut self) -> &'b [u8] {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        line
    }
}

/// May `after` follow a boundary? Otherwise it was the start of a longer one.
fn ends_boundary(after: &[u8]) -> bool {
    matches!(after, [] | [b' ' | b'\t' | b'\r' | b'\n', ..] | [b'-', b'-', ..])
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}
