//! A password in `AMP_CI_GIT_BASE` reaches git, and nobody who reads.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use crate::support::{
    files::names,
    git_server::GitServer,
    installation::{Installation, Push},
    process::processes,
    repositories::Repositories,
    wait::wait_until,
};

const PASSWORD: &str = "t0p/s3cret~%";

/// As it is written in a URL.
const WRITTEN: &str = "t0p%2Fs3cret~%25";

/// An installation with the shipped chunks, whose git server wants a password, and the commit that it has.
fn installation() -> (GitServer, Installation, String) {
    let github = Repositories::new();
    let commit = github.commit("amp_mgms", &[("content", "x")]);
    let server = GitServer::start(&github, &["amp_mgms", "amp_bootstrap"], &format!("ci:{PASSWORD}"));
    let mut ci = github.installation();
    ci.set("AMP_CI_GIT_BASE", &server.base(&format!("ci:{WRITTEN}")));
    ci.set("GIT_ALLOW_PROTOCOL", "http");
    (server, ci, commit)
}

/// The files below `dir` that have it in them, or in their name.
fn betraying(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(dir) {
        let path = dir.join(name);
        if path.is_dir() {
            found.extend(betraying(&path));
            continue;
        }
        let text = [path.as_os_str().as_bytes(), &fs::read(&path).unwrap_or_default()].concat();
        let text = String::from_utf8_lossy(&text);
        if [PASSWORD, WRITTEN].iter().any(|secret| text.contains(secret)) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn git_clones_with_it_and_no_script_log_letter_or_check_shows_it() {
    let (server, ci, commit) = installation();
    ci.chunk("build_packages", "cat amp_mgms/content; git -C amp_mgms remote -v; exit 3");
    ci.push(&Push { commit, ..Push::to("amp_mgms", "main") });
    let output = ci.build_with(&["--debug"]);
    assert_eq!(output.status.code(), Some(0), "{}", ci.log());

    let record = ci.record();
    assert_eq!(record.result["rc"], 3, "{}", record.output());
    assert!(record.output().contains("/org/amp_mgms (fetch)"), "{}", record.output());
    assert_eq!(ci.letters().len(), 1);
    assert_eq!(betraying(ci.home()), [""; 0]);
    let check = ci.command("build").arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("/org") && !said.contains(WRITTEN) && !said.contains(PASSWORD), "{said}");

    // What git says of a wrong one has no word of it either.
    let mut ci = ci;
    ci.set("AMP_CI_GIT_BASE", &server.base("ci:wr0ng-s3cret"));
    ci.chunk("checkout_repos", "git clone \"$AMP_CI_GIT_BASE/$AMP_CI_REPOSITORY\" x");
    ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    let output = ci.records()[1].output();
    assert!(output.contains("Authentication failed") && !output.contains("wr0ng"), "{output}");
}

#[test]
fn whoever_lists_processes_while_missed_pushes_are_looked_for_does_not_read_it() {
    let (server, mut ci, commit) = installation();
    ci.chunk("build_packages", "true");
    ci.push(&Push { commit, ..Push::to("amp_mgms", "main") });
    ci.build(1);
    ci.set("AMP_CI_CATCH_UP", "yes");
    server.hold(true);
    let mut build = ci.start_build(1);
    let base = server.base("");
    let base = base.replace('@', "");
    wait_until("git asks", || {
        !processes(|line| line.contains("ls-remote") && line.contains(&base)).is_empty()
    });
    let seen = processes(|line| line.contains(PASSWORD) || line.contains(WRITTEN));
    server.hold(false);
    assert_eq!(seen, [""; 0]);
    assert_eq!(build.wait(), 0);
    let seen = fs::read_to_string(ci.path("queue/catch-up.json")).unwrap();
    assert!(seen.contains("\"failed\":{}"), "{seen}");
}
