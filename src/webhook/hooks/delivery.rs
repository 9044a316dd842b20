//! A request at a hook: what the hook's arguments are worth in it. The body is parsed when the first of them
//! asks for it, so that a wrong signature costs no parsing.

use std::{borrow::Cow, sync::OnceLock};

use super::{
    hook::Hook,
    log_line::LogLine,
    payload::{self, BrokenMultipart, Builder, Document, Format, Kind, PathError, View},
    request::Request,
    source::{Argument, Source},
};
use crate::webhook::go::{strconv::quote, textproto::canonical, url};

/// Where forges say which delivery this is, of what, and of which repository.
const IDS: [&str; 3] = ["X-Github-Delivery", "X-Gitlab-Event-Uuid", "X-Request-Uuid"];
const EVENTS: [&str; 3] = ["X-Github-Event", "X-Gitlab-Event", "X-Event-Key"];
const REPOSITORIES: [&str; 3] = ["repository.full_name", "project.path_with_namespace", "repository.slug"];

/// Bytes of each of these in the log.
const LONGEST_LABEL: usize = 200;

/// A request at the hook that it is for.
#[derive(Debug)]
pub struct Delivery<'h> {
    /// Whose arguments are asked for.
    pub hook: &'h Hook,
    /// As it came.
    pub request: Request<'h>,
    parsed: OnceLock<Parsed>,
}

/// What became of a request's parts.
#[derive(Debug)]
pub struct Parsed {
    payload: Document,
    /// As objects, if `parse-parameters-as-json` names anything.
    headers: Document,
    query: Document,
    /// What went wrong, and what was found in a multipart body.
    pub lines: Vec<LogLine>,
    /// The request is to be answered with 500.
    pub multipart_is_broken: bool,
}

/// What an argument is worth.
#[derive(Debug)]
pub struct Found<'d> {
    /// Rendered as text. Bytes, because headers, queries and raw bodies may hold any.
    pub text: Cow<'d, [u8]>,
    /// It is a null of the payload.
    pub is_null: bool,
}

/// Why an argument has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// Nothing of that name; the text is the unresolved rest of the path.
    #[error("parameter node not found: {0}")]
    NotFound(String),
    /// The path leads through a null, which ends the evaluation of a rule.
    #[error("no parameters")]
    InsideNull,
    /// Anything else, which ends the evaluation of a rule.
    #[error("{0}")]
    Other(String),
}

impl<'h> Delivery<'h> {
    /// Nothing is parsed yet.
    pub fn new(hook: &'h Hook, request: Request<'h>) -> Self {
        Self { hook, request, parsed: OnceLock::new() }
    }
}

impl Delivery<'_> {
    /// Must the body be parsed before the rules are looked at, because they see what is made of it, or
    /// because it costs nothing?
    pub fn must_be_parsed_first(&self) -> bool {
        !self.hook.parse_as_json.is_empty()
            || self.request.body.is_empty()
            || matches!(Format::of(self.hook, &self.request), Format::Multipart | Format::Unknown)
    }

    /// What its sender calls it, for the log: `delivery 72d3162e (push of org/repository)`. The repository is there if
    /// the body has been looked at, that is, not if a signature is wrong. Nothing, if it has no id.
    pub fn label(&self) -> Option<String> {
        let header = |names: &[&str]| {
            let value = names.iter().find_map(|name| self.request.header(name))?;
            Some(String::from_utf8_lossy(&value[..value.len().min(LONGEST_LABEL)]).into_owned())
        };
        let id = header(&IDS)?;
        let repository = self.parsed_so_far().and_then(|parsed| {
            let payload = parsed.payload.view(&self.request.body);
            let found = REPOSITORIES.iter().find_map(|path| payload.get(path).ok())?.shown();
            Some(String::from_utf8_lossy(&found[..found.len().min(LONGEST_LABEL)]).into_owned())
        });
        let event = header(&EVENTS).unwrap_or_else(|| "no event".to_owned());
        Some(match repository {
            Some(repository) => format!("delivery {id} ({event} of {repository})"),
            None => format!("delivery {id} ({event})"),
        })
    }

    /// The bytes that parsing takes at most, besides the request itself.
    pub fn cost_of_parsing(&self) -> usize {
        payload::cost(self.hook, &self.request)
    }

    /// Payload and parameters, parsed at the first call.
    pub fn parsed(&self) -> &Parsed {
        self.parsed.get_or_init(|| Parsed::of(self.hook, &self.request))
    }

    /// The same, if it has been asked for.
    pub fn parsed_so_far(&self) -> Option<&Parsed> {
        self.parsed.get()
    }

    /// The value of `argument` as text.
    pub fn value<'d>(&'d self, argument: &'d Argument) -> Result<Cow<'d, [u8]>, NoValue> {
        self.find(argument).map(|found| found.text)
    }

    /// What `argument` is worth, or nothing if the request does not have it.
    pub fn look_up<'d>(&'d self, argument: &'d Argument) -> Result<Option<Found<'d>>, NoValue> {
        match self.find(argument) {
            Ok(found) => Ok(Some(found)),
            Err(NoValue::NotFound(_) | NoValue::InsideNull) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn find<'d>(&'d self, argument: &'d Argument) -> Result<Found<'d>, NoValue> {
        let found = find(&argument.source, self.hook, &self.request, || self.parsed());
        match (&found, &argument.otherwise) {
            (
                Ok(Found { is_null: true, .. }) | Err(NoValue::NotFound(_) | NoValue::InsideNull),
                Some(otherwise),
            ) => self.find(otherwise),
            _ => found,
        }
    }
}

/// What `source` is worth; `parsed` is called only if that depends on it.
fn find<'d>(
    source: &'d Source,
    hook: &Hook,
    request: &'d Request<'_>,
    parsed: impl FnOnce() -> &'d Parsed,
) -> Result<Found<'d>, NoValue> {
    let replaced = !hook.parse_as_json.is_empty();
    let text = match source {
        Source::Header(name) if replaced => return inside(parsed().headers.view(&[]), name),
        Source::Header(name) => {
            let header = |name: &str| request.header(name).map(Cow::Borrowed);
            header(name).ok_or_else(|| not_found(name, |first| header(first).is_some()))?
        }
        Source::Query(name) if replaced => return inside(parsed().query.view(&[]), name),
        Source::Query(name) => {
            let value = |name: &str| {
                let mut pairs = url::good_pairs(request.raw_query.as_bytes());
                pairs.find(|(known, _)| **known == *name.as_bytes()).map(|(_, value)| value)
            };
            value(name).ok_or_else(|| not_found(name, |first| value(first).is_some()))?
        }
        Source::Payload(path) => return inside(parsed().payload.view(&request.body), path),
        // To webhook 2.8 the raw body of a multipart request is empty.
        Source::RawBody if Format::of(hook, request) == Format::Multipart => Cow::Borrowed(&b""[..]),
        Source::RawBody => Cow::Borrowed(&*request.body),
        Source::Request(name) => match &*name.to_lowercase() {
            "remote-addr" => Cow::Borrowed(request.remote_addr.as_bytes()),
            "method" => Cow::Borrowed(request.method.as_bytes()),
            other => {
                return Err(NoValue::Other(format!("unsupported request key: {}", quote(other.as_bytes()))));
            }
        },
        Source::Text(text) => Cow::Borrowed(text.as_bytes()),
        Source::EntirePayload => Cow::Owned(parsed().payload.view(&request.body).json()),
        Source::EntireHeaders if replaced => Cow::Owned(parsed().headers.view(&[]).json()),
        Source::EntireHeaders => Cow::Owned(headers(request).view(&[]).json()),
        Source::EntireQuery if replaced => Cow::Owned(parsed().query.view(&[]).json()),
        Source::EntireQuery => Cow::Owned(query(request).view(&[]).json()),
        Source::Unknown(_) => return Err(NoValue::Other("no source for value retrieval".to_owned())),
    };
    Ok(Found { text, is_null: false })
}

