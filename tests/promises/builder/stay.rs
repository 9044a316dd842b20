//! `build --stay`: a push starts at once, and an upgrade ends it.

use std::fs;

use serde_json::Value;

use crate::support::{
    installation::{Installation, Push},
    process::Running,
    wait::wait_until,
};

fn said(ci: &Installation) -> Value {
    serde_json::from_slice(&fs::read(ci.path("queue/drain.json")).unwrap_or_default()).unwrap_or_default()
}

/// This entry was put back so often, and pauses.
fn pause(ci: &Installation, id: &str, count: usize) {
    let (since, until) = ("2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    let retry = serde_json::json!({"count": count, "since": since, "until": until, "why": "no network"});
    fs::write(ci.path(&format!("queue/build-{id}.retry")), retry.to_string()).unwrap();
}

#[test]
fn it_stays_when_nothing_is_left_builds_what_comes_and_ends_when_its_settings_are_others() {
    let ci = Installation::building("exit 3");
    let mut build = Running::start(ci.command("build").arg("--stay"));
    wait_until("it lives", || said(&ci)["stay"] == true);
    for number in 1..=2 {
        ci.push(&Push { commit: format!("{number:040x}"), ..Push::to("amp_mgms", "main") });
        wait_until("it is built, and its letter sent", || ci.letters().len() == number);
    }
    assert_eq!(build.is_over(), None);
    assert_eq!(said(&ci)["ended"], Value::Null);
    fs::write(ci.path("environment.sh"), "").unwrap();
    // Whatever wakes it. If it has woken before by itself, this is for the next one.
    ci.push(&Push { commit: "3".repeat(40), ..Push::to("amp_mgms", "main") });
    assert_eq!(build.wait(), 0);
    assert!(said(&ci)["ended"].is_string());
    ci.build(1);
    assert_eq!(ci.records().len(), 3);
    ci.assert_all_over();
}

#[test]
fn a_signal_ends_it_though_nothing_runs() {
    let ci = Installation::building("true");
    let mut build = Running::start(ci.command("build").arg("--stay"));
    wait_until("it lives", || said(&ci)["stay"] == true);
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
}

#[test]
fn a_push_whose_event_the_kernel_had_no_room_for_is_built() {
    let ci = Installation::building("true");
    let mut build = Running::start(ci.command("build").arg("--stay"));
    wait_until("it lives", || said(&ci)["stay"] == true);
    // While it comes to rest it looks by itself: then it switches no more.
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", build.pid())).unwrap();
        status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).map(str::to_string)
    };
    let (mut before, mut same) = (None, 0);
    wait_until("it rests", || {
        let now = switches();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        same > 50
    });
    build.signal("STOP");
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    for _ in 0..most.trim().parse::<usize>().unwrap() {
        fs::write(ci.path("queue/other"), "").unwrap();
        fs::remove_file(ci.path("queue/other")).unwrap();
    }
    ci.push(&Push::to("r", "main"));
    build.signal("CONT");
    wait_until("it is built", || ci.records().len() == 1);
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
}

#[test]
fn who_waits_for_one_that_pauses_is_built_as_soon_as_somebody_removes_that() {
    let ci = Installation::building("true");
    let first = ci.push(&Push::to("r", "main"));
    pause(&ci, &first, 1);
    let second = ci.push(&Push::to("r", "main"));
    ci.push(&Push::to("other", "main"));
    let mut build = Running::start(ci.command("build").arg("--stay"));
    wait_until("the other is built", || ci.records().len() == 1);
    fs::remove_file(ci.path(&format!("queue/build-{first}"))).unwrap();
    wait_until("the second is built", || ci.records().iter().any(|record| record.id == second));
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
}

#[test]
fn what_stands_is_told_once_however_often_it_is_idle() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("paused", "main"));
    pause(&ci, &id, 3);
    let mut build = Running::start(ci.command("build").arg("--stay"));
    let trouble = "a build is put back again and again";
    for number in 1..=3 {
        ci.push(&Push::to("r", "main"));
        wait_until("it is built, and the trouble stands", || {
            ci.records().len() == number && said(&ci)["troubles"] == serde_json::json!([trouble])
        });
    }
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
    assert_eq!(ci.letters().len(), 1, "{}", ci.log());
    assert!(!ci.log().contains("over: "), "{}", ci.log());
}
