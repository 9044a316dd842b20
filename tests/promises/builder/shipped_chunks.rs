//! The chunks as shipped, with real git: exactly the pushed commit is built, and only main and master go out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{
    files::{executable, names, temp_dir},
    installation::{Installation, Push, Record},
};

/// Repositories where GitHub would be, among them a small amp_bootstrap.
struct Forge(TempDir);

impl Forge {
    fn new() -> Self {
        let forge = Self(temp_dir());
        forge.commit(
            "amp_bootstrap",
            &[(
                "amp_devel.py",
                "#!/bin/bash\nset -e\necho \"amp_devel.py got: $*\"\ncd \"$AMP_ROOT/src_repos/$2\"\n\
                 echo \"content: $(cat content)\"\ncp content \"$AMP_ROOT/packages/$2.tar\"\n",
            )],
        );
        forge
    }

    fn path(&self, repository: &str) -> PathBuf {
        self.0.path().join(repository)
    }

    fn git(&self, repository: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path(repository))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args([
                "-c",
                "user.name=dev",
                "-c",
                "user.email=dev@example.org",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    }

    /// Commits the files to the repository, made on first use; the commit's hash.
    fn commit(&self, repository: &str, files: &[(&str, &str)]) -> String {
        let dir = self.path(repository);
        if !dir.exists() {
            fs::create_dir(&dir).unwrap();
            self.git(repository, &["init", "--quiet", "--initial-branch=main"]);
            // As GitHub has it.
            self.git(repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        }
        for (name, text) in files {
            executable(&dir.join(name), text);
        }
        self.git(repository, &["add", "."]);
        self.git(repository, &["commit", "--quiet", "-m", "a commit"]);
        self.git(repository, &["rev-parse", "HEAD"])
    }

    /// An installation with the shipped chunks that clones from here, as if over the network.
    fn installation(&self) -> Installation {
        let mut ci = Installation::new();
        ci.set("AMP_CI_GIT_BASE", &format!("file://{}", self.0.path().display()));
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        for chunk in names(&shipped) {
            ci.chunk(&chunk, &fs::read_to_string(shipped.join(&chunk)).unwrap());
        }
        ci
    }
}

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
    let forge = Forge::new();
    let first = forge.commit("amp_mgms", &[("content", "first")]);
    forge.commit("amp_mgms", &[("content", "second")]);
    let ci = forge.installation();
    let record = build(&ci, "amp_mgms", "refs/heads/main", &first);
    assert_built(&record, "first");
    assert!(record.output().contains("\namp_devel.py got: build amp_mgms\n"), "{}", record.output());
}

#[test]
fn a_commit_that_a_force_push_took_off_every_branch_is_fetched_by_its_hash() {
    let forge = Forge::new();
    forge.commit("amp_mgms", &[("content", "first")]);
    let replaced = forge.commit("amp_mgms", &[("content", "replaced")]);
    forge.git("amp_mgms", &["reset", "--quiet", "--hard", "HEAD~1"]);
    forge.commit("amp_mgms", &[("content", "in its place")]);
    let ci = forge.installation();
    assert_built(&build(&ci, "amp_mgms", "refs/heads/main", &replaced), "replaced");
}

#[test]
fn a_commit_that_the_server_does_not_have_fails_the_build() {
    let forge = Forge::new();
    forge.commit("amp_mgms", &[("content", "first")]);
    let ci = forge.installation();
    let record = build(&ci, "amp_mgms", "refs/heads/main", &"1".repeat(40));
    assert_eq!(record.outcome(), "failed");
    assert!(record.output().contains("is on no branch any more"), "{}", record.output());
    assert!(!record.output().contains("amp_devel.py got"), "{}", record.output());
}

#[test]
fn submodules_are_those_of_the_commit() {
    let forge = Forge::new();
    forge.commit("common", &[("content", "then")]);
    forge.commit("amp_mgms", &[("readme", "x")]);
    forge.git("amp_mgms", &["submodule", "--quiet", "add", "../common", "common"]);
    fs::write(forge.path("amp_mgms/content"), "").unwrap();
    let commit = forge.commit("amp_mgms", &[]);
    forge.commit("common", &[("content", "now")]);
    let ci = forge.installation();
    ci.chunk("distribute_main", "echo \"submodule: $(cat amp_mgms/common/content)\"");
    let record = build(&ci, "amp_mgms", "refs/heads/main", &commit);
    assert!(record.output().contains("\nsubmodule: then\n"), "{}", record.output());
}

#[test]
fn amp_bootstrap_itself_can_be_built() {
    let forge = Forge::new();
    let commit = forge.commit("amp_bootstrap", &[("content", "of bootstrap")]);
    forge.commit("amp_bootstrap", &[("content", "later")]);
    let ci = forge.installation();
    let record = build(&ci, "amp_bootstrap", "refs/heads/main", &commit);
    assert_built(&record, "of bootstrap");
}

#[test]
fn a_ref_full_of_shell_is_text_to_every_chunk() {
    let forge = Forge::new();
    let commit = forge.commit("amp_mgms", &[("content", "first")]);
    let mut ci = forge.installation();
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

#[test]
fn packages_of_main_and_master_are_distributed_whole_and_of_nothing_else() {
    let forge = Forge::new();
    let commit = forge.commit("amp_mgms", &[("content", "package")]);
    for (git_ref, distributed) in [
        ("refs/heads/main", true),
        ("refs/heads/master", true),
        ("refs/heads/feature/main", false),
        ("refs/tags/main", false),
        ("refs/heads/topic", false),
    ] {
        let mut ci = forge.installation();
        let packages = temp_dir();
        ci.set("AMP_DISTRIBUTE_TO", &packages.path().display().to_string());
        assert_built(&build(&ci, "amp_mgms", git_ref, &commit), "package");
        let expected: &[&str] = if distributed { &["amp_mgms.tar"] } else { &[] };
        assert_eq!(names(packages.path()), expected, "{git_ref}");
    }
}

#[test]
fn without_a_destination_nothing_is_distributed_and_the_build_says_so() {
    let forge = Forge::new();
    let commit = forge.commit("amp_mgms", &[("content", "package")]);
    let ci = forge.installation();
    let record = build(&ci, "amp_mgms", "refs/heads/main", &commit);
    assert_built(&record, "package");
    assert!(
        record.output().contains("\nNothing distributed: AMP_DISTRIBUTE_TO is not set"),
        "{}",
        record.output()
    );
}

#[test]
fn a_destination_that_is_not_there_fails_the_build() {
    let forge = Forge::new();
    let commit = forge.commit("amp_mgms", &[("content", "package")]);
    let mut ci = forge.installation();
    ci.set("AMP_DISTRIBUTE_TO", "/nowhere/at/all");
    let record = build(&ci, "amp_mgms", "refs/heads/main", &commit);
    assert_eq!(record.outcome(), "failed");
    assert!(record.output().contains("/nowhere/at/all"), "{}", record.output());
}
