//! Who hears when a branch succeeds again, and what is on record of how it did before.

use std::fs;

use serde_json::{Value, json};

use crate::support::installation::{Installation, Push};

/// Its builds end with the exit code that is in a file.
fn installation() -> Installation {
    let mut ci = Installation::building("exit $(cat $RC)");
    let rc = ci.path("rc").display().to_string();
    ci.set("RC", &rc).set("AMP_CI_MAIL_FIXED", "yes");
    ci
}

fn push_of(who: &str, branch: &str) -> Push {
    Push::to("amp_mgms", branch).by(who, &format!("{who}@example.org"))
}

/// Builds what waits, with this exit code; the id of the newest record.
fn build(ci: &Installation, rc: u8) {
    fs::write(ci.path("rc"), rc.to_string()).unwrap();
    ci.build(1);
}

fn push(ci: &Installation, who: &str, rc: u8) -> String {
    let id = ci.push(&push_of(who, "main"));
    build(ci, rc);
    id
}

fn rerun(ci: &Installation, id: &str, rc: u8) -> String {
    let output = ci.command("build").args(["rerun", id]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    build(ci, rc);
    said.strip_prefix("queued build-").and_then(|rest| rest.split_once(": ")).expect(&said).0.to_string()
}

/// Who has got which letter, sorted by name.
fn letters(ci: &Installation) -> Vec<String> {
    let letters = ci.letters().into_iter();
    letters.map(|letter| format!("{} {}", letter.stem, letter.to.split('@').next().unwrap())).collect()
}

/// `previous_outcome` and `red_since` of a record.
fn before(ci: &Installation, id: &str) -> (Value, Value) {
    let result = &ci.records().into_iter().find(|record| record.id == id).unwrap().result;
    (result["previous_outcome"].clone(), result["red_since"].clone())
}

#[test]
fn a_branch_that_fails_twice_succeeds_is_rerun_and_succeeds_again_is_told_of_exactly_so() {
    let ci = installation();
    let broken = push(&ci, "bo", 1);
    let still = push(&ci, "cy", 1);
    let mended = push(&ci, "ana", 0);
    let again = rerun(&ci, &mended, 0);
    let later = push(&ci, "bo", 0);
    let mut expected = vec![
        format!("{broken} bo"),
        format!("{still} cy"),
        format!("{mended}.broke bo"),
        format!("{mended}.fixed ana"),
    ];
    assert_eq!(letters(&ci), expected, "{}", ci.log());
    assert_eq!(before(&ci, &broken), (Value::Null, json!(broken)));
    assert_eq!(before(&ci, &still), (json!("failed"), json!(broken)));
    assert_eq!(before(&ci, &mended), (json!("failed"), json!(broken)));
    assert_eq!(before(&ci, &again), (json!("succeeded"), Value::Null));
    assert_eq!(before(&ci, &later), (json!("succeeded"), Value::Null));

    // To run what is good again mends nothing; to run the failure again does, and one person gets one letter.
    let broken = push(&ci, "bo", 1);
    rerun(&ci, &later, 0);
    let mended = rerun(&ci, &broken, 0);
    expected.extend([format!("{broken} bo"), format!("{mended}.fixed bo")]);
    assert_eq!(letters(&ci), expected, "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn what_is_no_verdict_on_a_branch_comes_between_nothing_and_other_branches_are_others() {
    let ci = installation();
    let broken = push(&ci, "bo", 1);
    fs::rename(ci.path("scripts/checkout_repos"), ci.path("aside")).unwrap();
    let error = push(&ci, "cy", 0);
    fs::rename(ci.path("aside"), ci.path("scripts/checkout_repos")).unwrap();
    ci.push(&push_of("ana", "x/main"));
    ci.push(&push_of("ana", "main").git_ref("refs/tags/main"));
    build(&ci, 0);
    let told = letters(&ci);
    assert_eq!(told, [format!("{broken} bo"), format!("{error}.ci operator"), format!("{error} cy")]);
    assert_eq!(before(&ci, &error), (json!("failed"), Value::Null));
    let mended = push(&ci, "ana", 0);
    assert_eq!(letters(&ci)[told.len()..], [format!("{mended}.broke bo"), format!("{mended}.fixed ana")]);
}

#[test]
fn without_the_setting_nobody_hears_and_it_is_on_record_all_the_same() {
    let mut ci = installation();
    ci.set("AMP_CI_MAIL_FIXED", "");
    let told = ci.path("told").display().to_string();
    ci.set("TOLD", &told);
    ci.chunk("after", "echo $AMP_CI_OUTCOME,$AMP_CI_PREVIOUS_OUTCOME >>$TOLD");
    let broken = push(&ci, "bo", 1);
    let mended = push(&ci, "ana", 0);
    assert_eq!(letters(&ci), [format!("{broken} bo")]);
    assert_eq!(before(&ci, &mended), (json!("failed"), json!(broken)));
    assert_eq!(fs::read_to_string(told).unwrap(), "failed,\nsucceeded,failed\n");
    ci.set("AMP_CI_MAIL_FIXED", "sometimes");
    assert_eq!(ci.command("build").output().unwrap().status.code(), Some(2));
}

#[test]
fn the_broken_build_s_record_may_be_gone() {
    let ci = installation();
    let broken = push(&ci, "bo", 1);
    let still = push(&ci, "cy", 1);
    fs::remove_dir_all(ci.path("builds").join(&broken)).unwrap();
    let mended = push(&ci, "ana", 0);
    assert_eq!(letters(&ci), [format!("{broken} bo"), format!("{still} cy"), format!("{mended}.fixed ana")]);
    assert_eq!(before(&ci, &mended).1, json!(broken));
}

#[test]
fn what_is_cancelled_tells_nobody_and_breaks_or_mends_nothing() {
    let ci = installation();
    let broken = push(&ci, "bo", 1);
    let still = push(&ci, "cy", 1);
    let mended = push(&ci, "ana", 0);
    let cancelled = ci.push(&push_of("cy", "main"));
    fs::write(ci.path(&format!("queue/build-{cancelled}.cancel")), "").unwrap();
    build(&ci, 1);
    let good = push(&ci, "bo", 0);
    let outcomes: Vec<String> = ci.records().iter().map(|record| record.outcome().to_string()).collect();
    assert_eq!(outcomes, ["failed", "failed", "succeeded", "cancelled", "succeeded"], "{}", ci.log());
    let expected = [
        format!("{broken} bo"),
        format!("{still} cy"),
        format!("{mended}.broke bo"),
        format!("{mended}.fixed ana"),
    ];
    assert_eq!(letters(&ci), expected, "{}", ci.log());
    assert_eq!(before(&ci, &good), (json!("succeeded"), Value::Null));
    ci.assert_all_over();
}
