//! One build's trouble stays its own: whatever it does to its record, its entry or to `build`, the others are built, and
//! the right person hears.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, ExitStatus},
};

use serde_json::{Value, json};

use crate::support::{
    installation::{Installation, Push},
    wait::wait_until,
};

/// Chunks that do this for the repository `bad`; all others succeed.
fn bad_does(what: &str) -> Installation {
    Installation::building(&format!("if [ {{repository}} = bad ]; then {what}\nfi; true"))
}

/// One `bad` among ten others.
fn push_all(ci: &Installation) -> String {
    let before: Vec<_> = (0..5).map(|n| ci.push(&Push::to(&format!("good{n}"), "main"))).collect();
    let bad = ci.push(&Push::to("bad", "main").by("Ana", "ana@example.org"));
    for n in 5..10 {
        ci.push(&Push::to(&format!("good{n}"), "main"));
    }
    assert_eq!(before.len(), 5);
    bad
}

fn assert_others_built(ci: &Installation, what: &str) {
    let records: Vec<_> =
        ci.records().into_iter().filter(|record| record.request["repository"] != "bad").collect();
    assert_eq!(records.len(), 10, "{what}: {}", ci.log());
    for record in records {
        assert_eq!(record.outcome(), "succeeded", "{what}");
        assert_eq!(record.result["attempts"], 1, "{what}");
    }
}

/// To whom letters went, in all.
fn heard(ci: &Installation) -> Vec<String> {
    let mut heard: Vec<_> = ci.letters().into_iter().map(|letter| letter.to).collect();
    heard.sort();
    heard
}

fn of(ci: &Installation, id: &str, name: &str) -> Value {
    serde_json::from_slice(&fs::read(ci.path(&format!("builds/{id}/{name}"))).unwrap()).unwrap()
}

fn result(ci: &Installation, id: &str) -> Value {
    of(ci, id, "result.json")
}

#[test]
fn a_build_that_wrecks_its_own_record_is_told_of_as_if_it_had_not() {
    for (wreck, is_whole) in [
        ("rm -rf ./*", true),
        ("rm -rf ./* .[!.]*; mkdir request.json output.log running.json", true),
        ("rm -f request.json; mkfifo request.json; rm -f running.json; mkfifo running.json", true),
        (
            "for f in running.json build.sh output.log; do rm $f; ln -s /dev/zero $f; done; rm request.json; ln -s request.json request.json",
            true,
        ),
        ("for f in request.json running.json build.sh; do echo garbage > $f; done", true),
        ("mkdir -p result.json/x", false),
        ("cd ..; rm -rf $AMP_CI_BUILD_ID", false),
        ("cd ..; rm -rf $AMP_CI_BUILD_ID; echo > $AMP_CI_BUILD_ID", false),
        ("cd ..; rm -rf $AMP_CI_BUILD_ID; ln -s loop $AMP_CI_BUILD_ID", false),
        ("cd ..; rm -rf $AMP_CI_BUILD_ID; mkfifo $AMP_CI_BUILD_ID", false),
    ] {
        let ci = bad_does(&format!("echo 'these words'; cd \"$(dirname \"$0\")\"; {wreck}; exit 3"));
        let id = push_all(&ci);
        ci.build(2);
        assert_others_built(&ci, wreck);
        assert_eq!(
            (result(&ci, &id)["outcome"].clone(), result(&ci, &id)["rc"].clone()),
            (json!("failed"), json!(3)),
            "{wreck}"
        );
        assert_eq!(heard(&ci), ["ana@example.org"], "{wreck}");
        assert!(ci.letter().text.contains("these words"), "{wreck}: {}", ci.letter().text);
        assert_eq!(ci.entries(), [""; 0], "{wreck}");
        if !is_whole {
            assert_eq!(of(&ci, &id, "request.json")["repository"], "bad", "{wreck}");
        }
        // And it stays so.
        ci.build(1);
        assert_eq!(heard(&ci).len(), 1, "{wreck}");
    }
}

