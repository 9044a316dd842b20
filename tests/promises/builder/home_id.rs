//! A home is known by an id of its own: it stays the same wherever the home is moved, and a copy has another.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::Command,
};

use crate::support::{
    files::{names, pid_in},
    installation::{Installation, Push},
    process::{Running, lives},
    wait::wait_until,
};

/// An installation whose home can be moved; what else it needs lies outside.
fn movable(build_packages: &str) -> Installation {
    let ci = Installation::new();
    fs::create_dir(ci.path("a")).unwrap();
    for dir in ["queue", "scripts"] {
        fs::rename(ci.path(dir), ci.path("a").join(dir)).unwrap();
    }
    fs::write(ci.path("a/scripts/checkout_repos"), "true").unwrap();
    fs::write(ci.path("a/scripts/build_packages"), build_packages).unwrap();
    ci
}

fn push(ci: &Installation) {
    fs::write(ci.path("a/queue/build-1800000000.5"), Push::to("r", "main").json()).unwrap();
}

fn build(ci: &Installation, home: &Path) -> Running {
    Running::start(ci.command("build").env("AMP_CI_HOME", home))
}

fn outcome(home: &Path) -> String {
    fs::read_to_string(home.join("builds/1800000000.5/result.json")).unwrap_or_default()
}

#[test]
fn in_a_home_that_was_moved_or_is_reached_by_a_link_what_a_dead_build_left_is_ended_and_removed() {
    for by_link in [false, true] {
        let ci = movable("");
        let here = ci.home().display().to_string();
        let dies = format!(
            "[ -e {here}/pid ] || {{{{ (setsid bash -c 'echo $$ > {here}/new; mv {here}/new {here}/pid; exec -a {here}/left sleep 1000' &)\n\
             until [ -e {here}/pid ]; do sleep 0.01; done; kill -9 $PPID; sleep 1000; }}}}"
        );
        fs::write(ci.path("a/scripts/build_packages"), dies).unwrap();
        push(&ci);
        assert_eq!(build(&ci, &ci.path("a")).wait(), -9);
        let left = pid_in(&ci.path("pid"));
        assert!(lives(left));
        assert_eq!(names(&ci.path("work")).len(), 1);
        fs::rename(ci.path("a"), ci.path("b")).unwrap();
        if by_link {
            symlink("b", ci.path("c")).unwrap();
        }
        let home = ci.path(if by_link { "c" } else { "b" });
        assert_eq!(build(&ci, &home).wait(), 0);
        assert!(!lives(left));
        assert_eq!(names(&ci.path("work")), [""; 0]);
        assert!(outcome(&home).contains("succeeded"), "{}", outcome(&home));
    }
}

#[test]
fn a_copied_home_leaves_the_original_s_processes_and_workspaces_alone() {
    let ci = movable("");
    let here = ci.home().display().to_string();
    let waits = format!(
        "touch mine; (sleep 1000 & echo $! > {here}/new; mv {here}/new {here}/pid); until [ -e {here}/go ]; do sleep 0.01; done; [ -e mine ]; kill $(cat {here}/pid)"
    );
    fs::write(ci.path("a/scripts/build_packages"), waits).unwrap();
    push(&ci);
    let mut original = build(&ci, &ci.path("a"));
    let child = pid_in(&ci.path("pid"));
    assert!(Command::new("cp").arg("-a").args([ci.path("a"), ci.path("b")]).status().unwrap().success());
    fs::write(ci.path("b/scripts/build_packages"), "true").unwrap();
    // What the copy takes for a dead build's is the same entry.
    assert_eq!(build(&ci, &ci.path("b")).wait(), 0);
    assert!(outcome(&ci.path("b")).contains("succeeded"));
    assert!(lives(child), "{}", fs::read_to_string(ci.path("b/build.log")).unwrap());
    assert_eq!(names(&ci.path("work")).len(), 1, "only the original's");
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(original.wait(), 0);
    assert!(outcome(&ci.path("a")).contains("succeeded"), "{}", outcome(&ci.path("a")));
    wait_until("the child is gone", || !lives(child));

    // Each keeps its own from here on.
    let id = |home: &str| fs::read_to_string(ci.path(home).join("queue/.id")).unwrap();
    let (a, b) = (id("a"), id("b"));
    assert_ne!(a[..8], b[..8]);
    for home in ["a", "b"] {
        assert_eq!(build(&ci, &ci.path(home)).wait(), 0);
        let inode = ci.path(home).join("queue/.id").metadata().unwrap().ino();
        assert!(id(home).trim_end().ends_with(&inode.to_string()));
    }
    assert_eq!((id("a"), id("b")), (a, b));
}

#[test]
fn whatever_stands_in_the_place_of_the_id_a_home_is_known_by_its_path_and_builds() {
    for put in
        ["mkdir .id; touch .id/x", "mkfifo .id", "ln -s .id .id", "ln -s nowhere .id", "echo garbage > .id"]
    {
        let ci = Installation::building("true");
        ci.push(&Push::to("r", "main"));
        let status = Command::new("sh").args(["-c", put]).current_dir(ci.path("queue")).status();
        assert!(status.unwrap().success());
        ci.build(1);
        assert_eq!(ci.record().outcome(), "succeeded", "{put}");
        ci.assert_all_over();
    }
}
