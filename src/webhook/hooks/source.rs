//! Where a value comes from: the argument objects of the hooks file.

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

/// An item of `pass-environment-to-command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(pub Argument);

/// An item of `pass-file-to-command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileArgument(pub Argument);

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
    /// The value in `request`, rendered as text.
    pub fn resolve(&self, request: &Request) -> Result<String, SourceError> {
        let _ = request;
        unimplemented!()
    }
}