#[test]
fn a_build_that_wrecks_what_its_launcher_has_said_has_its_verdict_all_the_same() {
    for wreck in ["rm -f $l", "rm -f $l; mkfifo $l", "rm -f $l; ln -s /dev/zero $l", "rm -f $l; mkdir $l"] {
        let mut ci = bad_does(&format!("l=$TEST_HOME/builds/$AMP_CI_BUILD_ID/launcher.log; {wreck}; exit 3"));
        let dir = ci.home().display().to_string();
        ci.set("AMP_CI_LAUNCHER", &format!("env TEST_HOME={dir}"));
        let id = push_all(&ci);
        ci.build(2);
        assert_others_built(&ci, wreck);
        assert_eq!(result(&ci, &id)["outcome"], "failed", "{wreck}: {}", ci.log());
        assert_eq!(heard(&ci), ["ana@example.org"], "{wreck}");
    }
}

#[test]
fn what_stands_in_a_record_s_place_makes_its_build_an_error_and_keeps_nobody_else() {
    type Put = fn(&Path);
    let strange: [(&str, Put); 5] = [
        ("a file", |path| fs::write(path, "garbage").unwrap()),
        ("a FIFO", |path| assert!(done("mkfifo", path).success())),
        ("a dangling link", |path| symlink("nowhere", path).unwrap()),
        ("a looping link", |path| symlink(path, path).unwrap()),
        ("a record whose request is a directory", |path| {
            fs::create_dir_all(path.join("request.json/x")).unwrap();
        }),
    ];
    for (what, put) in strange {
        let ci = bad_does("true");
        let id = push_all(&ci);
        fs::create_dir(ci.path("builds")).unwrap();
        put(&ci.path(&format!("builds/{id}")));
        // It might have been the machine's: it is tried three times, and others go first.
        for _ in 0..3 {
            assert_eq!(ci.build_to_its_end(2) & !1, 0);
            assert_others_built(&ci, what);
            let retry = ci.path(&format!("queue/build-{id}.retry"));
            if retry.exists() {
                set(&retry, "until", &json!("2026-01-01T00:00:00Z"));
            }
        }
        assert_eq!(result(&ci, &id)["cause"], "record", "{what}: {}", ci.log());
        assert_eq!(heard(&ci), ["ana@example.org", "operator@example.org"], "{what}");
        assert_eq!(ci.entries(), [""; 0], "{what}");
    }
}

fn done(program: &str, path: &Path) -> ExitStatus {
    Command::new(program).arg(path).status().unwrap()
}

#[test]
fn exit_code_75_puts_an_entry_back_with_growing_pauses_behind_all_others_and_for_a_day_at_most() {
    let ci = bad_does("[ -e ../../mended ] || exit 75");
    let id = push_all(&ci);
    let second = ci.push(&Push::to("bad", "main"));
    let retry = ci.path(&format!("queue/build-{id}.retry"));
    for times in 1..=2 {
        assert_eq!(ci.build_to_its_end(2), 0);
        assert_others_built(&ci, "75");
        let said: Value = serde_json::from_slice(&fs::read(&retry).unwrap()).unwrap();
        assert_eq!(said["count"], times);
        assert_eq!(ci.entries().len(), 2, "its lane waits for it");
        assert!(heard(&ci).is_empty(), "{times}");
        // Its time has come.
        set(&retry, "until", &json!("2026-01-01T00:00:00Z"));
    }
    // From the third time on somebody hears, once.
    for _ in 0..2 {
        assert_eq!(ci.build_to_its_end(2), 1);
    }
    assert_eq!(heard(&ci), ["operator@example.org"]);
    assert!(
        ci.letter()
            .text
            .contains(&format!("build-{id}, 3 times: its script asked for another try (exit code 75)"))
    );
    // A day is over.
    set(&retry, "until", &json!("2026-01-01T00:00:00Z"));
    set(&retry, "since", &json!("2026-01-01T00:00:00Z"));
    fs::write(ci.path("mended"), "").unwrap();
    fs::remove_file(ci.path("mended")).unwrap();
    assert_eq!(ci.build_to_its_end(2), 0);
    assert_eq!(
        (result(&ci, &id)["outcome"].clone(), result(&ci, &id)["cause"].clone()),
        (json!("error"), json!("tempfail"))
    );
    assert!(!retry.exists());
    assert_eq!(heard(&ci), ["ana@example.org", "operator@example.org", "operator@example.org"]);
    // The next of its lane has a day of its own, and goes on as soon as it is let.
    let retry = ci.path(&format!("queue/build-{second}.retry"));
    assert!(retry.exists());
    fs::write(ci.path("mended"), "").unwrap();
    fs::remove_file(retry).unwrap();
    ci.build(1);
    assert_eq!(result(&ci, &second)["outcome"], "succeeded");
    assert_eq!(result(&ci, &second)["attempts"], 1);
}

