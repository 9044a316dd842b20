//! The chunks that fetch and build, as shipped, with real git: exactly the pushed commit is built.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push, Record},
    repositories::{Repositories, shipped_chunks},
};

/// What comes of a push.
fn build(ci: &Installation, repository: &str, git_ref: &str, commit: &str) -> Record {
    let mut push = Push::to(repository, "main").git_ref(git_ref);
    push.commit = commit.to_string();
    let id = ci.push(&push);
    ci.build(1);
    ci.records().into_iter().find(|record| record.id == id).expect("a record")
}

#[track_caller]
fn assert_built(record: &Record, content: &str) {
    assert_eq!(record.outcome(), "succeeded", "{}", record.output());
    let said = format!("\ncontent: {content}\n");
    assert!(record.output().contains(&said), "no '{content}' in {}", record.output());
}

#[test]
fn bootstrap_builds_exactly_the_pushed_commit_not_the_newest() {
    let github = Repositories::new();
    let first = github.commit("amp_mgms", &[("content", "first")]);
    github.commit("amp_mgms", &[("content", "second")]);
    let ci = github.installation();
    let record = build(&ci, "amp_mgms", "refs/heads/main", &first);
    assert_built(&record, "first");
    assert!(record.output().contains("\namp_devel.py: build amp_mgms\n"), "{}", record.output());
}

#[test]
fn a_commit_that_a_force_push_took_off_every_branch_is_fetched_by_its_hash() {
    let github = Repositories::new();
    github.commit("amp_mgms", &[("content", "first")]);
    let replaced = github.commit("amp_mgms", &[("content", "replaced")]);
    github.git("amp_mgms", &["reset", "--quiet", "--hard", "HEAD~1"]);
    github.commit("amp_mgms", &[("content", "in its place")]);
    let ci = github.installation();
    assert_built(&build(&ci, "amp_mgms", "refs/heads/main", &replaced), "replaced");
}

#[test]
fn a_commit_that_the_server_does_not_have_fails_the_build() {
    let github = Repositories::new();
    github.commit("amp_mgms", &[("content", "first")]);
    let ci = github.installation();
    let record = build(&ci, "amp_mgms", "refs/heads/main", &"1".repeat(40));
    assert_eq!(record.outcome(), "failed");
    assert!(record.output().contains("is on no branch any more"), "{}", record.output());
    assert!(!record.output().contains("amp_devel.py:"), "{}", record.output());
}

#[test]
fn submodules_are_those_of_the_commit() {
    let github = Repositories::new();
    github.commit("common", &[("content", "then")]);
    github.commit("amp_mgms", &[("readme", "x")]);
    github.git("amp_mgms", &["submodule", "--quiet", "add", "../common", "common"]);
    fs::write(github.path("amp_mgms/content"), "").unwrap();
    let commit = github.commit("amp_mgms", &[]);
    github.commit("common", &[("content", "now")]);
    let ci = github.installation();
    ci.chunk("distribute_main", "echo \"submodule: $(cat amp_mgms/common/content)\"");
    let record = build(&ci, "amp_mgms", "refs/heads/main", &commit);
    assert!(record.output().contains("\nsubmodule: then\n"), "{}", record.output());
}

#[test]
fn amp_bootstrap_itself_can_be_built() {
    let github = Repositories::new();
    let commit = github.commit("amp_bootstrap", &[("content", "of bootstrap")]);
    github.commit("amp_bootstrap", &[("content", "later")]);
    let ci = github.installation();
    let record = build(&ci, "amp_bootstrap", "refs/heads/main", &commit);
    assert_built(&record, "of bootstrap");
}

#[test]
fn a_ref_full_of_shell_is_text_to_every_chunk() {
    let github = Repositories::new();
    let commit = github.commit("amp_mgms", &[("content", "first")]);
    let mut ci = github.installation();
    let packages = temp_dir();
    let trap = ci.path("trap");
    ci.set("AMP_DISTRIBUTE_TO", &packages.path().display().to_string());
    let git_ref = format!(
        "refs/heads/--upload-pack=x;touch${{IFS}}{0};$(touch${{IFS}}{0});`id`'\"/main",
        trap.display()
    );
    let record = build(&ci, "amp_mgms", &git_ref, &commit);
    assert_built(&record, "first");
    assert!(!trap.exists(), "{}", record.output());
    assert!(names(packages.path()).is_empty());
}

