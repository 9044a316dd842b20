//! The payload of a request, from whatever its body is written in.

use std::{borrow::Cow, collections::HashSet, fmt::Display};

use super::{
    document::{Builder, Document},
    json,
    node::Kind,
    xml,
};
use crate::webhook::{
    go::{multipart, strconv::quote, url},
    hooks::{
        hook::Hook,
        log_line::LogLine,
        request::Request,
        source::{Argument, Source},
    },
};

/// What a body is parsed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Form,
    Xml,
    Multipart,
    Unknown,
}

impl Format {
    /// The first of these that is found in the content type, capitals counting.
    pub fn of(hook: &Hook, request: &Request<'_>) -> Self {
        let content_type = content_type(hook, request);
        if content_type.contains("json") {
            Self::Json
        } else if content_type.contains("x-www-form-urlencoded") {
            Self::Form
        } else if content_type.contains("xml") {
            Self::Xml
        } else if content_type.starts_with("multipart/form-data;") {
            Self::Multipart
        } else {
            Self::Unknown
        }
    }
}

/// What the hook says the body is, else what the request says.
fn content_type<'r>(hook: &'r Hook, request: &'r Request<'_>) -> Cow<'r, str> {
    match hook.payload_content_type.as_str() {
        "" => request.content_type(),
        content_type => content_type.into(),
    }
}

/// A multipart body that is none: the request is to be answered with 500.
#[derive(Debug)]
pub struct BrokenMultipart;

/// Parses the body of `request`. Any other body that cannot be parsed is a line for the log, and no object.
pub fn parse(
    hook: &Hook,
    request: &Request<'_>,
    lines: &mut Vec<LogLine>,
) -> Result<Document, BrokenMultipart> {
    let body = &request.body;
    let payload = match Format::of(hook, request) {
        Format::Json => {
            json::parse_payload(body).map(Document::of_body).map_err(|error| problem("JSON", error))
        }
        Format::Form => form(hook, body),
        Format::Xml => xml::parse(body).map_err(|error| problem("XML", error)),
        Format::Multipart => {
            let parts = multipart::parse(&request.content_type(), body).map_err(|error| {
                lines.push(LogLine::Tagged(format!("error parsing multipart form: {error}")));
                BrokenMultipart
            })?;
            return Ok(multipart(hook, parts, lines));
        }
        Format::Unknown => Err(format!(
            "error parsing body payload due to unsupported content type header: {}",
            content_type(hook, request)
        )),
    };
    Ok(payload.unwrap_or_else(|problem| {
        lines.push(LogLine::Tagged(problem));
        Document::none()
    }))
}

fn problem(what: &str, error: impl Display) -> String {
    format!("error parsing {what} payload: {error}")
}

/// The fields, or the JSON in the one that the hook names as `payload-form-field`.
fn form(hook: &Hook, body: &[u8]) -> Result<Document, String> {
    let fields = url::fields(body).map_err(|error| problem("form", error))?;
    let field = hook.payload_form_field.as_bytes();
    if !field.is_empty()
        && let Some((_, text)) = fields.iter().find(|(name, _)| **name == *field)
    {
        let nodes = json::parse_payload(text).map_err(|error| problem("JSON", error))?;
        return Ok(Document::new(text.to_vec(), nodes));
    }
    Ok(Builder::object(fields))
}

/// The first value of each name, then the first file of each name that is, or shall be taken for, JSON.
fn multipart(hook: &Hook, parts: Vec<multipart::Part<'_>>, lines: &mut Vec<LogLine>) -> Document {
    let is_wanted = |name: &str| {
        let wanted = |argument: &Argument| matches!(&argument.source, Source::Payload(path) if path == name);
        hook.parse_as_json.iter().any(wanted)
    };
    let mut seen = HashSet::new();
    let (mut files, values): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .filter(|part| seen.insert((part.is_file, part.name.clone())))
        .partition(|part| part.is_file);
    files.retain(|file| file.is_json || is_wanted(&file.name));
    if values.is_empty() && files.is_empty() {
        return Document::none();
    }
    let mut say = |line: String| lines.push(LogLine::Tagged(line));
    let mut builder = Builder::default();
    builder.open(Kind::Object);
    for value in &values {
        say(format!("found multipart form value {}", quote(value.name.as_bytes())));
        builder.text(value.name.as_bytes());
        builder.text(&value.content);
    }
    for file in &files {
        say(format!("parsing multipart form file {} as JSON", quote(file.name.as_bytes())));
        let nodes = json::parse_object(&file.content).unwrap_or_else(|error| {
            say(format!("error parsing JSON payload file: {error}"));
            json::no_object()
        });
        builder.text(file.name.as_bytes());
        builder.copy(&file.content, &nodes);
    }
    builder.close();
    builder.finish()
}
