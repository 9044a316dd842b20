//! The fields of a request: texts that are checked once, when they come in, and are valid ever after.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    str::FromStr,
};

use clap::builder::{OsStringValueParser, TypedValueParser};
use serde::{Deserialize, Deserializer, Serialize};

use crate::text::is_unprintable;

/// Why a text is not what its field needs; the field is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: '{}' {problem}", shown(.text))]
pub struct InvalidField {
    field: &'static str,
    text: String,
    problem: &'static str,
}

/// Enough of a hostile text to recognise it by.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(120).collect();
    let dots = if start.len() < text.len() { "..." } else { "" };
    format!("{}{dots}", crate::text::printable(&start))
}

/// Declares a text that is checked once, when it comes in.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $problem:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = InvalidField;

            fn from_str(text: &str) -> Result<Self, InvalidField> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_string()))
                } else {
                    Err(InvalidField { field: $field, text: text.to_string(), problem: $problem })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidField;

            fn try_from(text: String) -> Result<Self, InvalidField> {
                text.parse()
            }
        }

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// An argument may be no text at all.
            pub fn from_argument(argument: OsString) -> Result<Self, InvalidField> {
                argument.into_string().map_or_else(
                    |bytes| {
                        let text = bytes.to_string_lossy().into_owned();
                        Err(InvalidField { field: $field, text, problem: "is not UTF-8" })
                    },
                    |text| text.parse(),
                )
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// A repository's name: nothing in it is special to bash, to git's options or to a path.
    Repository,
    "repository",
    "is not a repository name: letters, digits, '.', '_' and '-', at most 100, not starting with '-', not '.' or '..'",
    |text| (1..=100).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
);

checked_text!(
    /// A full ref by the rules of git-check-ref-format(1). Legal refs are full of shell characters.
    GitRef,
    "ref",
    "is not a full ref as git allows it, such as refs/heads/main",
    is_full_ref
);

checked_text!(
    /// A commit's full hash, SHA-1 or SHA-256.
    CommitId,
    "commit_id",
    "is not a commit: 40 or 64 hexadecimal digits, not all zeros",
    |text| matches!(text.len(), 40 | 64)
        && text.bytes().all(|b| b.is_ascii_hexdigit())
        && text.bytes().any(|b| b != b'0')
);

/// What still fits a file name (255 bytes, path_resolution(7)) behind the longest that stands in front of it,
/// `checkout_repos_`.
const LONGEST_CHUNK_KEY: usize = 255 - "checkout_repos_".len();

/// What git reserves for its own lock files, in this spelling only.
const LOCK_FILE: &str = ".lock";

/// git-check-ref-format(1), and the ref is full: `refs/` and something.
fn is_full_ref(text: &str) -> bool {
    let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    text.starts_with("refs/")
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && !text.contains(forbidden)
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(LOCK_FILE))
}

/// A branch by its full name, as people leave `refs/heads/` out; what begins with `refs/` is one already.
pub fn full_ref(branch: &str) -> String {
    if branch.starts_with("refs/") { branch.to_string() } else { format!("refs/heads/{branch}") }
}

impl GitRef {
    /// What the chunks are chosen by: the last segment of the ref, with `master` counted as `main`.
    pub fn chunk_key(&self) -> &str {
        match self.0.rsplit('/').next().unwrap_or(&self.0) {
            "master" => "main",
            key => key,
        }
    }

    /// The key if a chunk's file name has room for it: a ref holds no slash, NUL or control there, nor a dot in front.
    pub fn chunk_suffix(&self) -> Option<&str> {
        Some(self.chunk_key()).filter(|key| key.len() <= LONGEST_CHUNK_KEY)
    }

    /// The ref without `refs/heads/` or `refs/tags/`, slashes kept.
    pub fn branch(&self) -> &str {
        ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| self.0.strip_prefix(prefix)).unwrap_or(&self.0)
    }
}

/// How the letter greets; never a reason to lose a build, so whatever came in became one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitterName(String);

impl From<&str> for CommitterName {
    fn from(text: &str) -> Self {
        let name: String =
            text.chars().take(200).map(|c| if is_unprintable(c) || c == '\t' { ' ' } else { c }).collect();
        match name.trim() {
            "" | "<nil>" => Self("committer".to_string()),
            _ => Self(name),
        }
    }
}

/// Where the letter goes, if that is an address; else empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitterEmail(String);

impl From<&str> for CommitterEmail {
    fn from(text: &str) -> Self {
        Self(if is_address(text) { text.to_string() } else { String::new() })
    }
}

/// A bare address that can stand in a header and in an SMTP command as it is: ASCII, no quoting, no
/// address literal, at most 254 bytes (RFC 5321, 4.5.3.1.3).
pub fn is_address(text: &str) -> bool {
    text.len() <= 254
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"[]()<>,;:\\".contains(&b))
        && text.parse::<lettre::Address>().is_ok()
}

macro_rules! lenient_text {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::from("")
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                Ok(Self::from(value.as_str().unwrap_or_default()))
            }
        }
    };
}

lenient_text!(CommitterName);
lenient_text!(CommitterEmail);

/// Takes any argument, also one that is not UTF-8.
pub fn lossy<T: for<'a> From<&'a str> + Clone + Send + Sync + 'static>() -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().map(|text| T::from(&OsStr::to_string_lossy(&text)))
}

#[cfg(test)]
mod tests;