/// `checkout_repos` by itself, with what it finds in PATH before the system's own: a `sleep` that does not wait but
/// notes how long it was asked to, and then does what `meanwhile` says.
struct Checkout {
    dir: TempDir,
    github: Repositories,
    meanwhile: String,
}

impl Checkout {
    fn new() -> Self {
        Self { dir: temp_dir(), github: Repositories::new(), meanwhile: String::new() }
    }

    /// The exit code and all that was said.
    fn of(&self, base: &str, repository: &str, commit: &str) -> (i32, String) {
        let sleep =
            format!("#!/bin/bash\necho \"$1\" >>{}\n{}\n", self.pauses_file().display(), self.meanwhile);
        // Through another program, since the exec of a file that was just written can fail while others fork.
        let written = Command::new("bash")
            .args([
                "-c",
                "mkdir tools work && printf %s \"$1\" >tools/sleep && chmod +x tools/sleep",
                "bash",
                &sleep,
            ])
            .current_dir(self.dir.path())
            .status();
        assert!(written.unwrap().success());
        let path = format!("{}/tools:{}", self.dir.path().display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-e", "-c", ". \"$0\" 2>&1"])
            .arg(shipped_chunks().join("checkout_repos"))
            .env_clear()
            .envs([("PATH", path.as_str()), ("HOME", "/nowhere"), ("AMP_CI_GIT_BASE", base)])
            .envs([("AMP_CI_REPOSITORY", repository), ("AMP_CI_COMMIT_ID", commit)])
            .current_dir(self.dir.path().join("work"))
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn pauses_file(&self) -> PathBuf {
        self.dir.path().join("pauses")
    }

    fn pauses(&self) -> Vec<u32> {
        let pauses = fs::read_to_string(self.pauses_file()).unwrap_or_default();
        pauses.lines().map(|pause| pause.parse().unwrap()).collect()
    }
}

#[test]
fn a_forge_that_does_not_answer_is_asked_three_times_and_then_the_build_comes_again() {
    let checkout = Checkout::new();
    let commit = checkout.github.commit("amp_mgms", &[("content", "x")]);
    // Nobody listens there.
    let (code, said) = checkout.of("https://127.0.0.1:1", "amp_mgms", &commit);
    assert_eq!(code, 75, "{said}");
    assert_eq!(said.matches("Cloning into 'amp_mgms'").count(), 3, "{said}");
    let pauses = checkout.pauses();
    assert_eq!(pauses.len(), 2, "between three tries");
    assert!(pauses[0] < pauses[1], "{pauses:?}");
}

#[test]
fn a_forge_that_answers_again_meanwhile_is_enough() {
    let mut checkout = Checkout::new();
    let commit = checkout.github.commit("amp_mgms", &[("content", "x")]);
    let away = checkout.dir.path().join("away");
    let base = checkout.github.path("");
    checkout.meanwhile = format!("[ $(wc -l <../pauses) = 1 ] || mv {} {}", away.display(), base.display());
    fs::rename(&base, &away).unwrap();
    let (code, said) = checkout.of(&checkout.github.base(), "amp_mgms", &commit);
    assert_eq!(code, 0, "{said}");
    assert_eq!(checkout.pauses().len(), 2);
    assert!(checkout.dir.path().join("work/amp_mgms/content").exists());
}

#[test]
fn what_the_push_itself_got_wrong_fails_at_once() {
    let checkout = Checkout::new();
    let commit = checkout.github.commit("amp_mgms", &[("content", "x")]);
    for (repository, commit) in [("amp_nothing", commit.as_str()), ("amp_mgms", &"1".repeat(40))] {
        let other = Checkout { dir: temp_dir(), github: Repositories::new(), meanwhile: String::new() };
        let (code, said) = other.of(&checkout.github.base(), repository, commit);
        assert_eq!(code, 128, "{repository}: {said}");
        assert!(other.pauses().is_empty(), "{repository}: {said}");
    }
}

#[test]
fn an_amp_bootstrap_that_is_not_there_is_not_the_fault_of_the_push() {
    let checkout = Checkout::new();
    let commit = checkout.github.commit("amp_mgms", &[("content", "x")]);
    fs::remove_dir_all(checkout.github.path("amp_bootstrap")).unwrap();
    let (code, said) = checkout.of(&checkout.github.base(), "amp_mgms", &commit);
    assert_eq!(code, 75, "{said}");
}
