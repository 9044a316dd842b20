//! The payload of a request, and the parameters that `parse-parameters-as-json` replaced.

use std::{borrow::Cow, collections::HashSet};

use super::{
    document::{Builder, Document, Missing, View},
    json,
    node::Kind,
    xml,
};
use crate::webhook::{
    go::{multipart, strconv::quote, url},
    hooks::{
        log_line::Line,
        request::Request,
        source::{Argument, Source, SourceError},
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
    pub fn of(content_type: &str) -> Self {
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

/// What became of a request's parts.
#[derive(Debug)]
pub struct Parsed {
    payload: Document,
    /// As objects, if `parse-parameters-as-json` names anything.
    headers: Document,
    query: Document,
    /// What went wrong, and what was found in a multipart body.
    pub lines: Vec<Line>,
    /// The request is to be answered with 500.
    pub multipart_is_broken: bool,
}

/// Parses the body of `request`, then its parameters as JSON. What cannot be parsed is a line, and the
/// payload is no object.
pub fn parse(request: &Request) -> Parsed {
    let mut parsed = Parsed {
        payload: Document::none(),
        headers: Document::none(),
        query: Document::none(),
        lines: Vec::new(),
        multipart_is_broken: false,
    };
    let content_type = request.content_type();
    let body = &request.body;
    let payload = match Format::of(&content_type) {
        Format::Json => json_document(body),
        Format::Form => form_payload(request),
        Format::Xml => xml::parse(body).map_err(|error| format!("error parsing XML payload: {error}")),
        Format::Multipart => {
            let payload = multipart_payload(request, &mut parsed.lines);
            parsed.multipart_is_broken = payload.is_err();
            payload
        }
        Format::Unknown => {
            Err(format!("error parsing body payload due to unsupported content type header: {content_type}"))
        }
    };
    match payload {
        Ok(payload) => parsed.payload = payload,
        Err(line) => parsed.say(line),
    }
    if !request.parse_as_json.is_empty() && !parsed.multipart_is_broken {
        parsed.replace_parameters(request);
    }
    parsed
}

/// Nodes that point into the body.
fn json_document(body: &[u8]) -> Result<Document, String> {
    json::parse_payload(body).map(Document::of_body).map_err(|error| json_problem(body, &error))
}

fn json_problem(text: &[u8], error: &json::JsonError) -> String {
    let what = if json::starts_list(text) { "JSON array payload" } else { "JSON payload" };
    format!("error parsing {what} {error}")
}

/// The fields, or the JSON in the one that the hook names as `payload-form-field`.
fn form_payload(request: &Request) -> Result<Document, String> {
    let fields = url::fields(&request.body).map_err(|error| format!("error parsing form payload {error}"))?;
    let field = request.form_field.as_bytes();
    if !field.is_empty()
        && let Some((_, text)) = fields.iter().find(|(name, _)| **name == *field)
    {
        let nodes = json::parse_payload(text).map_err(|error| json_problem(text, &error))?;
        return Ok(Document::new(text.to_vec(), nodes));
    }
    Ok(Builder::object(fields))
}

/// The first value of each name, then the first file of each name that is, or shall be taken for, JSON.
fn multipart_payload(request: &Request, lines: &mut Vec<Line>) -> Result<Document, String> {
    let parts = multipart::parse(&request.real_content_type(), &request.body)
        .map_err(|error| format!("error parsing multipart form: {error}"))?;
    let is_wanted = |name: &str| {
        let wanted = |argument: &Argument| matches!(&argument.source, Source::Payload(path) if path == name);
        request.parse_as_json.iter().any(wanted)
    };
    let mut seen = HashSet::new();
    let (files, values): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .filter(|part| seen.insert((part.is_file, part.name.clone())))
        .partition(|part| part.is_file);
    let mut builder = Builder::default();
    builder.open(Kind::Object);
    for value in &values {
        lines.push(Line::Tagged(format!("found multipart form value {}", quote(value.name.as_bytes()))));
        builder.text(value.name.as_bytes());
        builder.text(&value.content);
    }
    let mut empty = values.is_empty();
    for file in files.iter().filter(|file| file.is_json || is_wanted(&file.name)) {
        lines.push(Line::Tagged(format!(
            "parsing multipart form file {} as JSON",
            quote(file.name.as_bytes())
        )));
        let nodes = json::parse_object(&file.content).unwrap_or_else(|error| {
            lines.push(Line::Tagged(format!("error parsing JSON payload file: {error}")));
            json::no_object()
        });
        builder.text(file.name.as_bytes());
        builder.copy(&file.content, &nodes);
        empty = false;
    }
    builder.close();
    Ok(if empty { Document::none() } else { builder.finish() })
}

/// The headers as an object; of repeated ones the first value.
pub fn headers(request: &Request) -> Document {
    Builder::object(request.headers.iter().map(|(name, value)| (name, value)))
}

/// The query as an object; of repeated parameters the first value.
pub fn query(request: &Request) -> Document {
    Builder::object(url::good_pairs(request.raw_query.as_bytes()).collect::<Vec<_>>())
}

impl Parsed {
    fn say(&mut self, line: String) {
        self.lines.push(Line::Tagged(line));
    }

    /// `parse-parameters-as-json`: texts that hold JSON objects become objects.
    fn replace_parameters(&mut self, request: &Request) {
        self.headers = headers(request);
        self.query = query(request);
        for argument in &request.parse_as_json {
            let Ok(text) = argument.resolve_with(request, || self).map(Cow::into_owned) else {
                self.say(format!("error parsing JSON parameters: couldn't retrieve argument for {argument}"));
                continue;
            };
            let nodes = match json::parse_object(&text) {
                Ok(nodes) => nodes,
                Err(error) => {
                    self.say(format!("error parsing JSON parameters: {error}"));
                    continue;
                }
            };
            match &argument.source {
                Source::Payload(path) => self.payload.replace(&request.body, path, &text, &nodes),
                Source::Header(name) => self.headers.replace(&[], name, &text, &nodes),
                Source::Query(name) => self.query.replace(&[], name, &text, &nodes),
                _ => {
                    self.say(format!(
                        "error parsing JSON parameters: invalid source for argument {argument}"
                    ));
                }
            }
        }
    }

    pub fn payload<'p>(&'p self, body: &'p [u8], path: &str) -> Result<Cow<'p, [u8]>, SourceError> {
        value(self.payload.view(body), path)
    }

    pub fn header(&self, name: &str) -> Result<Cow<'_, [u8]>, SourceError> {
        value(self.headers.view(&[]), name)
    }

    pub fn query(&self, name: &str) -> Result<Cow<'_, [u8]>, SourceError> {
        value(self.query.view(&[]), name)
    }

    pub fn entire_payload(&self, body: &[u8]) -> Vec<u8> {
        self.payload.view(body).json()
    }

    pub fn entire_headers(&self) -> Vec<u8> {
        self.headers.view(&[]).json()
    }

    pub fn entire_query(&self) -> Vec<u8> {
        self.query.view(&[]).json()
    }
}

fn value<'v>(view: View<'v>, path: &str) -> Result<Cow<'v, [u8]>, SourceError> {
    match view.get(path) {
        Ok(value) => Ok(value.shown()),
        Err(Missing::NotFound(rest)) => Err(SourceError::NotFound(rest)),
        Err(Missing::InsideNull) => Err(SourceError::Other("no parameters".to_owned())),
    }
}
