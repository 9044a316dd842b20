//! The queue by hand: `ls`, `cat`, `mv`, `cp` and `rm` are its tools, and none of them can lose a push.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, SystemTime},
};

use crate::support::{
    files::names,
    installation::{COMMIT, Installation, Push},
    wait::wait_until,
};

/// The repositories of all records, in the order in which they were built.
fn built(ci: &Installation) -> Vec<String> {
    let mut records = ci.records();
    records.sort_by_key(|record| record.result["started"].as_str().unwrap().to_string());
    records.iter().map(|record| record.request["repository"].as_str().unwrap().to_string()).collect()
}

#[test]
fn while_hold_exists_nothing_is_claimed_and_intake_goes_on() {
    let ci = Installation::building("true");
    fs::write(ci.path("queue/hold"), "").unwrap();
    let id = ci.push(&Push::to("r", "main"));
    ci.build(2);
    assert_eq!(ci.entries(), [format!("build-{id}")]);
    assert!(ci.records().is_empty());

    fs::remove_file(ci.path("queue/hold")).unwrap();
    ci.build(2);
    assert_eq!(ci.record().outcome(), "succeeded");
}

#[test]
fn hold_stops_a_build_that_runs_from_taking_more_and_its_removal_is_noticed_at_once() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("$AMP_CI_REPOSITORY"));
    let mut build = ci.push_and_start("first");
    ci.wait_at("first");
    fs::write(ci.path("queue/hold"), "").unwrap();
    ci.push(&Push::to("second", "main"));
    ci.let_go("second").let_go("first");
    assert_eq!(build.wait(), 0, "what runs is finished, and then it leaves");
    assert_eq!((built(&ci).join(" "), ci.entries().len()), ("first".to_string(), 1));
    fs::remove_file(ci.path("queue/hold")).unwrap();

    ci.push(&Push::to("third", "main"));
    let mut build = ci.start_build(2);
    ci.wait_at("third");
    fs::write(ci.path("queue/hold"), "").unwrap();
    let id = ci.push(&Push::to("fourth", "main"));
    fs::remove_file(ci.path("queue/hold")).unwrap();
    ci.wait_at("fourth");
    assert!(ci.entries().contains(&format!("build-{id}.lock")), "beside the third");
    ci.let_go("third").let_go("fourth");
    assert_eq!(build.wait(), 0);
}

#[test]
fn an_entry_that_is_moved_away_is_held_until_it_is_moved_back() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("r", "main"));
    let (here, away) = (ci.path(&format!("queue/build-{id}")), ci.path(&format!("queue/later/build-{id}")));
    fs::create_dir(ci.path("queue/later")).unwrap();
    fs::rename(&here, &away).unwrap();
    ci.build(1);
    assert!(ci.records().is_empty() && away.exists());
    fs::rename(&away, &here).unwrap();
    ci.build(1);
    assert_eq!(ci.record().id, id);
}

#[test]
fn an_entry_that_waits_for_another_try_can_be_held_too() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("try"));
    let mut build = ci.push_and_start("r");
    ci.wait_at("try");
    build.signal("KILL");
    assert_eq!(build.wait(), -9);
    fs::write(ci.path("queue/hold"), "").unwrap();
    ci.build(1);
    let name = ci.entries().remove(0);
    fs::rename(ci.path("queue").join(&name), ci.path("held")).unwrap();
    fs::remove_file(ci.path("queue/hold")).unwrap();
    ci.build(1);
    assert!(ci.records().is_empty(), "it was taken away: {:?}", ci.entries());

    fs::rename(ci.path("held"), ci.path("queue").join(&name)).unwrap();
    ci.let_go("try").build(1);
    assert_eq!(ci.record().result["attempts"], 2, "the first try counts all the same");
}

#[test]
fn a_copy_of_the_request_builds_again() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("r", "main"));
    ci.build(1);
    let line =
        format!("cd {} && cp builds/{id}/request.json queue/build-$(date +%s.%N)", ci.home().display());
    assert!(ci.command("/bin/sh").args(["-c", &line]).status().unwrap().success());
    ci.build(1);
    assert_eq!(built(&ci), ["r", "r"]);
}

