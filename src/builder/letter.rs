//! What the committer is told: a function of the record alone, so that it can be written again after a crash.

use std::{
    io::{self, ErrorKind},
    time::SystemTime,
};

use lettre::{
    Address, Message,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
};

use super::{launched, settings::Settings};
use crate::{
    error_chain::in_full,
    home::Home,
    queue::{BuildRequest, EntryId, fields::is_address},
    records::{BuildResult, Outcome, Record, excerpt},
};

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
    /// Who gets it.
    pub to: &'a Address,
    /// One line of ASCII.
    pub subject: String,
    /// Any text.
    pub text: String,
    /// The build that it is about.
    pub build: Option<&'a EntryId>,
    /// Goes into the header Date.
    pub date: SystemTime,
}

/// The letters that the record of a finished build calls for: none, one, or for an error two.
pub fn about(
    record: &Record,
    id: &EntryId,
    result: &BuildResult,
    home: &Home,
    settings: &Settings,
) -> io::Result<Vec<Letter>> {
    let sentence =
        match (result.outcome, &result.rc, result.reason.as_deref().unwrap_or("no reason on record")) {
            (Outcome::Succeeded | Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded, ..) => {
                return Ok(Vec::new());
            }
            (Outcome::TimedOut, Some(rc), reason) => {
                format!("The script was {reason}, returned an rc of {rc} and produced the following output:")
            }
            (Outcome::Failed, Some(rc), _) => {
                format!("The script returned an rc of {rc} and produced the following output:")
            }
            (Outcome::Error | Outcome::Failed | Outcome::TimedOut, _, reason) => {
                format!("The script could not be run ({reason}) and produced the following output:")
            }
        };
    let request = record.request()?;
    let text = text(&request, &sentence, &excerpt::read(record)?);
    let committer = recipient(&request, home, settings);
    let draft = |stem: String, to| Draft {
        stem,
        to,
        subject: format!("AMP build failed for {}/{}", request.repository, request.commit_id),
        text: text.clone(),
        build: Some(id),
        date: result.finished.into(),
    };
    let mut letters = vec![write(draft(id.to_string(), &committer), settings)];
    let told_already =
        result.reason.as_deref().is_some_and(|reason| reason.starts_with(launched::NO_VERDICT));
    if result.outcome == Outcome::Error && !told_already {
        letters.push(write(draft(format!("{id}.ci"), &settings.mail_fallback), settings));
    }
    Ok(letters)
}

/// In the original's words.
fn text(request: &BuildRequest, sentence: &str, output: &str) -> String {
    let newline = if output.is_empty() || output.ends_with('\n') { "" } else { "\n" };
    format!(
        "Greetings and salutations {}!\n\n\
         Hopefully this email finds you well.\n\n\
         The build for {} commit {} in the branch {} has failed.\n\n\
         {sentence}\n\
         ----------------------------------\n\
         {output}{newline}\
         ----------------------------------\n\n\
         Sorry about that.\n\n\
         With warmest regards,\n\
         AMP CI\n",
        request.committer_name.as_str(),
        request.repository,
        request.commit_id,
        crate::text::printable(request.git_ref.as_str()),
    )
}

/// The committer; if he cannot be written to, what the file `addresses` says; else the fallback.
fn recipient(request: &BuildRequest, home: &Home, settings: &Settings) -> Address {
    let own = request.committer_email.as_str();
    if !own.is_empty()
        && !own.to_ascii_lowercase().ends_with("@users.noreply.github.com")
        && let Ok(address) = own.parse()
    {
        return address;
    }
    let addresses = match fs_err::read(home.addresses()) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!("{}: the fallback gets the letter", in_full(&error));
            }
            String::new()
        }
    };
    let known = addresses.lines().map(str::trim).filter(|line| !line.starts_with('#')).find_map(|line| {
        let (name, address) = line.rsplit_once(char::is_whitespace)?;
        let matches = name.trim().eq_ignore_ascii_case(request.committer_name.as_str().trim());
        if matches && is_address(address) { address.parse().ok() } else { None }
    });
    known.unwrap_or_else(|| settings.mail_fallback.clone())
}

/// Gives a draft its form. Every header is ASCII by construction and stands on one line.
pub fn write(draft: Draft, settings: &Settings) -> Letter {
    let header = |name: &'static str, value: String| {
        HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
    };
    let mut message = Message::builder()
        .from(Mailbox::new(None, settings.mail_from.clone()))
        .to(Mailbox::new(None, draft.to.clone()))
        .date(draft.date)
        .message_id(Some(format!("<amp_ci.{}@{}>", draft.stem, settings.mail_from.domain())))
        .raw_header(header("Subject", one_line_of_ascii(&draft.subject)))
        .raw_header(header("Auto-Submitted", "auto-generated".to_string()))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN);
    if let Some(build) = draft.build {
        message = message.raw_header(header("X-AMP-CI-Build", build.to_string()));
    }
    let message = message.body(body(&draft.text)).expect("sender and recipient are there");
    Letter { stem: draft.stem, bytes: message.formatted() }
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
