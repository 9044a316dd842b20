//! `distribute_main` as shipped: what of a build goes to AMP_DISTRIBUTE_TO, and that it never goes backwards.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push, Record},
    repositories::{Repositories, shipped_chunks},
};

/// Repositories, an installation that builds them, and the directory that their packages go to.
struct Site {
    github: Repositories,
    ci: Installation,
    destination: TempDir,
}

impl Site {
    fn new() -> Self {
        let github = Repositories::new();
        let destination = temp_dir();
        let mut ci = github.installation();
        ci.set("AMP_DISTRIBUTE_TO", &destination.path().display().to_string());
        Self { github, ci, destination }
    }

    fn push(&self, repository: &str, git_ref: &str, commit: &str) -> String {
        let mut push = Push::to(repository, "main").git_ref(git_ref);
        push.commit = commit.to_string();
        self.ci.push(&push)
    }

    /// What comes of a push.
    fn build(&self, repository: &str, git_ref: &str, commit: &str) -> Record {
        let id = self.push(repository, git_ref, commit);
        self.ci.build(1);
        self.ci.records().into_iter().find(|record| record.id == id).expect("a record")
    }

    /// What comes of a push to main of amp_mgms.
    fn main(&self, commit: &str) -> Record {
        self.build("amp_mgms", "refs/heads/main", commit)
    }

    fn commit(&self, content: &str) -> String {
        self.github.commit("amp_mgms", &[("content", content)])
    }

    /// What lies at the destination, our own room there apart.
    fn packages(&self) -> Vec<String> {
        names(self.destination.path()).into_iter().filter(|name| name != ".amp_ci").collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.destination.path().join(name)).unwrap_or_default()
    }

    /// The package of amp_mgms.
    fn distributed(&self) -> String {
        self.read("amp_mgms.tar")
    }
}

#[track_caller]
fn assert_said(record: &Record, said: &str) {
    assert_eq!(record.outcome(), "succeeded", "{}", record.output());
    assert!(record.output().contains(&format!("\n{said}")), "no '{said}' in {}", record.output());
}

#[test]
fn packages_of_main_and_master_are_distributed_and_of_nothing_else() {
    for (git_ref, distributed) in [
        ("refs/heads/main", true),
        ("refs/heads/master", true),
        ("refs/heads/feature/main", false),
        ("refs/tags/main", false),
        ("refs/heads/topic", false),
    ] {
        let site = Site::new();
        let record = site.build("amp_mgms", git_ref, &site.commit("package"));
        assert_eq!(record.outcome(), "succeeded", "{}", record.output());
        let expected: &[&str] = if distributed { &["amp_mgms.tar", "manifest.txt"] } else { &[] };
        assert_eq!(site.packages(), expected, "{git_ref}");
    }
}

#[test]
fn without_a_destination_nothing_is_distributed_and_the_build_says_so() {
    let mut site = Site::new();
    site.ci.set("AMP_DISTRIBUTE_TO", "");
    assert_said(&site.main(&site.commit("package")), "Nothing distributed: AMP_DISTRIBUTE_TO is not set");
}

#[test]
fn a_destination_that_is_not_there_fails_the_build() {
    let mut site = Site::new();
    site.ci.set("AMP_DISTRIBUTE_TO", "/nowhere/at/all");
    let record = site.main(&site.commit("package"));
    assert_eq!(record.outcome(), "failed");
    assert!(record.output().contains("/nowhere/at/all"), "{}", record.output());
}

#[test]
fn the_manifest_names_what_lies_at_the_destination_and_not_what_was_built_last() {
    let site = Site::new();
    fs::write(site.destination.path().join("by-hand.tar"), "").unwrap();
    fs::write(site.destination.path().join("notes.txt"), "").unwrap();
    assert_said(&site.main(&site.commit("one")), "Distributed 1 packages to ");
    let second = r#"#!/bin/bash
cp content "$2/b.tar"; cp content "$2/c d.tar"; echo no package >"$2/log.txt"; mkdir "$2/e.tar""#;
    let commit = site.github.commit("amp_player", &[("content", "two"), ("amp_build.py", second)]);
    assert_said(&site.build("amp_player", "refs/heads/main", &commit), "Distributed 2 packages to ");
    let expected = ["amp_mgms.tar", "b.tar", "by-hand.tar", "c d.tar", "manifest.txt", "notes.txt"];
    assert_eq!(site.packages(), expected);
    assert_eq!(site.read("manifest.txt"), "amp_mgms.tar\nb.tar\nby-hand.tar\nc d.tar\n");
}

