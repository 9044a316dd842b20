//! Where a value comes from: the argument objects of the hooks file.

use std::{borrow::Cow, fmt, sync::OnceLock};

use super::{
    payload::{self, Parsed},
    request::Request,
};
use crate::webhook::go::{strconv::quote, textproto, url};

/// What `source` and `name` of an argument object say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// First value of a request header; the name is canonical already.
    Header(String),
    /// First value of a query parameter (`url` or `query`).
    Query(String),
    /// A path into the parsed body.
    Payload(String),
    /// The body's bytes as text.
    RawBody,
    /// `remote-addr` or `method`.
    Request(String),
    /// The literal text.
    Text(String),
    /// The whole parsed body as JSON.
    EntirePayload,
    /// All headers as JSON.
    EntireHeaders,
    /// All query parameters as JSON.
    EntireQuery,
    /// Anything else: an error when it is asked for.
    Unknown(String),
}

/// An argument object, with the texts it was written with (they show in the log).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Argument {
    /// Typed from `source` and `name`.
    pub source: Source,
    /// `source` as written.
    pub source_text: String,
    /// `name` as written.
    pub name: String,
    /// `envname` as written.
    pub envname: String,
    /// `base64decode`.
    pub base64decode: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

/// Why an argument has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing of that name; the text is the unresolved rest of the path.
    #[error("parameter node not found: {0}")]
    NotFound(String),
    /// Anything else, which ends the evaluation of a rule.
    #[error("{0}")]
    Other(String),
}

impl Source {
    /// `source` and `name` as the hooks file has them.
    pub fn new(source: &str, name: &str) -> Self {
        match source {
            "header" => Self::Header(textproto::canonical(name)),
            "url" | "query" => Self::Query(name.to_owned()),
            "payload" => Self::Payload(name.to_owned()),
            "raw-request-body" => Self::RawBody,
            "request" => Self::Request(name.to_owned()),
            "string" => Self::Text(name.to_owned()),
            "entire-payload" => Self::EntirePayload,
            "entire-headers" => Self::EntireHeaders,
            "entire-query" => Self::EntireQuery,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl Argument {
    /// The value in `request`, rendered as text. Bytes, because headers, queries and raw bodies may hold any.
    pub fn resolve<'r>(&'r self, request: &'r Request) -> Result<Cow<'r, [u8]>, SourceError> {
        self.resolve_with(request, || request.parsed())
    }

    /// The same, with what was parsed so far.
    pub fn resolve_with<'r>(
        &'r self,
        request: &'r Request,
        parsed: impl FnOnce() -> &'r Parsed,
    ) -> Result<Cow<'r, [u8]>, SourceError> {
        let replaced = !request.parse_as_json.is_empty();
        match &self.source {
            Source::Header(name) if replaced => parsed().header(name),
            Source::Header(name) => {
                let header = |name: &str| request.header(name).map(Cow::Borrowed);
                header(name).ok_or_else(|| not_found(name, |first| header(first).is_some()))
            }
            Source::Query(name) if replaced => parsed().query(name),
            Source::Query(name) => {
                let value = |name: &str| {
                    let mut pairs = url::good_pairs(request.raw_query.as_bytes());
                    pairs.find(|(known, _)| **known == *name.as_bytes()).map(|(_, value)| value)
                };
                value(name).ok_or_else(|| not_found(name, |first| value(first).is_some()))
            }
            Source::Payload(path) => parsed().payload(&request.body, path),
            // The peer has no raw body of a multipart request.
            Source::RawBody if request.is_multipart() => Ok(Cow::Borrowed(b"")),
            Source::RawBody => Ok(Cow::Borrowed(&request.body)),
            Source::Request(name) if name.eq_ignore_ascii_case("remote-addr") => {
                Ok(Cow::Borrowed(request.remote_addr.as_bytes()))
            }
            Source::Request(name) if name.eq_ignore_ascii_case("method") => {
                Ok(Cow::Borrowed(request.method.as_bytes()))
            }
            Source::Request(name) => Err(SourceError::Other(format!(
                "unsupported request key: {}",
                quote(name.to_lowercase().as_bytes())
            ))),
            Source::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Source::EntirePayload => Ok(Cow::Owned(parsed().entire_payload(&request.body))),
            Source::EntireHeaders if replaced => Ok(Cow::Owned(parsed().entire_headers())),
            Source::EntireHeaders => Ok(Cow::Owned(payload::headers(request).view(&[]).json())),
            Source::EntireQuery if replaced => Ok(Cow::Owned(parsed().entire_query())),
            Source::EntireQuery => Ok(Cow::Owned(payload::query(request).view(&[]).json())),
            Source::Unknown(_) => Err(SourceError::Other("no source for value retrieval".to_owned())),
        }
    }

    /// The variable an item of `pass-environment-to-command` sets: `envname`, else `HOOK_` and the name as it is.
    pub fn environment_variable(&self) -> String {
        if self.envname.is_empty() { format!("HOOK_{}", self.name) } else { self.envname.clone() }
    }
}

/// An item of `pass-file-to-command`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileArgument {
    /// Whose value becomes the contents.
    pub argument: Argument,
    /// It has been said which variable is taken for want of `envname`.
    announced: OnceLock<()>,
}

impl FileArgument {
    pub fn new(argument: Argument) -> Self {
        Self { argument, announced: OnceLock::new() }
    }

    /// The variable that holds the path: `envname`, else `HOOK_` and the name in capitals.
    pub fn variable(&self) -> String {
        match self.argument.envname.as_str() {
            "" => format!("HOOK_{}", self.argument.name.to_uppercase()),
            envname => envname.to_owned(),
        }
    }

    /// True once, if there is no `envname`: the peer says so at the first use.
    pub fn must_be_announced(&self) -> bool {
        self.argument.envname.is_empty() && self.announced.set(()).is_ok()
    }
}

/// No header or parameter of this name. One that is named by the first part of it has no inside.
fn not_found(name: &str, exists: impl Fn(&str) -> bool) -> SourceError {
    let rest = name.split_once('.').filter(|(first, _)| exists(first)).map_or(name, |(_, rest)| rest);
    SourceError::NotFound(rest.to_owned())
}

/// As it stands in the log when it has no value.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{Source:{} Name:{} EnvName:{} Base64Decode:{}}}",
            self.source_text, self.name, self.envname, self.base64decode
        )
    }
}

/// The same, with the variable once that has been said.
impl fmt::Display for FileArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.announced.get() {
            None => self.argument.fmt(f),
            Some(()) => Argument { envname: self.variable(), ..self.argument.clone() }.fmt(f),
        }
    }
}
