//! The form of a letter: a message that every mail server passes on as it is.

use std::time::SystemTime;

use lettre::{
    Address, Message,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
};

use crate::queue::EntryId;

/// RFC 5322, 2.1.1 allows 998; a longer line is encoded.
const LONGEST_PLAIN_LINE: usize = 900;

/// A message and the name of its file in the outbox.
#[derive(Debug)]
pub struct Letter {
    /// File name without `.eml`.
    pub stem: String,
    /// The whole message, headers and all.
    pub bytes: Vec<u8>,
}

/// A message before it has its form.
#[derive(Debug)]
pub struct Draft<'a> {
    /// File name without `.eml`, and part of the Message-ID.
    pub stem: String,
    pub from: &'a Address,
    pub to: &'a Address,
    /// One line of ASCII.
    pub subject: String,
    /// Any text.
    pub text: String,
    /// The build that it is about.
    pub build: Option<&'a EntryId>,
    pub date: SystemTime,
}

impl Draft<'_> {
    /// Gives it its form. Every header is ASCII by construction and stands on one line.
    pub fn seal(self) -> Letter {
        let header = |name: &'static str, value: String| {
            HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
        };
        let mut message = Message::builder()
            .from(Mailbox::new(None, self.from.clone()))
            .to(Mailbox::new(None, self.to.clone()))
            .date(self.date)
            .message_id(Some(format!("<amp_ci.{}@{}>", self.stem, self.from.domain())))
            .raw_header(header("Subject", one_line_of_ascii(&self.subject)))
            .raw_header(header("Auto-Submitted", "auto-generated".to_string()))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN);
        if let Some(build) = self.build {
            message = message.raw_header(header("X-AMP-CI-Build", build.to_string()));
        }
        let message = message.body(body(&self.text)).expect("sender and recipient are there");
        Letter { stem: self.stem, bytes: message.formatted() }
    }
}

/// Plain where every mail server passes it plainly, else quoted-printable.
fn body(text: &str) -> Body {
    let plain = text.bytes().all(|b| matches!(b, b'\t' | b'\n' | b' '..=b'~'))
        && text.lines().all(|line| line.len() <= LONGEST_PLAIN_LINE);
    let text = text.replace('\n', "\r\n");
    if plain {
        return Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::SevenBit);
    }
    Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable).unwrap_or_else(Body::new)
}

fn one_line_of_ascii(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' })
        .take(LONGEST_PLAIN_LINE)
        .collect()
}