#[test]
fn removing_a_lock_cancels_nothing() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("here"));
    let mut build = ci.push_and_start("r");
    ci.wait_at("here");
    wait_until("its script is on record", || {
        let running = ci.path("builds").join(&names(&ci.path("builds"))[0]).join("running.json");
        let running: serde_json::Value = serde_json::from_slice(&fs::read(running).unwrap()).unwrap();
        running["script_pid"].is_u64()
    });
    fs::remove_file(ci.path("queue").join(&ci.entries()[0])).unwrap();
    build.signal("KILL");
    assert_eq!(build.wait(), -9);
    ci.let_go("here").build(1);
    assert_eq!(ci.record().outcome(), "succeeded");
    assert!(ci.entries().is_empty());
}

#[test]
fn removing_a_lock_does_not_keep_an_interrupted_build_from_going_back() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("here"));
    let mut build = ci.push_and_start("r");
    ci.wait_at("here");
    let name = ci.entries().remove(0);
    fs::remove_file(ci.path("queue").join(&name)).unwrap();
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
    assert_eq!(ci.entries(), [name.strip_suffix(".lock").unwrap()]);
}

#[test]
fn an_entry_of_a_running_build_s_name_waits_for_its_end_and_holds_nobody_up() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("$AMP_CI_REPOSITORY"));
    ci.let_go("beside");
    let id = ci.push(&Push::to("first", "main"));
    let mut build = ci.start_build(3);
    ci.wait_at("first");
    ci.entry(&id, &Push::to("other", "main").json());
    ci.push(&Push::to("beside", "main"));
    wait_until("another one is built beside it", || built(&ci) == ["beside"]);
    ci.let_go("first");
    assert_eq!(build.wait(), 0);
    let why = fs::read_to_string(ci.path(&format!("queue/bad/build-{id}.why"))).unwrap();
    assert!(why.contains("finished"), "{why}");
}

#[test]
fn foreign_files_are_left_alone() {
    let ci = Installation::building("true");
    let json = Push::to("r", "main").json();
    for name in [".build-1.5", "build-1.5~", "build-1.5.swp", "#build-1.5#", "build-1", "README"] {
        fs::write(ci.path("queue").join(name), &json).unwrap();
    }
    fs::write(ci.path("elsewhere"), &json).unwrap();
    symlink(ci.path("elsewhere"), ci.path("queue/build-2.5")).unwrap();
    fs::create_dir(ci.path("queue/build-3.5")).unwrap();
    let pipe = ci.path("queue/build-4.5");
    assert!(ci.command("mkfifo").arg(pipe).status().unwrap().success());
    let before = names(&ci.path("queue"));
    ci.build(2);
    let after: Vec<String> =
        names(&ci.path("queue")).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(after, [".drain", ".id", "drain.json"]);
    assert!(before.iter().all(|name| ci.path("queue").join(name).symlink_metadata().is_ok()));
    assert!(ci.records().is_empty() && ci.letters().is_empty(), "{}", ci.log());
}

#[test]
fn only_old_temporary_files_of_dead_writers_are_removed() {
    let ci = Installation::building("true");
    for name in [".new-old", ".new-young", ".mine"] {
        let file = fs::File::create(ci.path("queue").join(name)).unwrap();
        if name != ".new-young" {
            file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
        }
    }
    ci.build(1);
    assert_eq!(names(&ci.path("queue")), [".drain", ".id", ".mine", ".new-young", "drain.json"]);
}

#[test]
fn the_original_s_names_are_drained_in_numeric_order() {
    let ci = Installation::building("true");
    for (id, repository) in [
        ("1795346032.55", "e"),
        ("1795346032.441044312", "d"),
        ("1795346032.0999", "b"),
        ("1795346032.1", "c"),
        ("999999999.9", "a"),
        ("11795346032.0", "f"),
    ] {
        // Of the same lane, so that the order is one of starting.
        let json = Push::to("r", "main").commit(repository.as_bytes()[0].into()).by(repository, "").json();
        ci.entry(id, &json);
    }
    ci.chunk("build_packages", &format!("echo \"$AMP_CI_COMMITTER_NAME\" >>{}/order", ci.home().display()));
    ci.build(4);
    assert_eq!(fs::read_to_string(ci.path("order")).unwrap(), "a\nb\nc\nd\ne\nf\n");
}