#[test]
fn a_pause_is_over_at_once_when_its_file_is_removed_while_build_runs() {
    let ci = Installation::building(
        "if [ {repository} = bad ]; then [ -e ../../mended ] || exit 75; else touch ../../at-work; until [ -e ../../go ]; do sleep 0.01; done; fi",
    );
    let id = ci.push(&Push::to("bad", "main"));
    ci.push(&Push::to("good", "main"));
    let mut build = ci.start_build(2);
    ci.wait_at("work");
    let retry = ci.path(&format!("queue/build-{id}.retry"));
    wait_until("it pauses", || retry.exists() && ci.path(&format!("queue/build-{id}")).exists());
    fs::write(ci.path("mended"), "").unwrap();
    fs::remove_file(retry).unwrap();
    wait_until("it is built", || ci.path(&format!("builds/{id}/result.json")).exists());
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0);
}

#[test]
fn a_paused_entry_that_is_removed_keeps_its_branch_waiting_no_longer() {
    let ci = Installation::building(
        "if [ {repository} = bad ]; then [ {committer_name} != first ] || exit 75; else touch ../../at-work; until [ -e ../../go ]; do sleep 0.01; done; fi",
    );
    let first = ci.push(&Push::to("bad", "main").by("first", ""));
    ci.push(&Push::to("good", "main"));
    let mut build = ci.start_build(2);
    ci.wait_at("work");
    let entry = ci.path(&format!("queue/build-{first}"));
    wait_until("it pauses", || ci.path(&format!("queue/build-{first}.retry")).exists() && entry.exists());
    let second = ci.push(&Push::to("bad", "main"));
    fs::remove_file(&entry).unwrap();
    wait_until("the next is built", || ci.path(&format!("builds/{second}/result.json")).exists());
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0);
    ci.build(1);
    assert!(!ci.path(&format!("queue/build-{first}.retry")).exists(), "nothing is left of it");
}

#[test]
fn a_build_that_kills_build_again_and_again_takes_nobody_with_it() {
    let ci = Installation::building(
        "echo x >> ../../ran-{repository}; until [ -e ../../go ] || [ {repository} = bad ]; do sleep 0.01; done
         if [ {repository} = bad ]; then until [ $(cat ../../ran-* | wc -l) -ge 3 ]; do sleep 0.01; done; kill -9 $PPID; sleep 60; fi",
    );
    let ids: Vec<_> = ["a", "bad", "b"].map(|name| ci.push(&Push::to(name, "main"))).into();
    // Together once; then one at a time.
    assert_ne!(ci.build_to_its_end(3), 0);
    fs::write(ci.path("go"), "").unwrap();
    for _ in 0..3 {
        ci.build_to_its_end(3);
    }
    assert_eq!(result(&ci, &ids[1])["cause"], "crash", "{}", ci.log());
    for id in [&ids[0], &ids[2]] {
        assert_eq!(result(&ci, id)["outcome"], "succeeded", "{}", ci.log());
    }
}

