//! `build rerun`, `queue`, `hold` and `unhold`: each stores a file, and says so by its exit code.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    files::names,
    installation::{COMMIT, Installation, Push},
    repositories::Repositories,
    wait::wait_until,
};

/// Exit code, and all that was said.
fn verb(ci: &Installation, arguments: &[&str]) -> (i32, String) {
    let output = ci.command("build").args(arguments).env("SUDO_USER", "ana").output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

/// The id that a verb says it has queued.
fn queued(ci: &Installation, arguments: &[&str]) -> String {
    let (code, said) = verb(ci, arguments);
    assert_eq!(code, 0, "{said}");
    let id = said.strip_prefix("queued build-").and_then(|rest| rest.split_once(": ")).expect(&said).0;
    id.to_string()
}

fn entry(ci: &Installation, id: &str) -> Value {
    let path = ci.path(&format!("queue/build-{id}"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn ana() -> String {
    format!("ana@{}", rustix::system::uname().nodename().to_str().unwrap())
}

#[test]
fn rerun_asks_for_the_same_once_more_and_says_whose_it_is_and_who_asked() {
    let ci = Installation::building("exit 3");
    let id = ci.push(&Push::to("amp_mgms", "main").by("Bo", "bo@example.org"));
    ci.build(1);
    let first = queued(&ci, &["rerun", "latest"]);
    let mut expected: Value =
        serde_json::from_str(&Push::to("amp_mgms", "main").by("Bo", "bo@example.org").json()).unwrap();
    expected["amp_ci"] = json!({"why": "rerun", "rerun_of": id, "by": ana()});
    assert_eq!(entry(&ci, &first), expected);
    ci.build(1);
    let shown = verb(&ci, &["status", &first]).1;
    assert!(shown.contains(&format!("rerun of      {id}")) && shown.contains(&ana()), "{shown}");

    // Of a rerun: still the push that it was about.
    let second = queued(&ci, &["rerun", "amp_mgms@main"]);
    assert_eq!(entry(&ci, &second), expected);
    ci.build(1);
    let letters = ci.letters();
    assert_eq!(letters.iter().map(|letter| letter.stem.as_str()).collect::<Vec<_>>(), [&id, &first, &second]);
    assert!(letters.iter().all(|letter| letter.to == "bo@example.org"));
    ci.assert_all_over();
}

#[test]
fn a_running_drain_builds_what_is_rerun_at_once() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk("build_packages", &format!("[ $AMP_CI_BRANCH = main ] || {{ {}; }}", ci.stop_at("other")));
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    ci.push(&Push::to("amp_mgms", "other"));
    let mut build = ci.start_build(2);
    ci.wait_at("other");
    let again = queued(&ci, &["rerun", &id]);
    wait_until("it is built", || ci.records().iter().any(|record| record.id == again));
    ci.let_go("other");
    assert_eq!(build.wait(), 0);
}

#[test]
fn what_cannot_be_rerun_says_why_and_stores_nothing() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let (code, said) = verb(&ci, &["rerun", &id]);
    assert_eq!((code, said.contains("still waits")), (3, true), "{said}");
    ci.build(1);
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(verb(&ci, &["rerun", "amp_mgms"]).0, 3, "its latest waits");
    ci.build(1);
    for (word, code) in [("1.5", 4), ("nobody@main", 4), ("1", 4), ("", 4)] {
        assert_eq!(verb(&ci, &["rerun", word]).0, code, "{word}");
    }
    for arguments in
        [&["rerun"][..], &["rerun", &id, &id], &["rerun", &id, "--threads", "2"], &["hold", "--x"]]
    {
        assert_eq!(verb(&ci, arguments).0, 2, "{arguments:?}");
    }
    for fraction in ["1", "2"] {
        fs::create_dir(ci.path(&format!("builds/7.{fraction}"))).unwrap();
    }
    let (code, said) = verb(&ci, &["rerun", "7"]);
    assert_eq!((code, said.contains("7.1 or 7.2")), (2, true), "{said}");
    let (code, said) = verb(&ci, &["rerun", "7.1"]);
    assert_eq!(
        (code, said.contains("7.1 cannot be built again, its request is not on record")),
        (1, true),
        "{said}"
    );
    fs::write(ci.path("builds/7.1/request.json"), r#"{"repository": "../x"}"#).unwrap();
    let (code, said) = verb(&ci, &["rerun", "7.1"]);
    assert_eq!((code, said.contains("'../x' is not a repository name")), (1, true), "{said}");
    assert_eq!(ci.entries(), [""; 0]);
}

#[test]
fn queue_asks_for_the_tip_of_a_branch_in_the_name_of_whoever_asks() {
    let repositories = Repositories::new();
    let first = repositories.commit("amp_mgms", &[("content", "1")]);
    repositories.git("amp_mgms", &["branch", "dev/a@b"]);
    repositories.git("amp_mgms", &["tag", "-a", "-m", "words", "v1"]);
    let second = repositories.commit("amp_mgms", &[("content", "2")]);
    let ci = repositories.installation();
    for (what, git_ref, commit) in [
        ("amp_mgms", "refs/heads/main", &second),
        ("amp_mgms@main", "refs/heads/main", &second),
        ("amp_mgms@dev/a@b", "refs/heads/dev/a@b", &first),
        ("amp_mgms@refs/tags/v1", "refs/tags/v1", &first),
    ] {
        let id = queued(&ci, &["queue", what]);
        let expected = json!({
            "repository": "amp_mgms", "ref": git_ref, "commit_id": commit, "committer_name": "ana",
            "committer_email": "", "amp_ci": {"why": "queue", "rerun_of": null, "by": ana()},
        });
        assert_eq!(entry(&ci, &id), expected, "{what}");
    }
    for (what, code, words) in [
        ("amp_mgms@nosuch", 4, "amp_mgms has no refs/heads/nosuch"),
        ("nosuch", 1, "nosuch could not be asked for its branches"),
        ("../x", 2, "is not a repository name"),
        ("amp_mgms@a..b", 2, "is not"),
        ("amp_mgms@", 2, "is not"),
    ] {
        let (found, said) = verb(&ci, &["queue", what]);
        assert_eq!((found, said.contains(words)), (code, true), "{what}: {said}");
    }
    repositories.git("amp_mgms", &["checkout", "--quiet", "--detach"]);
    let (code, said) = verb(&ci, &["queue", "amp_mgms"]);
    assert_eq!((code, said.contains("amp_mgms@BRANCH")), (4, true), "{said}");
    assert_eq!(ci.entries().len(), 4);
    ci.build(1);
    // Twice the same that waits is built once.
    let outcomes: Vec<_> = ci.records().iter().map(|record| record.outcome().to_string()).collect();
    assert_eq!(outcomes, ["succeeded", "superseded", "succeeded", "succeeded"], "{}", ci.log());
}

#[test]
fn hold_says_who_holds_since_when_and_why_until_unhold() {
    let ci = Installation::building("true");
    let (code, said) = verb(&ci, &["hold", "the disk", "is\nswapped"]);
    assert_eq!(code, 0, "{said}");
    let file = ci.path("queue/hold");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with(&format!("{}, 20", ana())) && text.ends_with("Z: the disk is\\nswapped\n"),
        "{text}"
    );
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
    ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    assert_eq!((ci.entries().len(), ci.records().len()), (1, 0), "nothing is begun");
    let shown = verb(&ci, &["status"]).1;
    assert!(shown.contains("held since") && shown.contains(text.trim()), "{shown}");

    let (code, said) = verb(&ci, &["hold", "for fun"]);
    assert_eq!((code, said.contains(text.trim())), (3, true), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "it is not replaced");
    assert_eq!(verb(&ci, &["unhold"]), (0, "what waits is built again\n".to_string()));
    assert_eq!(verb(&ci, &["unhold"]), (0, "nothing held the queue\n".to_string()));
    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded");

    fs::write(&file, "").unwrap();
    let (code, said) = verb(&ci, &["hold"]);
    assert_eq!((code, said.contains("somebody who does not say why")), (3, true), "{said}");
    assert_eq!(verb(&ci, &["unhold"]).0, 0);
    let hidden = names(&ci.path("queue")).into_iter().filter(|name| name.starts_with(".new-"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_running_drain_heeds_hold_and_unhold_at_once() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk("build_packages", &format!("[ $AMP_CI_BRANCH = next ] || {{ {}; }}", ci.stop_at("first")));
    ci.push(&Push::to("amp_mgms", "first"));
    let mut build = ci.start_build(2);
    ci.wait_at("first");
    assert_eq!(verb(&ci, &["hold"]).0, 0);
    let held = ci.push(&Push::to("amp_mgms", "next"));
    ci.let_go("first");
    assert_eq!(build.wait(), 0);
    assert_eq!(ci.entries(), [format!("build-{held}")], "what ran has ended, and nothing was begun");
    assert_eq!(ci.record().request["commit_id"], COMMIT);
    verb(&ci, &["unhold"]);
    ci.build(1);
    assert_eq!(ci.records().len(), 2);
}

#[test]
fn at_a_terminal_hold_says_which() {
    let ci = Installation::building("true");
    let build = ci.command("build");
    let home = ci.home().display();
    let line = format!("{} --home {home} hold tea", build.get_program().to_str().unwrap());
    let script = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
    assert!(script.status.success(), "{script:?}");
    let text = fs::read_to_string(ci.path("queue/hold")).unwrap();
    assert!(text.contains(" at /dev/pts/") && text.ends_with(": tea\n"), "{text}");
}

#[test]
fn where_nothing_can_be_stored_each_says_so() {
    let ci = Installation::building("true");
    fs::remove_dir(ci.path("queue")).unwrap();
    fs::write(ci.path("queue"), "in the way").unwrap();
    fs::set_permissions(ci.path("queue"), fs::Permissions::from_mode(0o600)).unwrap();
    for arguments in [&["hold"][..], &["unhold"]] {
        let (code, said) = verb(&ci, arguments);
        assert_eq!((code, said.contains("queue")), (1, true), "{said}");
    }
    assert_eq!(verb(&ci, &["rerun", "latest"]).0, 5);
}