#[test]
fn a_build_without_a_package_says_so_and_changes_nothing() {
    let site = Site::new();
    assert_said(&site.main(&site.commit("one")), "Distributed 1 packages");
    let commit = site.github.commit("amp_docs", &[("content", "x"), ("amp_build.py", "#!/bin/bash\n")]);
    let record = site.build("amp_docs", "refs/heads/main", &commit);
    assert_said(&record, "Nothing distributed: the build left no package");
    assert_eq!(site.packages(), ["amp_mgms.tar", "manifest.txt"]);
    assert_eq!(site.read("manifest.txt"), "amp_mgms.tar\n");
}

#[test]
fn builds_that_distribute_at_the_same_time_do_not_get_into_each_others_way() {
    let site = Site::new();
    let repositories: Vec<String> = (0..8).map(|number| format!("amp_{number}")).collect();
    for round in ["first", "second"] {
        for repository in &repositories {
            let commit = site.github.commit(repository, &[("content", round)]);
            site.push(repository, "refs/heads/main", &commit);
        }
        site.ci.build(8);
    }
    let records = site.ci.records();
    assert_eq!(records.len(), 16);
    for record in records {
        assert_eq!(record.outcome(), "succeeded", "{}", record.output());
    }
    let manifest: Vec<String> = repositories.iter().map(|repository| format!("{repository}.tar")).collect();
    assert_eq!(site.read("manifest.txt").lines().collect::<Vec<_>>(), manifest);
    for repository in &repositories {
        assert_eq!(site.read(&format!("{repository}.tar")), "second");
    }
    let left = names(&site.destination.path().join(".amp_ci"));
    assert!(!left.iter().any(|name| name.starts_with("new.")), "{left:?}");
}

