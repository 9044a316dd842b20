//! The chunks: is there a script for a push, and does bash understand it?

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use super::findings::{Findings, note, ok};
use crate::{
    builder::{
        script::{
            compose::{self, Composed},
            placeholder,
        },
        shipped,
    },
    error_chain::in_full,
    home::Home,
    own_name::own_name,
    queue::BuildRequest,
    text::printable,
};

pub fn look(findings: &mut Findings, home: &Home) {
    let entries = match fs_err::read_dir(home.scripts()) {
        Ok(entries) => entries,
        Err(error) => return findings.wrong(&format!("{}; the chunks belong there", in_full(&error))),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            ["checkout_repos", "build_packages", "distribute_"].iter().any(|chunk| name.starts_with(chunk))
        })
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        return findings.wrong("scripts/ holds no chunk (checkout_repos, build_packages, distribute_<branch>): every build is skipped");
    }
    for chunk in ["checkout_repos", "build_packages"] {
        if !names.iter().any(|name| name.starts_with(chunk)) {
            findings
                .wrong(&format!("scripts/ holds neither {chunk} nor any {chunk}_<branch>: no build can run"));
        }
    }
    for name in &names {
        // It may be anything, and nobody waits for the writer of a FIFO.
        match compose::read_chunk(&home.scripts().join(name)) {
            Err(error) => findings.wrong(&format!("scripts/{name}: {}", in_full(&error))),
            Ok(chunk) => of_text(findings, name, &chunk.unwrap_or_default()),
        }
    }
    composed(findings, home, &names);
    ok(&format!("chunks: {}", names.join(", ")));
}

fn of_text(findings: &mut Findings, name: &str, chunk: &[u8]) {
    for word in placeholder::mistyped(chunk) {
        findings.wrong(&format!(
            "scripts/{name}: {word} is no placeholder, bash will see it as it is: mend it, or write {{{word}}} if it is meant"
        ));
    }
    if chunk.windows(2).any(|pair| pair == b"\r\n") {
        findings.wrong(&format!(
            "scripts/{name} has line ends from Windows, which bash takes for text: sed -i 's/\\r$//' it"
        ));
    } else if let Some(why) = syntax_error(chunk) {
        findings.wrong(&format!("scripts/{name}: {why}; mend it"));
    }
}

/// Each script that the chunks can make, as bash reads it: a chunk may swallow the next, or need what it has not.
fn composed(findings: &mut Findings, home: &Home, names: &[String]) {
    let of_a_branch = |name: &String| {
        let suffix = ["checkout_repos_", "build_packages_", "distribute_"]
            .iter()
            .find_map(|chunk| name.strip_prefix(chunk));
        suffix.map(str::to_string)
    };
    let branches: BTreeSet<String> =
        names.iter().filter_map(of_a_branch).chain(["any-other".to_string()]).collect();
    for branch in branches {
        let request = serde_json::json!({
            "repository": "r", "ref": format!("refs/heads/{branch}"), "commit_id": "1".repeat(40)
        });
        // A name that no branch can have is a chunk for none.
        let Ok(request) = serde_json::from_value::<BuildRequest>(request) else { continue };
        match compose::compose(&home.scripts(), &request, &[]) {
            Ok(Composed::Script(script)) => {
                if let Some(why) = syntax_error(&script) {
                    findings.wrong(&format!(
                        "the script for the branch {branch}: {why}; mend the chunk that it comes from"
                    ));
                }
            }
            Ok(Composed::Incomplete(why)) => {
                findings.wrong(&format!("the script for the branch {branch}: {why}"));
            }
            // What cannot be read has been said of the chunk itself.
            Ok(Composed::Nothing(_)) | Err(_) => {}
        }
    }
}

/// What `bash -n` says; nothing if it understands.
fn syntax_error(script: &[u8]) -> Option<String> {
    let mut bash = Command::new("/bin/bash");
    bash.arg("-n").env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut bash = bash.spawn().ok()?;
    // One that has seen enough closes its end.
    let _ = bash.stdin.take().map(|mut stdin| stdin.write_all(script));
    let output = bash.wait_with_output().ok()?;
    // A here-document that never ends is a warning to it, with exit code 0.
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().map(|line| printable(line).into_owned());
    if output.status.success() { first } else { Some(first.unwrap_or_default()) }
}

pub fn shipped(home: &Home) {
    let newer = shipped::FILES.iter().filter(|file| file.is_newer_than_in(home.dir()));
    let names: Vec<&str> = newer.map(|file| file.name).collect();
    if !names.is_empty() {
        note(&format!(
            "this version ships newer files than this home has: {}; `{} init {}` takes over what was not edited, \
             and shows what is new in the rest",
            names.join(", "),
            own_name(),
            home.dir().display()
        ));
    }
}
