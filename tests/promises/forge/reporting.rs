//! What a forge hears of builds, from `build` itself.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::SystemTime,
};

use crate::support::{
    faulty_mail_server::{Does, Server},
    files::names,
    forge::{Answer, Forge, Kind, TOKEN},
    installation::{COMMIT, Installation, Push},
    wait::wait_until,
};

/// An installation that reports to a forge.
fn reporting(forge: &Forge, build_packages: &str) -> Installation {
    let mut installation = Installation::building(build_packages);
    installation.set("AMP_CI_FORGE_API", &forge.url());
    installation.set("AMP_CI_GIT_BASE", "https://git.example.org/some/Org");
    installation.set("AMP_CI_PAGE_URL", "https://ci.example.edu/");
    give_token(&installation, TOKEN, 0o600);
    installation
}

fn give_token(installation: &Installation, token: &str, mode: u32) {
    let path = installation.path("forge-token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn commit(number: usize) -> String {
    format!("{number:040x}")
}

fn push(installation: &Installation, branch: &str, commit: &str) -> String {
    installation.push(&Push { commit: commit.to_string(), ..Push::to("amp_mgms", branch) })
}

fn unsent(installation: &Installation) -> Vec<String> {
    let names = names(&installation.path("outbox")).into_iter();
    names.filter(|name| name.ends_with(".status.json")).collect()
}

fn check(installation: &Installation) -> String {
    let Output { stdout, .. } = installation.command("build").arg("--check").output().unwrap();
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_commit_is_pending_while_it_is_built_and_then_shows_how_that_ended() {
    for (kind, pending, failure) in [
        (Kind::GitHub, "pending", "failure"),
        (Kind::Gitea, "pending", "failure"),
        (Kind::GitLab, "running", "failed"),
    ] {
        let forge = Forge::start(kind);
        let installation = reporting(&forge, "");
        let stop = installation.stop_at("work");
        installation.chunk("build_packages", &format!("{stop}; exit 3"));
        let id = push(&installation, "main", COMMIT);
        let mut build = installation.start_build(1);
        wait_until("the forge has heard of the build", || !forge.statuses(COMMIT, "amp_ci").is_empty());
        installation.let_go("work");
        assert_eq!(build.wait(), 0, "{}", installation.log());
        assert_eq!(forge.statuses(COMMIT, "amp_ci"), [pending, failure]);
        let last = forge.received().pop().unwrap().body;
        assert_eq!(last["target_url"], format!("https://ci.example.edu/builds/{id}"));
        assert!(last["description"].as_str().unwrap().starts_with("failed with rc 3 after"), "{last}");
        installation.assert_all_over();
    }
}

#[test]
fn tags_have_a_mark_of_their_own_and_what_is_skipped_has_none() {
    let forge = Forge::start(Kind::GitHub);
    let installation = reporting(&forge, "true");
    installation.push(&Push::to("amp_mgms", "main").git_ref("refs/tags/v1"));
    installation.build(1);
    assert_eq!(forge.statuses(COMMIT, "amp_ci/tag").last().map(String::as_str), Some("success"));
    let reported = forge.received().len();
    fs::remove_file(installation.path("scripts/build_packages")).unwrap();
    fs::remove_file(installation.path("scripts/checkout_repos")).unwrap();
    push(&installation, "main", &commit(1));
    installation.build(1);
    assert_eq!(installation.records()[1].outcome(), "skipped");
    assert_eq!(forge.received().len(), reported);
}

#[test]
fn without_a_token_no_forge_hears_anything() {
    let forge = Forge::start(Kind::GitHub);
    let installation = reporting(&forge, "true");
    fs::remove_file(installation.path("forge-token")).unwrap();
    push(&installation, "main", COMMIT);
    installation.build(1);
    assert_eq!(forge.received().len(), 0);
    installation.assert_all_over();
}

#[test]
fn a_forge_that_does_not_answer_delays_no_build_and_no_letter() {
    let forge = Forge::start(Kind::GitHub);
    let (hold, late) = Answer::late();
    forge.next(late);
    let installation = reporting(&forge, "exit 3");
    for number in 1..=3 {
        push(&installation, "main", &commit(number));
    }
    let mut build = installation.start_build(1);
    wait_until("all letters are there", || installation.letters().len() == 3);
    wait_until("the forge has been asked", || !forge.received().is_empty());
    assert_eq!(forge.received().len(), 1, "and the forge is still at the first request");
    drop(hold);
    assert_eq!(build.wait(), 0);
    for number in 1..=3 {
        assert_eq!(forge.statuses(&commit(number), "amp_ci").last().map(String::as_str), Some("failure"));
    }
}

#[test]
fn a_mail_server_that_does_not_answer_delays_no_status() {
    let forge = Forge::start(Kind::GitHub);
    let mail = Server::start(|_| Does::NeverGreet);
    let mut installation = reporting(&forge, "exit 3");
    installation.set("AMP_CI_SMTP_URL", &mail.url());
    push(&installation, "main", COMMIT);
    let mut build = installation.start_build(1);
    wait_until("the forge knows", || {
        forge.statuses(COMMIT, "amp_ci").last().is_some_and(|last| last == "failure")
    });
    assert_eq!(build.is_over(), None, "and the letter still waits for a greeting");
    mail.now(|_| Does::Accept);
    build.signal("KILL");
}

#[test]
fn a_forge_that_is_down_is_asked_again_later_by_whichever_build_runs_then() {
    let forge = Forge::start(Kind::GitHub);
    forge.always(Some(Answer::code(502)));
    let installation = reporting(&forge, "true");
    let id = push(&installation, "main", COMMIT);
    installation.build(1);
    let asked = forge.received().len();
    forge.always(None);
    installation.build(1);
    assert_eq!(forge.received().len(), asked, "not before its time");
    assert_eq!(unsent(&installation), [format!("{id}.status.json")]);
    touch(&installation.path("outbox").join(format!("{id}.status.json")));
    installation.build(1);
    assert_eq!(forge.statuses(COMMIT, "amp_ci"), ["success"]);
    installation.assert_all_over();
}

fn touch(path: &Path) {
    File::open(path).unwrap().set_modified(SystemTime::now()).unwrap();
}

#[test]
fn what_the_forge_will_never_take_is_said_once_to_the_fallback() {
    let forge = Forge::start(Kind::GitHub);
    forge.always(Some(Answer::code(404)));
    let installation = reporting(&forge, "true");
    for number in 1..=2 {
        push(&installation, "main", &commit(number));
        installation.build(1);
    }
    let letter = installation.letter();
    assert_eq!(letter.to, "operator@example.org");
    assert!(letter.text.contains("amp_mgms") && letter.text.contains("404: this is 404"), "{}", letter.text);
    assert_eq!(names(&installation.path("outbox/failed")).len(), 2);
}

#[test]
fn a_refused_token_is_said_once_and_a_new_one_sends_all() {
    let forge = Forge::start(Kind::GitHub);
    let installation = reporting(&forge, "true");
    give_token(&installation, "expired", 0o600);
    for number in 1..=3 {
        push(&installation, "main", &commit(number));
        installation.build(1);
    }
    assert_eq!(forge.received().len(), 1);
    let letter = installation.letter();
    assert!(letter.text.contains("forge-token") && letter.text.contains("401"), "{}", letter.text);
    assert_eq!(unsent(&installation).len(), 3);
    give_token(&installation, TOKEN, 0o600);
    installation.build(1);
    for number in 1..=3 {
        assert_eq!(forge.statuses(&commit(number), "amp_ci"), ["success"]);
    }
    assert_eq!(installation.letters().len(), 1);
}

#[test]
fn the_token_is_in_no_file_but_its_own_and_in_no_environment_of_a_build() {
    let forge = Forge::start(Kind::GitHub);
    forge.next(Answer::code(500)).next(Answer::code(403));
    let installation = reporting(&forge, "env; cat /proc/$PPID/environ | tr '\\0' '\\n'; exit 3");
    push(&installation, "main", COMMIT);
    let output = installation.build_with(&["--debug"]);
    assert_eq!(output.status.code(), Some(0));
    let said = check(&installation);
    assert!(!said.contains(TOKEN), "{said}");
    let found = Command::new("grep").args(["-rlF", TOKEN]).arg(installation.home()).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.trim(), installation.path("forge-token").display().to_string());
}

#[test]
fn check_says_what_is_wrong_with_the_token() {
    let forge = Forge::start(Kind::GitHub);
    let mut installation = reporting(&forge, "true");
    // The tests' GitHub says that this token may do this besides.
    let said = check(&installation);
    assert!(said.contains("admin:org"), "{said}");
    give_token(&installation, "expired", 0o600);
    let said = check(&installation);
    assert!(said.contains("WRONG") && said.contains("does not know"), "{said}");
    give_token(&installation, TOKEN, 0o644);
    let said = check(&installation);
    assert!(said.contains("chmod 600 forge-token"), "{said}");
    give_token(&installation, TOKEN, 0o600);
    installation.set("AMP_CI_FORGE_API", "");
    let said = check(&installation);
    assert!(said.contains("AMP_CI_FORGE_API"), "{said}");
}

#[test]
fn killed_at_any_moment_build_leaves_no_commit_pending() {
    let forge = Forge::start(Kind::GitHub);
    let installation = reporting(&forge, "sleep 0.05");
    let pushes = 5;
    for number in 1..=pushes {
        push(&installation, &format!("branch{number}"), &commit(number));
    }
    for moment in 1..=8 {
        let build = installation.start_build(2);
        // Each time a little further: as many requests as there were, and a moment.
        let before = forge.received().len();
        wait_until("it gets on", || forge.received().len() > before || unsent(&installation).is_empty());
        std::thread::sleep(std::time::Duration::from_millis(moment * 7));
        build.signal("KILL");
    }
    installation.build(2);
    let records = installation.records();
    assert_eq!(records.len(), pushes);
    for record in records {
        let statuses = forge.statuses(record.request["commit_id"].as_str().unwrap(), "amp_ci");
        let word = if record.outcome() == "succeeded" { "success" } else { "error" };
        assert_eq!(statuses.last().map(String::as_str), Some(word), "{statuses:?}");
        let first_final = statuses.iter().position(|state| state != "pending").unwrap();
        assert!(
            statuses[first_final..].iter().all(|state| state == word),
            "pending never follows: {statuses:?}"
        );
    }
    installation.assert_all_over();
}

#[test]
fn a_build_that_makes_a_directory_of_its_result_and_ends_build_does_not_stay_pending() {
    let forge = Forge::start(Kind::GitHub);
    let installation =
        reporting(&forge, "mkdir -p \"$(dirname \"$0\")/result.json/x\"; kill -9 $PPID; sleep 1000");
    let id = push(&installation, "main", &commit(1));
    assert_eq!(installation.build_to_its_end(1), -9);
    installation.build(1);
    assert!(installation.path(&format!("queue/bad/build-{id}")).exists(), "{}", installation.log());
    assert_eq!(forge.statuses(&commit(1), "amp_ci").last().map(String::as_str), Some("error"));
}

#[test]
fn a_build_that_removes_its_record_and_ends_build_does_not_stay_pending_when_it_is_cancelled() {
    let forge = Forge::start(Kind::GitHub);
    let installation = reporting(&forge, "rm -rf \"$(dirname \"$0\")\"; kill -9 $PPID; sleep 1000");
    let id = push(&installation, "main", &commit(1));
    assert_eq!(installation.build_to_its_end(1), -9);
    fs::write(installation.path(&format!("queue/build-{id}.cancel")), "").unwrap();
    installation.build(1);
    assert_eq!(installation.record().outcome(), "cancelled");
    assert_eq!(forge.statuses(&commit(1), "amp_ci").last().map(String::as_str), Some("error"));
}
