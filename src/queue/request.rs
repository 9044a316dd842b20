//! What somebody asks for: one declaration that is `queue_build`'s command line, the entry's JSON and the
//! build's variables.

use clap::builder::{OsStringValueParser, TypedValueParser};
use serde::{Deserialize, Serialize};

use super::{
    Origin,
    fields::{CommitId, CommitterEmail, CommitterName, GitRef, Repository, lossy},
};

/// A request to build one commit. Every value of these types is valid; the raw text is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct BuildRequest {
    /// Repository, without its owner: letters, digits, `.`, `_`, `-`; at most 100, not starting with `.` or `-`
    #[arg(value_parser = OsStringValueParser::new().try_map(Repository::from_argument))]
    pub repository: Repository,
    /// Full name of the ref that was pushed, such as refs/heads/main
    #[serde(rename = "ref")]
    #[arg(value_name = "REF", value_parser = OsStringValueParser::new().try_map(GitRef::from_argument))]
    pub git_ref: GitRef,
    /// Full hash of the commit: 40 or 64 hexadecimal digits, not all zeros
    #[arg(value_parser = OsStringValueParser::new().try_map(CommitId::from_argument))]
    pub commit_id: CommitId,
    /// Who pushed, as the letter will greet them; any text
    #[serde(default)]
    #[arg(value_parser = lossy::<CommitterName>())]
    pub committer_name: CommitterName,
    /// Where to write when the build fails; anything that is no address is stored as ""
    #[serde(default)]
    #[arg(value_parser = lossy::<CommitterEmail>())]
    pub committer_email: CommitterEmail,
}

/// Builds of the same lane run one at a time and in order: the repository, and what the chunks are chosen by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    repository: Repository,
    chunk_key: String,
}

impl BuildRequest {
    /// The lane that this build runs in.
    pub fn lane(&self) -> Lane {
        Lane { repository: self.repository.clone(), chunk_key: self.git_ref.chunk_key().to_string() }
    }

    /// The entry's text, exactly as the Python original's `json.dump` lays it out.
    pub fn to_json(&self) -> String {
        in_python_layout(self)
    }

    /// The same with a sixth field, for an entry that no push brought.
    pub fn to_json_with(&self, origin: &Origin) -> String {
        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            request: &'a BuildRequest,
            amp_ci: &'a Origin,
        }
        in_python_layout(&Entry { request: self, amp_ci: origin })
    }
}

fn in_python_layout(entry: &impl Serialize) -> String {
    let mut json = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, PythonLayout);
    // Strings into memory: there is nothing here that could fail.
    entry.serialize(&mut serializer).expect("strings are JSON");
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// `", "` and `": "`, as Python's `json.dump` separates.
struct PythonLayout;

impl serde_json::ser::Formatter for PythonLayout {
    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::BuildRequest;
    use crate::queue::origin::{Origin, Why};

    #[test]
    fn the_entry_reads_as_python_wrote_it() {
        let request: BuildRequest = serde_json::from_str(
            r#"{"ref":"refs/heads/main","repository":"r","commit_id":"84ce5aeb5cbfe12bf72096f34d93c9f5d148e997",
               "committer_name":null,"committer_email":7,"later":"unknown fields are ignored"}"#,
        )
        .unwrap();
        assert_eq!(
            request.to_json(),
            r#"{"repository": "r", "ref": "refs/heads/main", "commit_id": "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997", "committer_name": "committer", "committer_email": ""}"#
        );
        assert_eq!(serde_json::from_str::<BuildRequest>(&request.to_json()).unwrap(), request);
    }

    #[test]
    fn an_invalid_field_is_named() {
        let json = r#"{"repository":"../x","ref":"refs/heads/main","commit_id":"84ce5aeb5cbfe12bf72096f34d93c9f5d148e997"}"#;
        let error = serde_json::from_str::<BuildRequest>(json).unwrap_err().to_string();
        assert!(error.starts_with("repository: '../x' is not a repository name"), "{error}");
    }

    #[test]
    fn a_sixth_field_says_why_there_is_an_entry_and_changes_no_other() {
        let request: BuildRequest = serde_json::from_value(serde_json::json!({
            "repository": "amp_mgms", "ref": "refs/heads/main", "commit_id": "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997",
        }))
        .unwrap();
        let origin = Origin { why: Why::CatchUp, rerun_of: None, by: "ci@host".to_string() };
        let text = request.to_json_with(&origin);
        assert_eq!(
            text.strip_suffix(r#", "amp_ci": {"why": "catch-up", "rerun_of": null, "by": "ci@host"}}"#),
            request.to_json().strip_suffix('}')
        );
        assert_eq!(serde_json::from_str::<BuildRequest>(&text).unwrap(), request);
        assert_eq!(Origin::of_entry(text.as_bytes()), Some(origin));
        assert_eq!(Origin::of_entry(request.to_json().as_bytes()), None);
    }
}
