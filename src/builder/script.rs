//! The script of one build: which chunks, in which order, and what stands around them.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::placeholder;
use crate::queue::{BuildRequest, EntryId};

/// The chunks in their order; without the last a build has no other purpose than to build.
const CHUNKS: [(&str, bool); 3] = [("checkout_repos", true), ("build_packages", true), ("distribute", false)];

/// What the chunks on disk make of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Composed {
    /// The text of build.sh.
    Script(Vec<u8>),
    /// No chunk is meant for this ref; why.
    Nothing(String),
    /// Some chunks are there, but not all that are needed; why.
    Incomplete(String),
}

/// The variables that carry the request into the build, in the order in which build.sh exports them.
pub fn variables<'a>(
    id: &'a EntryId,
    request: &'a BuildRequest,
    git_base: &'a str,
) -> [(&'static str, &'a str); 8] {
    [
        ("AMP_CI_REPOSITORY", request.repository.as_str()),
        ("AMP_CI_REF", request.git_ref.as_str()),
        ("AMP_CI_BRANCH", request.git_ref.branch()),
        ("AMP_CI_COMMIT_ID", request.commit_id.as_str()),
        ("AMP_CI_COMMITTER_NAME", request.committer_name.as_str()),
        ("AMP_CI_COMMITTER_EMAIL", request.committer_email.as_str()),
        ("AMP_CI_BUILD_ID", id.as_str()),
        ("AMP_CI_GIT_BASE", git_base),
    ]
}

/// Chooses the chunks in `scripts` and composes the script. An error is a chunk that is there but cannot be read.
pub fn compose(scripts: &Path, request: &BuildRequest, variables: &[(&str, &str)]) -> io::Result<Composed> {
    let Some(suffix) = request.git_ref.chunk_suffix() else {
        return Ok(Composed::Nothing(format!(
            "no chunk: '{}' cannot be part of a file name",
            request.git_ref.chunk_key()
        )));
    };
    let mut chosen = Vec::new();
    let mut missing = Vec::new();
    for (chunk, mandatory) in CHUNKS {
        match choose(scripts, chunk, suffix, mandatory)? {
            Some(found) => chosen.push(found),
            None if mandatory => missing.push(format!("{chunk}_{suffix} nor {chunk}")),
            None => {}
        }
    }
    if chosen.is_empty() {
        return Ok(Composed::Nothing(format!("no chunk for '{suffix}' in scripts/")));
    }
    if !missing.is_empty() {
        return Ok(Composed::Incomplete(format!(
            "there is neither {} in scripts/",
            missing.join(", neither ")
        )));
    }
    Ok(Composed::Script(text(&chosen, request, variables)))
}

/// `<chunk>_<suffix>`, else the plain one if it counts without: its name and text.
fn choose(
    scripts: &Path,
    chunk: &str,
    suffix: &str,
    plain_counts: bool,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let own = format!("{chunk}_{suffix}");
    let plain = plain_counts.then(|| chunk.to_string());
    for name in std::iter::once(own).chain(plain) {
        match fs_err::read(scripts.join(&name)) {
            Ok(text) => return Ok(Some((name, text))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn text(chunks: &[(String, Vec<u8>)], request: &BuildRequest, variables: &[(&str, &str)]) -> Vec<u8> {
    let mut script = b"#!/bin/bash\n".to_vec();
    for (name, value) in variables {
        script.extend(format!("export {name}={}\n", quoted(value)).bytes());
    }
    script.extend(b"set -ex\necho Starting at $(date)\n");
    for (name, chunk) in chunks {
        script.extend(format!("### Start of {name} ###\n").bytes());
        let chunk = placeholder::render(chunk, request);
        script.extend(&chunk);
        if !chunk.ends_with(b"\n") {
            script.push(b'\n');
        }
        script.extend(format!("### End of {name} ###\n").bytes());
    }
    script.extend(b"echo Successful at $(date)\n");
    script
}

/// As one word of bash. Values hold no NUL: they came through types that refuse it.
fn quoted(value: &str) -> String {
    shlex::try_quote(value).map_or_else(|_| "''".to_string(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(git_ref: &str) -> BuildRequest {
        serde_json::from_str(&format!(
            r#"{{"repository":"r","ref":"{git_ref}","commit_id":"{}"}}"#,
            "a".repeat(40)
        ))
        .unwrap()
    }

    fn composed(files: &[(&str, &str)], git_ref: &str) -> Composed {
        let scripts = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(scripts.path().join(name), text).unwrap();
        }
        compose(scripts.path(), &request(git_ref), &[("AMP_CI_REF", "it's")]).unwrap()
    }

    #[test]
    fn the_script_is_laid_out_as_promised() {
        let files =
            [("checkout_repos", "echo {repository}"), ("build_packages", "b\n"), ("distribute_main", "d\n")];
        let Composed::Script(script) = composed(&files, "refs/heads/master") else { panic!("no script") };
        assert_eq!(
            String::from_utf8(script).unwrap(),
            "#!/bin/bash\nexport AMP_CI_REF=\"it's\"\nset -ex\necho Starting at $(date)\n\
             ### Start of checkout_repos ###\necho r\n### End of checkout_repos ###\n\
             ### Start of build_packages ###\nb\n### End of build_packages ###\n\
             ### Start of distribute_main ###\nd\n### End of distribute_main ###\n\
             echo Successful at $(date)\n"
        );
    }

    #[test]
    fn a_branch_s_own_chunk_replaces_the_plain_one() {
        let files = [("checkout_repos", "plain"), ("checkout_repos_x", "own"), ("build_packages", "b")];
        let Composed::Script(script) = composed(&files, "refs/heads/feature/x") else { panic!("no script") };
        let script = String::from_utf8(script).unwrap();
        assert!(
            script.contains("### Start of checkout_repos_x ###\nown\n") && !script.contains("plain"),
            "{script}"
        );
    }

    #[test]
    fn without_any_chunk_there_is_nothing_to_do_and_with_half_of_them_an_error() {
        assert!(matches!(composed(&[("checkout_repos_main", "x")], "refs/heads/dev"), Composed::Nothing(_)));
        assert!(matches!(composed(&[], "refs/heads/main"), Composed::Nothing(_)));
        assert!(matches!(
            composed(&[("checkout_repos", "x"), ("build_packages", "x")], "refs/heads/a;b"),
            Composed::Nothing(_)
        ));
        let Composed::Incomplete(why) = composed(&[("checkout_repos", "x")], "refs/heads/main") else {
            panic!()
        };
        assert_eq!(why, "there is neither build_packages_main nor build_packages in scripts/");
        assert!(matches!(composed(&[("distribute_main", "x")], "refs/heads/main"), Composed::Incomplete(_)));
    }
}
