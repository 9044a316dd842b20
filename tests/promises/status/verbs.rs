//! `build status`, `build log` and `build wait` on builds that run.

use std::process::{Command, Output, Stdio};

use crate::support::{
    installation::{Installation, Push},
    process::Running,
    wait::until,
};

/// Runs a verb; nothing is read from environment.sh, and no setting is there.
fn verb(ci: &Installation, arguments: &[&str]) -> Output {
    ci.command("build").args(arguments).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wait_and_log_follow_a_build_to_its_end_and_exit_as_it_came_out() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk("build_packages", &format!("echo first line\n{}\necho last line\nexit 3", ci.stop_at("middle")));
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let start = |arguments: &[&str]| {
        let mut command = ci.command("build");
        Running::start(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()))
    };
    // Both are there before the build begins.
    let mut wait = start(&["wait", "amp_mgms@main"]);
    let follow = ci.command("build").args(["log", &id, "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut build = ci.start_build(1);
    ci.wait_at("middle");
    until("the first line is shown", || {
        stdout(&verb(&ci, &["log", "latest"])).contains("first line").then_some(())
    });
    assert_eq!(wait.is_over(), None);
    let shown = stdout(&verb(&ci, &["status"]));
    assert!(shown.contains("Running") && shown.contains("amp_mgms main"), "{shown}");
    ci.let_go("middle");
    assert_eq!(wait.wait(), 1);
    let followed = follow.wait_with_output().unwrap();
    assert_eq!(code(&followed), Some(1));
    build.wait();
    assert_eq!(stdout(&followed), ci.record().output(), "each byte, in order, once");
    assert_eq!(stdout(&verb(&ci, &["log", &id, "--lines", "1"])).lines().count(), 1);
    let shown = stdout(&verb(&ci, &["status", &id]));
    assert!(shown.contains("failed (rc 3)") && shown.contains("refs/heads/main"), "{shown}");
}

#[test]
fn builds_are_named_by_id_entry_latest_repository_and_branch() {
    let ci = Installation::building("true");
    ci.push(&Push::to("a", "main"));
    ci.push(&Push::to("b", "main"));
    ci.push(&Push::to("b", "x").git_ref("refs/tags/v1"));
    ci.build(1);
    // One that waits counts too.
    ci.entry("1.5", &Push::to("c", "a@b").json());
    ci.entry("1.6", &Push::to("d", "main").json());
    let ids: Vec<String> = ci.records().into_iter().map(|record| record.id).collect();
    let [first, second, third] = &ids[..] else { panic!("{ids:?}") };
    let named = |word: &str| {
        let output = verb(&ci, &["status", word, "--json"]);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        document["build"]["id"].as_str().map(str::to_string)
    };
    for (word, id) in [
        (first.as_str(), first.as_str()),
        (&format!("build-{second}"), second),
        ("latest", third),
        ("a", first),
        ("b", third),
        ("b@main", second),
        ("b@refs/tags/v1", third),
        ("c@a@b", "1.5"),
        ("build-1.6", "1.6"),
    ] {
        assert_eq!(named(word).as_deref(), Some(id), "{word}");
    }
    let several = verb(&ci, &["wait", "1"]);
    assert_eq!(code(&several), Some(2));
    assert!(stderr(&several).contains("1.5 or 1.6"), "{}", stderr(&several));
    for unknown in ["b@v1", "nobody", "1795346032.1", "build-", "", "..", "a@"] {
        assert_eq!(code(&verb(&ci, &["wait", unknown])), Some(4), "{unknown}");
    }
}

#[test]
fn wait_tells_every_end_by_its_exit_code() {
    let ci = Installation::building("true");
    let result = |id: &str, outcome: &str| {
        let dir = ci.path("builds").join(id);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("request.json"), Push::to("a", "main").json()).unwrap();
        let result = serde_json::json!({"outcome": outcome, "rc": null, "reason": null, "started": "2026-11-22T11:14:05Z",
            "finished": "2026-11-22T11:14:05Z", "seconds": 0.1, "attempts": 1, "host": "h"});
        std::fs::write(dir.join("result.json"), result.to_string()).unwrap();
    };
    for (id, outcome, expected) in [
        ("1.1", "succeeded", 0),
        ("2.1", "failed", 1),
        ("3.1", "timed_out", 1),
        ("4.1", "error", 1),
        ("5.1", "cancelled", 3),
        ("6.1", "superseded", 3),
        ("7.1", "skipped", 3),
        ("8.1", "abducted", 5),
    ] {
        result(id, outcome);
        assert_eq!(code(&verb(&ci, &["wait", id])), Some(expected), "{outcome}");
    }
    std::fs::create_dir_all(ci.path("queue/bad")).unwrap();
    std::fs::write(ci.path("queue/bad/build-9.1"), "").unwrap();
    assert_eq!(code(&verb(&ci, &["wait", "9.1"])), Some(5));
}

#[test]
fn a_word_that_is_no_verb_is_an_error_and_never_drains() {
    let ci = Installation::building("true");
    ci.push(&Push::to("a", "main"));
    for words in [&["stauts"][..], &["latest"], &["status", "a", "b"], &["log"], &["wait"]] {
        assert_eq!(code(&verb(&ci, words)), Some(2), "{words:?}");
    }
    assert_eq!(ci.records().len(), 0);
    assert_eq!(ci.entries().len(), 1);
}

#[test]
fn colours_are_for_those_who_see_them_and_a_reader_who_leaves_is_no_error() {
    let ci = Installation::building("true");
    ci.push(&Push::to("a", "main"));
    ci.build(1);
    let forced = ci.command("build").arg("status").env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(stdout(&forced).contains("\x1b["));
    assert!(!stdout(&verb(&ci, &["status"])).contains('\x1b'));
    let build = ci.command("build").get_program().to_owned();
    let mut left = Command::new("bash");
    left.args(["-c", "set -o pipefail; \"$0\" --home \"$1\" log latest | true; exit ${PIPESTATUS[0]}"])
        .arg(build)
        .arg(ci.home());
    assert_eq!(left.env("PATH", "/usr/bin:/bin").status().unwrap().code(), Some(0));
}
