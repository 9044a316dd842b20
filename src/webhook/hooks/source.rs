//! Where a value comes from: the argument objects of the hooks file.

use std::{borrow::Cow, fmt};

use super::request::Request;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Argument {
    /// The value in `request`, rendered as text. Bytes, because headers, queries and raw bodies may hold any.
    pub fn resolve<'r>(&'r self, request: &'r Request) -> Result<Cow<'r, [u8]>, SourceError> {
        let _ = request;
        unimplemented!()
    }

    /// The variable an item of `pass-environment-to-command` sets: `envname`, else `HOOK_` and the name as it is.
    pub fn environment_variable(&self) -> String {
        if self.envname.is_empty() { format!("HOOK_{}", self.name) } else { self.envname.clone() }
    }

    /// The variable an item of `pass-file-to-command` sets: `envname`, else `HOOK_` and the name in capitals.
    pub fn file_variable(&self) -> String {
        if self.envname.is_empty() {
            format!("HOOK_{}", self.name.to_uppercase())
        } else {
            self.envname.clone()
        }
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
