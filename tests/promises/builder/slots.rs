//! The drain: one entry per free slot, the oldest that may run; one of a lane at a time; woken at once.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{
    files::names,
    installation::{Installation, Push},
    process::{Running, wait_for_name},
    wait::wait_until,
};

/// A chunk for several builds: each is at the place of its committer's name.
fn stopping() -> Installation {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("$AMP_CI_COMMITTER_NAME"));
    ci
}

fn push(ci: &Installation, repository: &str, branch: &str, place: &str) -> String {
    ci.push(&Push::to(repository, branch).by(place, ""))
}

fn is_at(ci: &Installation, place: &str) -> bool {
    ci.path(&format!("at-{place}")).exists()
}

#[test]
fn a_free_slot_claims_one_entry_the_oldest_that_may_run() {
    let ci = stopping();
    let ids: Vec<String> = ["a", "b", "c", "d"].iter().map(|name| push(&ci, name, "main", name)).collect();
    let mut build = ci.start_build(2);
    ci.wait_at("a").wait_at("b");
    let names = |locked: [bool; 4]| -> Vec<String> {
        let lock = |locked| if locked { ".lock" } else { "" };
        ids.iter().zip(locked).map(|(id, locked)| format!("build-{id}{}", lock(locked))).collect()
    };
    assert_eq!(ci.entries(), names([true, true, false, false]));
    ci.let_go("b").wait_at("c");
    assert!(!is_at(&ci, "d"));
    for place in ["a", "c", "d"] {
        ci.let_go(place);
    }
    assert_eq!(build.wait(), 0);
    assert_eq!(ci.records().len(), 4);
}

#[test]
fn builds_of_one_repository_and_last_ref_segment_run_one_at_a_time_and_in_order() {
    let ci = stopping();
    push(&ci, "a", "main", "1");
    push(&ci, "a", "master", "2");
    push(&ci, "a", "feature/main", "3");
    ci.push(&Push::to("a", "").git_ref("refs/tags/main").by("4", ""));
    for (place, repository, branch) in [("5", "a", "dev"), ("6", "b", "main"), ("7", "A", "main")] {
        push(&ci, repository, branch, place);
    }
    let mut build = ci.start_build(7);
    // Everything that may run beside the first does, though it came later.
    ci.wait_at("1").wait_at("5").wait_at("6").wait_at("7");
    for (over, next) in [("1", "2"), ("2", "3"), ("3", "4")] {
        assert!(!is_at(&ci, next), "{next} while {over} runs");
        ci.let_go(over).wait_at(next);
    }
    for place in ["4", "5", "6", "7"] {
        ci.let_go(place);
    }
    assert_eq!(build.wait(), 0);
    assert!(ci.records().iter().all(|record| record.outcome() == "succeeded"));
}

#[test]
fn a_push_while_build_runs_is_taken_at_once() {
    let ci = stopping();
    push(&ci, "a", "main", "first");
    let mut build = ci.start_build(2);
    ci.wait_at("first");
    push(&ci, "b", "main", "second");
    ci.wait_at("second").let_go("second");
    // An entry put there by hand, in place, is one too.
    fs::write(ci.path("queue/build-5.5"), Push::to("c", "main").by("third", "").json()).unwrap();
    ci.wait_at("third").let_go("third").let_go("first");
    assert_eq!(build.wait(), 0);
    assert_eq!(ci.records().len(), 3);
}

#[test]
fn a_second_build_leaves_at_once_and_silently() {
    let ci = stopping();
    push(&ci, "a", "main", "first");
    let mut build = ci.start_build(1);
    ci.wait_at("first");
    let lock = fs::read_to_string(ci.path("queue/lock")).unwrap();
    assert_eq!(lock, format!("{}\n", build.pid()));
    wait_until("all that is said at its beginning is said", || ci.log().contains("runs as"));
    let log = ci.log();
    // It says nothing: `build_with` sees to that.
    assert_eq!(ci.build_with(&["--threads", "9"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(ci.path("queue/lock")).unwrap(), lock);
    assert_eq!(ci.log(), log);

    fs::remove_file(ci.path("queue/lock")).unwrap();
    push(&ci, "b", "main", "second");
    assert_eq!(ci.build_with(&[]).status.code(), Some(0), "the file is for people only");
    assert!(!is_at(&ci, "second"));
    ci.let_go("first").let_go("second");
    assert_eq!(build.wait(), 0);
    assert_eq!(names(&ci.path("queue")), [".drain", ".id", ".last", "drain.json"]);
}

#[test]
fn beside_a_living_build_py_build_refuses_and_touches_nothing() {
    let ci = Installation::building("true");
    ci.push(&Push::to("r", "main"));
    fs::write(ci.path("build.py"), "read until_killed").unwrap();
    let original = Running::start(Command::new("/bin/sh").arg(ci.path("build.py")).stdin(Stdio::piped()));
    wait_for_name(original.pid(), "build.py");
    fs::write(ci.path("queue/lock"), format!("{}\n", original.pid())).unwrap();
    let before = (names(ci.home()), names(&ci.path("queue")));
    let output = ci.command("build").output().unwrap();
    let after = (names(ci.home()), names(&ci.path("queue")));
    drop(original);

    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("build: queue/lock names process") && said.contains("build.py"), "{said}");
    assert_eq!(after, before);

    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded", "the number of a dead one harms nothing");
}

#[test]
fn many_small_builds_are_all_built_once() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &format!("echo \"$AMP_CI_BUILD_ID\" >>{}/built", ci.home().display()));
    let mut ids: Vec<String> = (0..40)
        .map(|number| ci.push(&Push::to(&format!("r{}", number % 7), &format!("b{}", number % 3))))
        .collect();
    let mut running = ci.start_build(4);
    ids.extend((0..20).map(|number| ci.push(&Push::to(&format!("r{}", number % 5), "main"))));
    assert_eq!(running.wait(), 0);
    ci.build(4);
    let text = fs::read_to_string(ci.path("built")).unwrap();
    let mut each: Vec<&str> = text.lines().collect();
    each.sort_unstable();
    ids.sort_unstable();
    assert_eq!(each, ids);
    assert!(names(&ci.path("work")).is_empty(), "no workspace is left");
}
