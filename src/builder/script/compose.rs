//! The script of one build: which chunks, in which order, and what stands around them.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use super::placeholder;
use crate::{
    queue::{BuildRequest, EntryId},
    regular_file,
};

/// The chunks in their order; without the last a build has no other purpose than to build.
const CHUNKS: [(&str, bool); 3] = [("checkout_repos", true), ("build_packages", true), ("distribute", false)];

/// The variable with the path of the file in which build.sh notes the chunk that it has begun. It is empty once that
/// is the last one.
pub const PROGRESS: &str = "AMP_CI_PROGRESS";

/// No chunk is longer: a file that is has been put there by mistake, and no more of it is read.
const LONGEST_CHUNK: u64 = 4 << 20;

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
    let suffix = request.git_ref.chunk_suffix();
    let mut chosen = Vec::new();
    let mut missing = Vec::new();
    for (chunk, mandatory) in CHUNKS {
        let own = suffix.map(|suffix| format!("{chunk}_{suffix}"));
        let names: Vec<String> = own.into_iter().chain(mandatory.then(|| chunk.to_string())).collect();
        match first_of(scripts, &names)? {
            Some(found) => chosen.push(found),
            None if mandatory => missing.push(names.join(" nor ")),
            None => {}
        }
    }
    if chosen.is_empty() {
        return Ok(Composed::Nothing(format!("no chunk for '{}' in scripts/", request.git_ref.chunk_key())));
    }
    if !missing.is_empty() {
        return Ok(Composed::Incomplete(format!(
            "there is neither {} in scripts/",
            missing.join(", neither ")
        )));
    }
    Ok(Composed::Script(text(&chosen, request, variables)))
}

/// The first chunk that is there: its name and text.
fn first_of(scripts: &Path, names: &[String]) -> io::Result<Option<(String, Vec<u8>)>> {
    for name in names {
        if let Some(text) = read_chunk(&scripts.join(name))? {
            return Ok(Some((name.clone(), text)));
        }
    }
    Ok(None)
}

/// A chunk may be a link, but has to be a file in the end.
pub fn read_chunk(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match regular_file::open_through_links(path) {
        // A link to nothing is a mistake, not a chunk that was left out.
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            return Ok(None);
        }
        Err(error) => return Err(error),
        Ok(file) => file,
    };
    let Some(text) = regular_file::up_to(LONGEST_CHUNK, file)? else {
        let why = format!("{} is longer than a chunk can be, 4 MiB", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    };
    Ok(Some(text))
}

fn text(chunks: &[(String, Vec<u8>)], request: &BuildRequest, variables: &[(&str, &str)]) -> Vec<u8> {
    let mut script = b"#!/bin/bash\n".to_vec();
    for (name, value) in variables {
        script.extend(format!("export {name}={}\n", quoted(value)).bytes());
    }
    script.extend(b"set -ex\necho Starting at $(date)\n");
    for (number, (name, chunk)) in chunks.iter().enumerate() {
        script.extend(progress(name, number + 1 == chunks.len()).bytes());
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

/// The line that notes which chunk begins, in a file of ours if we run it; of the last one that nothing comes after it.
/// Neither does it show in the output, nor can it end a build.
fn progress(name: &str, is_last: bool) -> String {
    let note = if is_last { ":".to_string() } else { format!("echo {}", quoted(name)) };
    format!("{{ {note} >|\"${{{PROGRESS}:-/dev/null}}\"; }} 2>/dev/null || :\n")
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
             { echo checkout_repos >|\"${AMP_CI_PROGRESS:-/dev/null}\"; } 2>/dev/null || :\n\
             ### Start of checkout_repos ###\necho r\n### End of checkout_repos ###\n\
             { echo build_packages >|\"${AMP_CI_PROGRESS:-/dev/null}\"; } 2>/dev/null || :\n\
             ### Start of build_packages ###\nb\n### End of build_packages ###\n\
             { : >|\"${AMP_CI_PROGRESS:-/dev/null}\"; } 2>/dev/null || :\n\
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
        let Composed::Incomplete(why) = composed(&[("checkout_repos", "x")], "refs/heads/main") else {
            panic!()
        };
        assert_eq!(why, "there is neither build_packages_main nor build_packages in scripts/");
        assert!(matches!(composed(&[("distribute_main", "x")], "refs/heads/main"), Composed::Incomplete(_)));
    }

    #[test]
    fn a_ref_whose_last_segment_is_no_usual_name_is_built_by_the_plain_chunks_or_its_own() {
        let long = format!("refs/heads/{}", "x".repeat(250));
        for git_ref in [
            "refs/heads/fix/issue#12",
            "refs/tags/v1.0+build.5",
            "refs/heads/fix(ui)",
            "refs/heads/fix/ünï",
            &long,
        ] {
            let plain = [("checkout_repos", "plain"), ("build_packages", "b")];
            assert!(matches!(composed(&plain, git_ref), Composed::Script(_)), "{git_ref}");
        }
        let own = [("checkout_repos", "plain"), ("build_packages", "b"), ("build_packages_issue#12", "own")];
        let Composed::Script(script) = composed(&own, "refs/heads/fix/issue#12") else { panic!("no script") };
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("### Start of build_packages_issue#12 ###\nown\n"), "{script}");
    }

    #[test]
    fn what_stands_under_a_chunk_s_name_and_is_no_file_is_named() {
        let scripts = tempfile::tempdir().unwrap();
        fs_err::write(scripts.path().join("checkout_repos"), "x").unwrap();
        fs_err::write(scripts.path().join("build_packages"), "x").unwrap();
        let own = scripts.path().join("distribute_helpers");
        let composed =
            || compose(scripts.path(), &request("refs/heads/helpers"), &[]).unwrap_err().to_string();
        fs_err::create_dir(&own).unwrap();
        assert!(composed().ends_with("distribute_helpers is no file"));
        fs_err::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink("/does/not/exist", &own).unwrap();
        assert!(composed().contains("distribute_helpers"));
        fs_err::remove_file(&own).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &own, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        assert!(composed().ends_with("distribute_helpers is no file"));
    }
}