#[test]
fn one_that_wrecks_what_its_tries_are_counted_by_and_kills_build_is_given_up_and_takes_nobody_with_it() {
    let ci = Installation::building(
        "echo x >> ../../ran-{repository}
         if [ {repository} = bad ]; then rm -rf \"$(dirname \"$0\")\"; [ -e ../../together ] || until [ -e ../../ran-good ]; do sleep 0.01; done
             touch ../../together; kill -9 $PPID; sleep 60; fi
         until [ -e ../../go ]; do sleep 0.01; done",
    );
    let bad = ci.push(&Push::to("bad", "main").by("Ana", "ana@example.org"));
    let good = ci.push(&Push::to("good", "main"));
    for _ in 0..3 {
        assert_eq!(ci.build_to_its_end(2), -9, "{}", ci.log());
    }
    fs::write(ci.path("go"), "").unwrap();
    ci.build(2);
    assert_eq!(result(&ci, &bad)["cause"], "crash", "{}", ci.log());
    assert_eq!(heard(&ci), ["ana@example.org", "operator@example.org"]);
    assert_eq!(fs::read_to_string(ci.path("ran-bad")).unwrap().lines().count(), 3);
    assert_eq!(result(&ci, &good)["outcome"], "succeeded", "{}", ci.log());
    assert!(result(&ci, &good)["attempts"].as_u64().unwrap() <= 2, "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn one_that_removes_its_entry_is_told_of_though_build_dies_right_after_its_result() {
    let ci = Installation::building(
        "running=$(dirname \"$0\")/running.json; until grep -q '\"script_pid\":[0-9]' \"$running\"; do sleep 0.01; done
         cp \"$running\" ../../running; rm ../../queue/build-$AMP_CI_BUILD_ID.lock; exit 3",
    );
    let id = ci.push(&Push::to("bad", "main"));
    ci.build(1);
    // As the disk is before the letter is written.
    fs::remove_file(ci.path(&format!("mail/{}.eml", ci.letter().stem))).unwrap();
    fs::rename(ci.path("running"), ci.path(&format!("builds/{id}/running.json"))).unwrap();
    ci.build(1);
    assert_eq!(ci.letter().stem, id);
    assert!(!ci.path(&format!("builds/{id}/running.json")).exists(), "and that is all");
    assert_eq!(ci.record().result["attempts"], 1);
}

#[test]
fn an_entry_that_cannot_be_moved_to_bad_is_told_of_and_passed() {
    let ci = bad_does("true");
    push_all(&ci);
    fs::write(ci.path("queue/bad"), "in the way").unwrap();
    ci.entry("1700000000.1", "[]");
    for _ in 0..3 {
        assert_eq!(ci.build_to_its_end(2), 1);
    }
    assert_others_built(&ci, "bad is a file");
    assert_eq!(heard(&ci), ["operator@example.org"]);
    fs::remove_file(ci.path("queue/bad")).unwrap();
    ci.build(1);
    assert_eq!(ci.entries(), [""; 0]);
}

#[test]
fn one_that_a_build_has_stopped_is_made_to_go_on_by_the_next_that_cron_starts() {
    let ci = bad_does("kill -STOP $PPID");
    push_all(&ci);
    let build = ci.start_build(2);
    wait_until("it is stopped", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", build.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    ci.build(1);
    let mut build = build;
    assert_eq!(build.wait(), 0);
    assert_others_built(&ci, "it was stopped");
    let said = format!("build (process {}) had been stopped by a signal", build.pid());
    assert_eq!(ci.log().matches(&said).count(), 1, "{}", ci.log());
}

#[test]
fn without_chunks_or_a_queue_nothing_is_skipped_and_all_is_built_when_they_are_there_again() {
    let ci = bad_does("true");
    push_all(&ci);
    for away in ["scripts", "queue"] {
        fs::rename(ci.path(away), ci.path("away")).unwrap();
        for _ in 0..2 {
            let output = ci.command("build").output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{away}");
            let said = [&output.stderr[..], ci.log().as_bytes()].concat();
            assert!(String::from_utf8_lossy(&said).contains(&format!("/{away}")), "{away}");
        }
        fs::rename(ci.path("away"), ci.path(away)).unwrap();
    }
    assert_eq!(ci.records().len(), 0);
    assert_eq!(heard(&ci), ["operator@example.org"]);
    ci.build(2);
    assert_others_built(&ci, "they are there again");
}

/// Replaces a member of a JSON file.
fn set(path: &Path, name: &str, value: &Value) {
    let mut all: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    all[name] = value.clone();
    fs::write(path, all.to_string()).unwrap();
}

/// One that does this, beside two that end only when it has.
fn beside_two(kill: &str) -> (Installation, [String; 2], String) {
    let ci = Installation::building("");
    let (done, log) = (ci.path("done"), ci.path("build.log"));
    let (done, log) = (done.display(), log.display());
    let queue = ci.path("queue");
    // Or when it is alone, and that is not the first of all.
    let wait = format!(
        "until [ $(ls {}/*.lock | wc -l) = 1 ] && grep -q 'came from' {log} || [ -e {done} ]; do sleep 0.01; done",
        queue.display()
    );
    let bad = format!("{kill}; until grep -q \"came from\" {log}; do sleep 0.01; done; touch {done}");
    ci.chunk("build_packages", &format!("if [ {{repository}} = bad ]; then {bad}; else {wait}; fi"));
    let beside = ["a", "b"].map(|repository| ci.push(&Push::to(repository, "main")));
    let id = ci.push(&Push::to("bad", "main"));
    (ci, beside, id)
}

#[test]
fn a_build_that_signals_its_parent_ends_neither_build_nor_its_neighbours() {
    // One that is dead, waited for by nobody yet, has no mark any more.
    for (kill, signal, is_dead) in [
        ("kill $PPID", 15, false),
        ("(setsid sh -c \"sleep 0.1; kill -HUP $PPID\" &)", 1, true),
        ("kill -QUIT $PPID", 3, false),
        ("kill -ABRT $PPID", 6, false),
        ("kill -USR1 $PPID", 10, false),
        ("kill -USR2 $PPID", 12, false),
        ("kill -ALRM $PPID", 14, false),
        ("kill -TSTP $PPID", 20, false),
        ("kill -TTIN $PPID", 21, false),
        ("kill -TTOU $PPID", 22, false),
    ] {
        let (ci, beside, id) = beside_two(kill);
        ci.build(3);
        for id in beside.iter().chain([&id]) {
            assert_eq!(result(&ci, id)["outcome"], "succeeded", "{kill}: {}", ci.log());
            assert_eq!(result(&ci, id)["attempts"], 1, "{kill}");
        }
        let said = |whose| ci.log().matches(&format!("signal {signal} came from {whose} (process ")).count();
        assert_eq!(said(&*id) + if is_dead { said("a build") } else { 0 }, 1, "{kill}: {}", ci.log());
    }
}

#[test]
fn where_the_sender_of_a_signal_cannot_be_known_those_that_ran_are_tried_one_at_a_time_and_all_are_built() {
    // kill(1) is often gone before anybody can look at it.
    let (ci, beside, id) = beside_two("for n in $(seq 200); do /bin/kill -INT $PPID; done");
    // Each of the neighbours is put back once at most, and this one given up after three tries; a last run sends what
    // the signals have left.
    for _ in 0..5 {
        if ci.start_build(3).wait() == 0 && ci.entries().is_empty() {
            break;
        }
        ci.end_pauses();
    }
    ci.assert_all_over();
    for id in &beside {
        assert_eq!(result(&ci, id)["outcome"], "succeeded", "{}", ci.log());
        assert!(result(&ci, id)["attempts"].as_u64().unwrap() <= 2, "{}", ci.log());
    }
    let outcome = result(&ci, &id)["outcome"].clone();
    assert!(outcome == "error" || outcome == "succeeded", "{outcome}: {}", ci.log());
}