/// The chunk by itself, in a directory with a package; its exit code and what it said.
fn by_itself(destination: &Path, path: &str) -> (i32, String) {
    let work = temp_dir();
    fs::create_dir(work.path().join("packages")).unwrap();
    fs::write(work.path().join("packages/amp_mgms.tar"), "").unwrap();
    let output = Command::new("bash")
        .args(["-e", "-c", ". \"$0\" 2>&1"])
        .arg(shipped_chunks().join("distribute_main"))
        .env_clear()
        .envs([("PATH", path), ("AMP_CI_REF", "refs/heads/main"), ("AMP_CI_REPOSITORY", "amp_mgms")])
        .envs([("AMP_CI_COMMIT_ID", "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997")])
        .env("AMP_DISTRIBUTE_TO", destination)
        .current_dir(work.path())
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_destination_that_stays_locked_puts_the_build_back_and_changes_nothing() {
    let destination = temp_dir();
    let system = std::env::var("PATH").unwrap();
    let tools = temp_dir();
    // In place of ten minutes: a flock for which they are over.
    std::os::unix::fs::symlink("/bin/false", tools.path().join("flock")).unwrap();
    let (code, said) = by_itself(destination.path(), &format!("{}:{system}", tools.path().display()));
    assert_eq!(code, 75, "{said}");
    assert!(said.contains(".amp_ci/lock"), "{said}");
    assert_eq!(names(destination.path()), [".amp_ci"]);

    let (code, said) = by_itself(destination.path(), &system);
    assert_eq!(code, 0, "{said}");
    assert_eq!(names(destination.path()), [".amp_ci", "amp_mgms.tar", "manifest.txt"]);
}

const BACKWARDS: &str = "Nothing distributed: ";

#[test]
fn an_old_push_that_comes_again_is_built_and_not_distributed() {
    let site = Site::new();
    let (old, new) = (site.commit("old"), site.commit("new"));
    let first = site.main(&old);
    assert_said(&first, "Distributed");
    assert_said(&site.main(&new), "Distributed");
    let again = site.main(&old);
    assert_said(&again, BACKWARDS);
    assert!(again.output().contains("To roll back, push a revert."), "{}", again.output());
    // Nor if somebody asks for it.
    assert!(site.ci.command("build").args(["rerun", &first.id]).output().unwrap().status.success());
    site.ci.build(1);
    assert_said(site.ci.records().last().unwrap(), BACKWARDS);
    assert_eq!(site.distributed(), "new");
    // The newest itself may come again: perhaps somebody removed what it had brought.
    fs::remove_file(site.destination.path().join("amp_mgms.tar")).unwrap();
    assert_said(&site.main(&new), "Distributed");
    assert_eq!(site.distributed(), "new");
}

#[test]
fn each_repository_has_a_history_of_its_own() {
    let site = Site::new();
    let (old, new) = (site.commit("old"), site.commit("new"));
    assert_said(&site.main(&new), "Distributed");
    let other = site.github.commit("amp_player", &[("content", "player")]);
    assert_said(&site.build("amp_player", "refs/heads/main", &other), "Distributed");
    assert_said(&site.main(&old), BACKWARDS);
}

#[test]
fn main_and_master_are_two_ways_to_one_destination() {
    let site = Site::new();
    let old = site.commit("old");
    site.github.git("amp_mgms", &["branch", "master"]);
    let new = site.commit("new");
    assert_said(&site.main(&new), "Distributed");
    assert_said(&site.build("amp_mgms", "refs/heads/master", &old), BACKWARDS);
    // What went another way is not older.
    site.github.git("amp_mgms", &["checkout", "--quiet", "master"]);
    let aside = site.commit("aside");
    assert_said(&site.build("amp_mgms", "refs/heads/master", &aside), "Distributed");
    assert_eq!(site.distributed(), "aside");
}

#[test]
fn a_revert_goes_forwards() {
    let site = Site::new();
    let good = site.commit("good");
    let bad = site.commit("bad");
    assert_said(&site.main(&good), "Distributed");
    assert_said(&site.main(&bad), "Distributed");
    site.github.git("amp_mgms", &["revert", "--no-edit", "HEAD"]);
    let revert = site.github.git("amp_mgms", &["rev-parse", "HEAD"]);
    assert_said(&site.main(&revert), "Distributed");
    assert_eq!(site.distributed(), "good");
    assert_said(&site.main(&bad), BACKWARDS);
}

#[test]
fn what_a_merge_brought_is_older_than_the_merge() {
    let site = Site::new();
    site.commit("base");
    site.github.git("amp_mgms", &["checkout", "--quiet", "-b", "topic"]);
    let topic = site.github.commit("amp_mgms", &[("content", "merged")]);
    site.github.git("amp_mgms", &["checkout", "--quiet", "main"]);
    let aside = site.github.commit("amp_mgms", &[("readme", "aside")]);
    site.github.git("amp_mgms", &["merge", "--quiet", "--no-edit", "topic"]);
    let merge = site.github.git("amp_mgms", &["rev-parse", "HEAD"]);
    assert_said(&site.main(&aside), "Distributed");
    assert_said(&site.main(&merge), "Distributed");
    assert_eq!(site.distributed(), "merged");
    assert_said(&site.main(&aside), BACKWARDS);
    assert_said(&site.main(&topic), BACKWARDS);
    assert_eq!(site.distributed(), "merged");
}

#[test]
fn a_forced_push_is_distributed_also_to_an_older_commit() {
    // What a mirror has kept of the commit that was taken away is no sign that it is still on main.
    for has_mirrors in [false, true] {
        let site = Site::new();
        if has_mirrors {
            fs::create_dir(site.ci.path("mirrors")).unwrap();
        }
        let old = site.commit("old");
        let replaced = site.commit("replaced");
        assert_said(&site.main(&replaced), "Distributed");
        site.github.git("amp_mgms", &["reset", "--quiet", "--hard", "HEAD~1"]);
        let instead = site.commit("instead");
        assert_said(&site.main(&instead), "Distributed");
        assert_eq!(site.distributed(), "instead");
        // Nor is a branch of its own, where somebody keeps it.
        site.github.git("amp_mgms", &["branch", "kept"]);
        site.github.git("amp_mgms", &["reset", "--quiet", "--hard", &old]);
        assert_said(&site.main(&old), "Distributed");
        assert_eq!(site.distributed(), "old");
        let tip = site.commit("tip");
        assert_said(&site.main(&tip), "Distributed");
        assert_said(&site.main(&old), BACKWARDS);
        assert_eq!(site.distributed(), "tip");
    }
}

#[test]
fn a_note_of_the_last_commit_that_says_nothing_stops_nothing() {
    let site = Site::new();
    assert_said(&site.main(&site.commit("one")), "Distributed");
    let note = site.destination.path().join(".amp_ci/amp_mgms.commit");
    for garbled in ["", "--upload-pack=x", "$(touch x)"] {
        fs::write(&note, garbled).unwrap();
        let commit = site.commit(garbled);
        assert_said(&site.main(&commit), "Distributed");
        assert_eq!(fs::read_to_string(&note).unwrap().trim_end(), commit);
    }
}