fn inside<'v>(view: View<'v>, path: &str) -> Result<Found<'v>, NoValue> {
    match view.get(path) {
        Ok(value) => Ok(Found { text: value.shown(), is_null: value.kind() == Kind::Null }),
        Err(PathError::NotFound(rest)) => Err(NoValue::NotFound(rest)),
        Err(PathError::InsideNull) => Err(NoValue::InsideNull),
    }
}

/// No header or parameter of this name. One that is named by the first part of it has no inside.
fn not_found(name: &str, exists: impl Fn(&str) -> bool) -> NoValue {
    let rest = name.split_once('.').filter(|(first, _)| exists(first)).map_or(name, |(_, rest)| rest);
    NoValue::NotFound(rest.to_owned())
}

/// The headers as an object; of repeated ones the first value.
fn headers(request: &Request<'_>) -> Document {
    Builder::object(request.headers.iter().map(|(name, value)| (canonical(name), value)))
}

/// The query as an object; of repeated parameters the first value.
fn query(request: &Request<'_>) -> Document {
    Builder::object(url::good_pairs(request.raw_query.as_bytes()).collect::<Vec<_>>())
}

impl Parsed {
    fn of(hook: &Hook, request: &Request<'_>) -> Self {
        let mut lines = Vec::new();
        let payload = payload::parse(hook, request, &mut lines);
        let mut parsed = Self {
            multipart_is_broken: payload.is_err(),
            payload: payload.unwrap_or_else(|BrokenMultipart| Document::none()),
            headers: Document::none(),
            query: Document::none(),
            lines,
        };
        if !hook.parse_as_json.is_empty() && !parsed.multipart_is_broken {
            parsed.headers = headers(request);
            parsed.query = query(request);
            for argument in &hook.parse_as_json {
                if let Err(problem) = parsed.replace(argument, hook, request) {
                    parsed.lines.push(LogLine::Tagged(format!("error parsing JSON parameters: {problem}")));
                }
            }
        }
        parsed
    }

    /// `parse-parameters-as-json`: a text that holds a JSON object becomes that object.
    fn replace(&mut self, argument: &Argument, hook: &Hook, request: &Request<'_>) -> Result<(), String> {
        let text = find(&argument.source, hook, request, || self)
            .map_err(|_| format!("couldn't retrieve argument for {argument}"))?
            .text
            .into_owned();
        let nodes = payload::parse_object(&text).map_err(|error| error.to_string())?;
        match &argument.source {
            Source::Payload(path) => self.payload.replace(&request.body, path, &text, &nodes),
            Source::Header(name) => self.headers.replace(&[], name, &text, &nodes),
            Source::Query(name) => self.query.replace(&[], name, &text, &nodes),
            _ => return Err(format!("invalid source for argument {argument}")),
        }
        Ok(())
    }
}
