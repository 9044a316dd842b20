//! A push that never arrived is built all the same, and nothing else is.

use std::{fmt::Write, fs, net::TcpListener, path::Path, process::Command, time::Duration};

use amp_ci::{
    forge::catch_up::{self, CaughtUp, How, Pauses},
    git::GitBase,
    home::Home,
    queue::Origin,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    files::{names, temp_dir},
    wait::until,
};

/// A forge with a repository of real git, and a home that knows of it what it is told.
struct Site {
    dir: TempDir,
    git_base: String,
    pauses: Pauses,
}

impl Site {
    fn new() -> Self {
        let dir = temp_dir();
        for sub in ["home/queue", "home/scripts", "home/builds", "forge", "work"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let site = Self {
            git_base: format!("file://{}/forge", dir.path().display()),
            dir,
            pauses: Pauses { patience: Duration::from_secs(60), between_looks: Duration::ZERO },
        };
        site.repository("amp_mgms");
        site
    }

    fn repository(&self, name: &str) {
        self.git("forge", &["init", "--quiet", "--bare", name]);
        self.git("work", &["init", "--quiet", name]);
        let work = format!("work/{name}");
        self.git(&work, &["remote", "add", "origin", &format!("{}/{name}", self.git_base)]);
    }

    fn git(&self, dir: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(self.dir.path().join(dir))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// A commit of its own, pushed to this branch by force; returns its hash.
    fn push(&self, branch: &str) -> String {
        let work = "work/amp_mgms";
        self.git(work, &["commit", "--quiet", "--allow-empty", "-m", branch]);
        self.git(work, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.git(work, &["rev-parse", "HEAD"])
    }

    fn path(&self, relative: &str) -> std::path::PathBuf {
        self.dir.path().join("home").join(relative)
    }

    /// As if this had been pushed and built.
    fn record(&self, id: &str, git_ref: &str, commit: &str) {
        let dir = self.path("builds").join(id);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("request.json"), entry(git_ref, commit)).unwrap();
    }

    fn look(&self, how: How) -> CaughtUp {
        let home = Home::find(Some(&self.dir.path().join("home"))).unwrap();
        let base = GitBase::parse(&self.git_base).unwrap();
        // A child that another test has just forked holds for a moment whatever is open here, this lock too.
        until("nobody else is at it", || catch_up::run(&home, &base, how, &self.pauses).unwrap())
    }

    /// Ref and commit of what waits in the queue.
    fn waiting(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_string();
        entries(&self.path("queue"))
            .iter()
            .map(|entry| (text(&entry["ref"]), text(&entry["commit_id"])))
            .collect()
    }
}

fn entries(queue: &Path) -> Vec<Value> {
    let names = names(queue).into_iter().filter(|name| name.starts_with("build-"));
    names.map(|name| serde_json::from_slice(&fs::read(queue.join(name)).unwrap()).unwrap()).collect()
}

fn entry(git_ref: &str, commit: &str) -> String {
    json!({ "repository": "amp_mgms", "ref": git_ref, "commit_id": commit }).to_string()
}

const MAIN: &str = "refs/heads/main";

#[test]
fn a_push_that_came_while_the_machine_was_off_is_queued_when_two_looks_have_missed_it() {
    let site = Site::new();
    let built = site.push("main");
    site.record("1.0", MAIN, &built);
    assert_eq!(site.look(How::Once).look.unknown, []);
    let missed = site.push("main");
    // It may be on its way.
    assert_eq!(site.look(How::Once).queued.len(), 0);
    assert_eq!(site.look(How::Once).queued.len(), 1);
    assert_eq!(site.waiting(), [(MAIN.to_string(), missed)]);
    // And from now on it is known.
    for _ in 0..2 {
        assert_eq!(site.look(How::Once).queued.len(), 0);
    }
    let entry = entries(&site.path("queue")).remove(0);
    assert_eq!((&entry["committer_name"], &entry["committer_email"]), (&json!("committer"), &json!("")));
    let origin = Origin::of_entry(entry.to_string().as_bytes()).expect("it says why it is there");
    assert_eq!(serde_json::to_value(origin.why).unwrap(), "catch-up");
    assert!(origin.by.contains('@'), "{}", origin.by);
}

#[test]
fn a_delivery_that_was_only_late_is_not_queued_twice() {
    let site = Site::new();
    site.record("1.0", MAIN, &site.push("main"));
    let late = site.push("main");
    site.look(How::Once);
    for place in ["queue/build-2.0", "queue/build-2.0.lock", "queue/bad/build-2.0", "builds/2.0/request.json"]
    {
        fs::create_dir_all(site.path(place).parent().unwrap()).unwrap();
        fs::write(site.path(place), entry(MAIN, &late)).unwrap();
        let found = site.look(How::Once);
        assert_eq!((found.queued.len(), found.look.unknown.len()), (0, 0), "known by {place}");
        fs::remove_file(site.path(place)).unwrap();
        // One look more that misses it.
        site.look(How::Once);
        fs::remove_file(site.path("queue/catch-up.json")).unwrap();
        site.look(How::Once);
    }
}

#[test]
fn who_asks_gets_both_looks_at_once_and_who_only_wants_to_see_changes_nothing() {
    let site = Site::new();
    site.record("1.0", MAIN, &site.push("main"));
    let missed = site.push("main");
    let seen = site.look(How::Dry);
    assert_eq!(seen.look.unknown[0].commit_id.as_str(), missed);
    assert_eq!((site.waiting().len(), site.path("queue/catch-up.json").exists()), (0, false));
    assert_eq!(site.look(How::Twice).queued.len(), 1);
    assert_eq!(site.waiting(), [(MAIN.to_string(), missed)]);
}

#[test]
fn only_branches_that_have_been_built_here_are_looked_at() {
    let site = Site::new();
    let commit = site.push("main");
    site.record("1.0", MAIN, &commit);
    // A tag is not a branch, and a branch that was never pushed here is nobody's wish.
    site.record("2.0", "refs/tags/v1", &commit);
    site.push("other");
    site.git("work/amp_mgms", &["push", "--quiet", "origin", "HEAD:refs/tags/v1"]);
    assert_eq!(site.look(How::Twice).look.unknown, []);
    // The same commit on another branch is another build.
    site.record("3.0", "refs/heads/other", &commit);
    assert_eq!(site.look(How::Twice).queued.len(), 1);
}

#[test]
fn force_pushes_and_deleted_branches_are_seen_as_they_are_now() {
    let site = Site::new();
    let first = site.push("main");
    site.record("1.0", MAIN, &first);
    for (id, branch) in [("2.0", "gone"), ("3.0", "rewound"), ("4.0", "replaced")] {
        site.record(id, &format!("refs/heads/{branch}"), &site.push(branch));
    }
    let work = "work/amp_mgms";
    site.git(work, &["push", "--quiet", "origin", ":refs/heads/gone"]);
    site.git(work, &["push", "--quiet", "--force", "origin", &format!("{first}:refs/heads/rewound")]);
    let replaced = site.push("replaced");
    site.look(How::Twice);
    let expected = [("refs/heads/replaced", &replaced), ("refs/heads/rewound", &first)];
    let mut waiting = site.waiting();
    waiting.sort();
    assert_eq!(waiting, expected.map(|(git_ref, commit)| (git_ref.to_string(), commit.clone())));
}

#[test]
fn a_repository_with_five_thousand_branches_is_looked_at_like_any_other() {
    let site = Site::new();
    site.record("1.0", MAIN, &site.push("main"));
    let missed = site.push("main");
    let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for number in 0..5000 {
        writeln!(packed, "{missed} refs/heads/topic/{number}").unwrap();
    }
    fs::write(site.dir.path().join("forge/amp_mgms/packed-refs"), packed).unwrap();
    assert_eq!(
        site.git("forge/amp_mgms", &["for-each-ref", "--format=x", "refs/heads/topic"]).lines().count(),
        5000
    );
    assert_eq!(site.look(How::Twice).queued.len(), 1);
    assert_eq!(site.waiting(), [(MAIN.to_string(), missed)]);
}

#[test]
fn a_server_that_is_down_or_silent_keeps_nobody_from_the_others_for_long() {
    let mut site = Site::new();
    let commit = site.push("main");
    site.record("1.0", MAIN, &commit);
    fs::remove_dir_all(site.dir.path().join("forge/amp_mgms")).unwrap();
    let failed = site.look(How::Once).look.failed;
    assert!(failed["amp_mgms"].contains("git ls-remote ended with"), "{failed:?}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    site.git_base = format!("https://{}", silent.local_addr().unwrap());
    let patience = std::mem::replace(&mut site.pauses.patience, Duration::from_millis(300));
    let failed = site.look(How::Once).look.failed;
    assert!(failed["amp_mgms"].contains("no answer within"), "{failed:?}");
    drop(silent);
    site.pauses.patience = patience;
    let failed = site.look(How::Once).look.failed;
    assert!(failed["amp_mgms"].contains("git ls-remote ended with"), "{failed:?}");
}

#[test]
fn what_a_look_has_seen_does_not_decide_when_it_cannot_be_read() {
    let site = Site::new();
    site.record("1.0", MAIN, &site.push("main"));
    site.push("main");
    site.look(How::Once);
    fs::write(site.path("queue/catch-up.json"), "{\"unknown\": [{\"repository\": \"../..\"}]}").unwrap();
    assert_eq!(site.look(How::Once).queued.len(), 0);
    assert_eq!(site.look(How::Once).queued.len(), 1);
}
