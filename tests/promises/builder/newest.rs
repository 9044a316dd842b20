//! A delivery that came twice is built once; and where the newest push wins, what it supersedes is on record and not built.

use std::{collections::BTreeMap, fs};

use crate::support::installation::{Installation, Push};

fn push(branch: &str, commit: usize) -> Push {
    Push { commit: format!("{commit:040x}"), ..Push::to("amp_mgms", branch) }
}

/// Commit and outcome of all, oldest first.
fn outcomes(ci: &Installation) -> Vec<(String, String, String)> {
    let text =
        |value: &serde_json::Value| value.as_str().unwrap_or_default().trim_start_matches('0').to_string();
    ci.records()
        .iter()
        .map(|record| {
            (
                text(&record.request["commit_id"]),
                record.outcome().to_string(),
                text(&record.result["superseded_by"]),
            )
        })
        .collect()
}

#[test]
fn a_delivery_that_came_twice_while_it_waited_is_built_once() {
    let ci = Installation::building("true");
    let first = ci.deliver(&push("main", 1));
    ci.deliver(&push("main", 1));
    ci.build(2);
    let succeeded = |commit: &str| (commit.to_string(), "succeeded".to_string(), String::new());
    assert_eq!(outcomes(&ci), [succeeded("1"), ("1".to_string(), "superseded".to_string(), first)]);
    // Whoever sends it again later wants it again; also twice, since it was built before.
    ci.deliver(&push("main", 1));
    ci.deliver(&push("main", 1));
    ci.build(2);
    assert_eq!(outcomes(&ci)[2..], [succeeded("1"), succeeded("1")]);
    assert!(ci.letters().is_empty());
}

#[test]
fn of_a_storm_of_pushes_each_branch_builds_what_ran_and_the_newest_and_every_tag() {
    let mut ci = Installation::building(
        "echo {ref} {commit_id} >> ../../ran; until [ -e ../../go ]; do sleep 0.01; done",
    );
    ci.set("AMP_CI_NEWEST_ONLY", "yes");
    let mut running = BTreeMap::new();
    for branch in 0..3 {
        running.insert(branch, ci.push(&push(&format!("b{branch}"), 1 + branch)));
    }
    let mut build = ci.start_build(8);
    for branch in 0..3 {
        crate::support::wait::wait_until("it runs", || {
            fs::read_to_string(ci.path("ran")).unwrap_or_default().contains(&format!("b{branch} "))
        });
    }
    let mut newest = BTreeMap::new();
    for number in 10..70 {
        let branch = number % 3;
        newest.insert(branch, ci.push(&push(&format!("b{branch}"), number)));
        if number % 20 == 0 {
            let tag = format!("refs/tags/v{number}");
            ci.push(&push("x", number).git_ref(&tag));
        }
    }
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0, "{}", ci.log());
    let records = ci.records();
    assert_eq!(records.len(), 3 + 60 + 3);
    for record in &records {
        let is_tag = record.request["ref"].as_str().unwrap().starts_with("refs/tags/");
        let is_built = is_tag || running.values().chain(newest.values()).any(|id| *id == record.id);
        assert_eq!(record.outcome(), if is_built { "succeeded" } else { "superseded" }, "{}", record.request);
        if !is_built {
            let by = record.result["superseded_by"].as_str().unwrap();
            assert!(newest.values().any(|id| id == by));
        }
    }
    assert_eq!(fs::read_to_string(ci.path("ran")).unwrap().lines().count(), 9);
    ci.assert_all_over();
}

#[test]
fn where_the_newest_wins_what_somebody_wants_again_is_built_and_supersedes_nobody() {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_NEWEST_ONLY", "yes");
    let first = ci.push(&push("main", 1));
    ci.build(1);
    ci.push(&push("main", 2));
    // A rerun, and the first push delivered once more.
    assert!(ci.command("build").args(["rerun", &first]).output().unwrap().status.success());
    ci.push(&push("main", 1));
    let newest = ci.push(&push("main", 3));
    ci.build(1);
    let built = |commit: &str| (commit.to_string(), "succeeded".to_string(), String::new());
    let superseded = ("2".to_string(), "superseded".to_string(), newest);
    assert_eq!(outcomes(&ci), [built("1"), superseded, built("1"), built("1"), built("3")]);
}
