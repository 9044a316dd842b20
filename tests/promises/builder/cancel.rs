//! A build that nobody wants any more: never begun if it waits, ended if it runs, and on record as cancelled.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::support::{
    installation::{Installation, Push},
    page::Page,
    wait::wait_until,
};

fn cancel(ci: &Installation, arguments: &[&str]) -> Output {
    ci.command("build").arg("cancel").args(arguments).env("SUDO_USER", "ana").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn result(ci: &Installation, id: &str) -> Value {
    serde_json::from_slice(&fs::read(ci.path(&format!("builds/{id}/result.json"))).unwrap()).unwrap()
}

/// Recorded so, nothing left of it, and nobody was written to.
fn assert_cancelled(ci: &Installation, id: &str) -> Value {
    let result = result(ci, id);
    assert_eq!(result["outcome"], "cancelled", "{}", ci.log());
    assert!(!ci.path(&format!("queue/build-{id}.cancel")).exists());
    assert!(ci.letters().is_empty());
    ci.assert_all_over();
    result
}

#[test]
fn what_waits_is_recorded_without_being_run_also_on_hold_and_by_hand() {
    let ci = Installation::building("touch ../../ran");
    let ids = [ci.push(&Push::to("a", "main")), ci.push(&Push::to("b", "main"))];
    fs::write(ci.path("queue/hold"), "").unwrap();
    assert_eq!(code(&cancel(&ci, &[&ids[0], "--reason", "wrong branch"])), 0);
    fs::write(ci.path(&format!("queue/build-{}.cancel", ids[1])), "").unwrap();
    ci.build(1);
    let first = assert_cancelled(&ci, &ids[0]);
    let by = first["by"].as_str().unwrap();
    assert!(by.starts_with("ana@"), "{by}");
    assert_eq!(first["reason"], format!("by {by}: wrong branch"));
    assert_eq!(first["rc"], Value::Null);
    assert_eq!(assert_cancelled(&ci, &ids[1])["reason"], "by hand");
    assert!(!ci.path("ran").exists());
    // Over already.
    assert_eq!(code(&cancel(&ci, &[&ids[0]])), 3);
    assert_eq!(code(&cancel(&ci, &["1700000000.5"])), 4);
    assert_eq!(code(&cancel(&ci, &["latest"])), 2);
}

#[test]
fn what_runs_is_ended_with_all_it_started_and_its_branch_goes_on() {
    let mut ci = Installation::building(
        "[ -e ../../go ] || { setsid sleep 7177.5 & touch ../../at-work; sleep 7177.5; }",
    );
    for launched in [false, true] {
        let _ = fs::remove_file(ci.path("at-work"));
        let _ = fs::remove_file(ci.path("go"));
        if launched {
            ci.set("AMP_CI_LAUNCHER", "env");
        }
        let id = ci.push(&Push::to("amp_mgms", "main"));
        let next = ci.push(&Push { commit: "b".repeat(40), ..Push::to("amp_mgms", "main") });
        let mut build = ci.start_build(1);
        ci.wait_at("work");
        fs::write(ci.path("go"), "").unwrap();
        assert_eq!(code(&cancel(&ci, &["amp_mgms@main"])), 2, "two of it wait or run");
        assert_eq!(code(&cancel(&ci, &[&id])), 0);
        assert_eq!(build.wait(), 0);
        let result = assert_cancelled(&ci, &id);
        assert_eq!(result["rc"], if launched { Value::Null } else { json!(-15) }, "{}", ci.log());
        assert_eq!(self::result(&ci, &next)["outcome"], "succeeded", "{}", ci.log());
    }
}

#[test]
fn what_was_cancelled_before_a_crash_is_cancelled_after_it_and_a_word_for_nothing_goes() {
    let ci = Installation::building("touch ../../at-work; sleep 7177.6");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("work");
    build.signal("KILL");
    build.wait();
    assert_eq!(code(&cancel(&ci, &[&id])), 0);
    assert_eq!(code(&cancel(&ci, &[&id])), 0, "twice does no harm");
    let of_nothing = ci.path("queue/build-1700000000.5.cancel");
    fs::write(&of_nothing, "").unwrap();
    ci.build(1);
    assert_eq!(assert_cancelled(&ci, &id)["attempts"], 1);
    assert!(!of_nothing.exists() && ci.log().contains("no build of that name waits or runs"), "{}", ci.log());
}

#[test]
fn who_cancels_since_when_and_why_is_shown_by_every_face_until_it_is_done() {
    let ci = Installation::building("sleep 7177.7");
    let runs = ci.push(&Push::to("a", "main"));
    let waits = ci.push(&Push::to("b", "main"));
    let mut build = ci.start_build(1);
    wait_until("the first runs", || ci.path(&format!("queue/build-{runs}.lock")).exists());
    // Nobody acts on it meanwhile.
    build.signal("STOP");
    for id in [&runs, &waits] {
        assert_eq!(code(&cancel(&ci, &[id, "--reason", "<b>no</b>"])), 0);
    }
    let status = ci.command("build").args(["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    for list in ["running", "waiting"] {
        let cancel = &status[list][0]["cancel"];
        assert_eq!(cancel["reason"], "<b>no</b>", "{list}");
        assert!(
            cancel["by"].as_str().unwrap().starts_with("ana@") && cancel["since"].is_string(),
            "{list}: {cancel}"
        );
    }
    let shown = ci.command("build").arg("status").output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("is being cancelled, by ana@"), "{shown}");
    assert!(shown.contains("is to be cancelled, by ana@"), "{shown}");
    let page = Page::of(&ci);
    for path in ["/".to_string(), format!("/builds/{runs}"), format!("/builds/{waits}")] {
        let text = page.text(&path);
        assert!(text.contains("by ana@") && text.contains("&#60;b&#62;no"), "{path}: {text}");
    }
    build.signal("CONT");
    assert_eq!(build.wait(), 0);
    assert!(!page.text("/").contains("by ana@"));
}

#[test]
fn one_that_pauses_can_be_cancelled() {
    let ci = Installation::building("exit 75");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    assert!(ci.path(&format!("queue/build-{id}.retry")).exists());
    assert_eq!(code(&cancel(&ci, &[&id])), 0);
    ci.build(1);
    assert_cancelled(&ci, &id);
    assert!(!ci.path(&format!("queue/build-{id}.retry")).exists());
}

#[test]
fn a_drain_at_work_obeys_at_once() {
    let ci = Installation::building("until [ -e ../../go ]; do sleep 0.01; done");
    ci.push(&Push::to("a", "main"));
    let waiting = ci.push(&Push::to("b", "main"));
    let mut build = ci.start_build(1);
    wait_until("the first runs", || ci.entries().iter().any(|name| name.ends_with(".lock")));
    assert_eq!(code(&cancel(&ci, &["b"])), 0);
    wait_until("the other is cancelled", || ci.path(&format!("builds/{waiting}/result.json")).exists());
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0);
    assert_cancelled(&ci, &waiting);
}

