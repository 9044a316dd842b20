//! Why there is an entry that no push brought: the sixth field, `"amp_ci"`, of what the verbs of `build` and
//! catch-up put into the queue. An entry without it is a push.

use serde::{Deserialize, Serialize};

use super::EntryId;

/// `{"why": "rerun", "rerun_of": "1795346032.441044312", "by": "ana@ci"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What it was queued for.
    pub why: Why,
    /// The build whose request is asked for again.
    #[serde(default)]
    pub rerun_of: Option<EntryId>,
    /// `user@host` of whoever asked.
    #[serde(default)]
    pub by: String,
}

/// What an entry that is no push was queued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// `build rerun`: the same request once more.
    Rerun,
    /// `build queue`: the tip of a branch, because somebody wants it built.
    Queue,
    /// A push that never arrived.
    CatchUp,
}

impl Origin {
    /// The origin in an entry's text. None for a push; what is no origin as we write it counts as none, since an
    /// entry by hand may hold anything under this name.
    pub fn of_entry(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Entry {
            amp_ci: Origin,
        }
        serde_json::from_slice(bytes).ok().map(|entry: Entry| entry.amp_ci)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rerun() -> Origin {
        Origin { why: Why::Rerun, rerun_of: EntryId::parse("1.5"), by: "ana@ci".to_string() }
    }

    #[test]
    fn the_sixth_field_is_written_as_documented() {
        assert_eq!(
            serde_json::to_string(&rerun()).unwrap(),
            r#"{"why":"rerun","rerun_of":"1.5","by":"ana@ci"}"#
        );
        let caught_up = Origin { why: Why::CatchUp, rerun_of: None, by: "ci@host".to_string() };
        assert_eq!(
            serde_json::to_string(&caught_up).unwrap(),
            r#"{"why":"catch-up","rerun_of":null,"by":"ci@host"}"#
        );
    }

    #[test]
    fn a_push_and_what_only_looks_like_an_origin_have_none() {
        for entry in [
            "{}",
            r#"{"amp_ci": null}"#,
            r#"{"amp_ci": "rerun"}"#,
            r#"{"amp_ci": {"why": "for fun"}}"#,
            r#"{"amp_ci": {"why": "rerun", "rerun_of": "../../etc"}}"#,
            "no JSON",
        ] {
            assert_eq!(Origin::of_entry(entry.as_bytes()), None, "{entry}");
        }
        let entry = br#"{"repository": "a", "amp_ci": {"why": "rerun", "rerun_of": "1.5", "by": "ana@ci"}}"#;
        assert_eq!(Origin::of_entry(entry), Some(rerun()));
    }
}
