//! Where a value comes from: the argument objects of the hooks file.

use std::{fmt, sync::OnceLock};

use crate::webhook::go::textproto;

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

impl Default for Source {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
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
    /// Ours: `else`: what counts where this has no value, or null.
    pub otherwise: Option<Box<Argument>>,
}

impl Argument {
    /// The variable an item of `pass-environment-to-command` sets: `envname`, else `HOOK_` and the name as it is.
    pub fn environment_variable(&self) -> String {
        if self.envname.is_empty() { format!("HOOK_{}", self.name) } else { self.envname.clone() }
    }
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

/// An item of `pass-file-to-command`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileArgument {
    /// Whose value becomes the contents.
    pub argument: Argument,
    /// It has been said which variable is taken for want of `envname`.
    announced: OnceLock<()>,
}

impl FileArgument {
    /// One that has not been used yet.
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

    /// True once, if there is no `envname`: webhook 2.8 says so at the first use.
    pub fn must_be_announced(&self) -> bool {
        self.argument.envname.is_empty() && self.announced.set(()).is_ok()
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