/// Of one that has ended as it would have: there is nothing to cancel, and a word for it goes.
fn assert_over(ci: &Installation, id: &str) {
    let output = cancel(ci, &[id]);
    assert_eq!(code(&output), 3);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is over already: failed"), "{said}");
    fs::write(ci.path(&format!("queue/build-{id}.cancel")), "").unwrap();
}

#[test]
fn what_is_being_recorded_is_over_and_stays_what_it_is() {
    // Its result is on record, and the letter about it has no place.
    let ci = Installation::building("rm -rf ../../outbox; touch ../../outbox; exit 3");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build_to_its_end(1);
    assert_eq!(ci.entries(), [format!("build-{id}.lock")], "{}", ci.log());
    assert_eq!(result(&ci, &id)["outcome"], "failed");
    assert_over(&ci, &id);
    fs::remove_file(ci.path("outbox")).unwrap();
    ci.build(1);
    assert_eq!(result(&ci, &id)["outcome"], "failed", "{}", ci.log());
    assert!(!ci.path(&format!("queue/build-{id}.cancel")).exists());
    assert!(ci.letters().iter().any(|letter| letter.stem == id), "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn what_is_over_but_for_its_letter_is_over_and_the_letter_is_sent() {
    let mut ci = Installation::building("exit 3");
    let mail = format!("file://{}/mail", ci.home().display());
    ci.set("AMP_CI_SMTP_URL", &format!("{mail}-that-is-not-there/at-all"));
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build_to_its_end(1);
    let letter = ci.path(&format!("outbox/{id}.eml"));
    assert!(letter.exists(), "{}", ci.log());
    assert_over(&ci, &id);
    ci.set("AMP_CI_SMTP_URL", &mail);
    ci.touch_outbox();
    ci.build(1);
    assert!(!ci.path(&format!("queue/build-{id}.cancel")).exists());
    assert_eq!(result(&ci, &id)["outcome"], "failed", "{}", ci.log());
    assert!(ci.letters().iter().any(|letter| letter.stem == id), "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn what_the_engine_does_not_let_go_of_is_said_without_its_secrets() {
    let mut ci = Installation::building("touch ../../at-work; sleep 7177.8");
    fs::write(ci.path("canceller"), "echo \"no job for $SITE_TOKEN\"; exit 7").unwrap();
    let canceller = format!("bash {}/canceller {{name}}", ci.home().display());
    ci.set("AMP_CI_LAUNCHER", "env").set("AMP_CI_LAUNCHER_CANCEL", &canceller);
    ci.set("SITE_TOKEN", "tk_0123456789");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("work");
    assert_eq!(code(&cancel(&ci, &[&id])), 0);
    assert_eq!(build.wait(), 0, "{}", ci.log());
    let result = result(&ci, &id);
    assert_eq!(result["outcome"], "cancelled", "{}", ci.log());
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.contains("could not be taken away") && reason.ends_with("no job for ***"), "{reason}");
    let letter = ci.letter();
    assert_eq!(letter.to, "operator@example.org");
    assert!(letter.text.contains("no job for ***"), "{}", letter.text);
    for text in [reason, &letter.raw, &ci.log()] {
        assert!(!text.contains("tk_0123456789"), "{text}");
    }
    ci.assert_all_over();
}