#[test]
fn the_original_s_claimed_entries_are_taken_over() {
    let ci = Installation::building("true");
    fs::write(ci.path("queue/build-1795346032.55.lock"), Push::to("r", "main").json()).unwrap();
    fs::write(ci.path("queue/lock"), "4194305\n").unwrap();
    ci.build(1);
    assert_eq!(ci.record().id, "1795346032.55");
}

#[test]
fn unknown_fields_are_kept_and_ignored() {
    let ci = Installation::building("true");
    let text = format!(
        "{{ \"later\": {{\"x\": [1, 2]}},\n \"repository\":\"r\", \"ref\":\"refs/heads/main\", \"commit_id\":\"{COMMIT}\", \
         \"committer_name\": null }}\n"
    );
    ci.entry("5.5", &text);
    ci.build(1);
    let record = ci.record();
    assert_eq!(record.outcome(), "succeeded");
    assert_eq!(fs::read_to_string(record.dir.join("request.json")).unwrap(), text);
}

#[test]
fn an_entry_that_is_being_written_in_place_is_waited_for() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos_dev", &ci.stop_at("dev"));
    ci.push(&Push::to("r", "dev"));
    let json = Push::to("r", "main").json();
    let path = ci.path("queue/build-5.5");
    fs::write(&path, &json[..json.len() / 2]).unwrap();
    let mut build = ci.start_build(2);
    // The older one is looked at first.
    ci.wait_at("dev");
    assert!(path.exists() && !ci.path("queue/bad").exists(), "{}", ci.log());
    fs::write(&path, &json).unwrap();
    wait_until("it is built when it is whole", || built(&ci) == ["r"]);
    assert_eq!(ci.record().id, "5.5");
    ci.let_go("dev");
    assert_eq!(build.wait(), 0);
}

#[test]
fn what_is_no_request_goes_to_bad_with_the_reason_and_the_fallback_hears() {
    let ci = Installation::building("true");
    let file = fs::File::create(ci.path("queue/build-1.5")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    ci.entry("2.5", &Push::to("../x\u{1b}[31m", "main").json());
    ci.entry("3.5", "[1]");
    ci.push(&Push::to("good", "main"));
    ci.build(1);

    assert_eq!(built(&ci), ["good"], "the others go on");
    let expected = ["build-1.5", "build-1.5.why", "build-2.5", "build-2.5.why", "build-3.5", "build-3.5.why"];
    assert_eq!(names(&ci.path("queue/bad")), expected);
    let why = fs::read_to_string(ci.path("queue/bad/build-2.5.why")).unwrap();
    assert!(
        why.starts_with(r"repository: '../x\x1b[31m' is not a repository name") && why.lines().count() == 1,
        "{why}"
    );
    let letters = ci.letters();
    let stems: Vec<&str> = letters.iter().map(|letter| &*letter.stem).collect();
    assert_eq!(stems, ["bad-build-1.5", "bad-build-2.5", "bad-build-3.5"]);
    assert_eq!(letters[1].to, "operator@example.org");
    assert!(letters[1].text.contains(why.trim_end()), "{}", letters[1].text);
}

#[test]
fn nothing_in_bad_is_overwritten() {
    let ci = Installation::building("true");
    for text in ["[1]", "[2]"] {
        ci.entry("3.5", text);
        ci.build(1);
    }
    assert_eq!(fs::read_to_string(ci.path("queue/bad/build-3.5")).unwrap(), "[1]");
    assert_eq!(fs::read_to_string(ci.path("queue/bad/build-3.5.1")).unwrap(), "[2]");
    assert!(ci.path("queue/bad/build-3.5.1.why").exists());
    assert_eq!(ci.letters().len(), 2);
}

#[test]
fn an_entry_whose_name_has_a_finished_record_is_not_built() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("r", "main"));
    ci.build(1);
    ci.entry(&id, &Push::to("again", "main").json());
    ci.build(1);
    assert_eq!(built(&ci), ["r"]);
    assert!(ci.path(&format!("queue/bad/build-{id}.why")).exists());
    assert_eq!(ci.letter().to, "operator@example.org");
}
