//! Every state that ARCHITECTURE.md lists is shown as what it is, and whatever else may lie around harms nobody.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::{Value, json};

use crate::support::installation::{COMMIT, Installation, Push};

/// A home whose files are put in place by hand.
struct Home(Installation);

impl Home {
    fn new() -> Self {
        let ci = Installation::new();
        fs::create_dir(ci.path("builds")).unwrap();
        let home = Self(ci);
        home.drain(&json!({"pid": 7, "started": now(-60), "looked": now(0), "threads": 1}));
        home
    }

    fn drain(&self, state: &Value) -> &Self {
        self.file("queue/drain.json", &state.to_string())
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn request(&self, path: &str, push: &Push) -> &Self {
        self.file(path, &push.json())
    }

    fn running(&self, id: &str) -> &Self {
        let running = json!({"attempt": 2, "host": "ci1", "pid": 7, "script_pid": 8, "started": now(-5), "workspace": "/w"});
        self.file(&format!("builds/{id}/running.json"), &running.to_string())
    }

    fn finished(&self, id: &str, push: &Push, outcome: &str) -> &Self {
        let result = json!({"outcome": outcome, "rc": 0, "reason": null, "started": now(-9), "finished": now(-8),
            "seconds": 1.5, "attempts": 1, "host": "ci1"});
        self.request(&format!("builds/{id}/request.json"), push);
        self.file(&format!("builds/{id}/result.json"), &result.to_string())
    }

    fn document(&self) -> Value {
        let output = self.0.command("build").args(["status", "--json"]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["schema"], 1);
        assert_eq!(output.status.code(), Some(i32::from(document["well"] == false)), "{document}");
        document
    }

    /// The values of this field in this part of the document.
    fn all(&self, part: &str, field: &str) -> Vec<Value> {
        self.document()[part].as_array().unwrap().iter().map(|one| one[field].clone()).collect()
    }
}

fn now(seconds: i64) -> String {
    let time = Command::new("date")
        .args(["-u", "-d", &format!("{seconds} seconds"), "+%FT%T.%3NZ"])
        .output()
        .unwrap();
    String::from_utf8(time.stdout).unwrap().trim().to_string()
}

fn main_branch() -> Push {
    Push::to("amp_mgms", "main")
}

#[test]
fn an_empty_home_is_shown_and_says_that_nobody_has_looked_at_its_queue() {
    let home = Home::new();
    fs::remove_file(home.0.path("queue/drain.json")).unwrap();
    fs::remove_dir(home.0.path("builds")).unwrap();
    let document = home.document();
    assert_eq!(document["drain"]["running"], Value::Null);
    assert_eq!(document["problems"][0]["check"], "drain");
    for part in ["running", "waiting", "recent", "branches", "bad"] {
        assert_eq!(document[part], json!([]), "{part}");
    }
    assert_eq!(document["letters"], json!({"waiting": 0, "failed": 0}));
}

#[test]
fn entries_are_shown_in_each_state_of_the_table() {
    let home = Home::new();
    home.file("queue/.new-x", "{").request("queue/build-1795346001.1", &main_branch()); // N, W
    home.request("queue/build-1795346002.1", &Push::to("again", "main")); // A
    home.request("builds/1795346002.1/request.json", &Push::to("again", "main")).running("1795346002.1");
    home.request("queue/build-1795346003.1.lock", &Push::to("claimed", "main")); // C
    home.request("queue/build-1795346004.1.lock", &Push::to("prepared", "main")); // P
    home.request("builds/1795346004.1/request.json", &Push::to("prepared", "main"));
    home.request("queue/build-1795346005.1.lock", &Push::to("runs", "main")).running("1795346005.1"); // R
    home.request("queue/build-1795346006.1.lock", &Push::to("over", "main")); // F, T
    home.finished("1795346006.1", &Push::to("over", "main"), "failed").running("1795346006.1");
    home.file("outbox/1795346006.1.eml", "").file("outbox/.new-y", "");
    home.finished("1795346007.1", &Push::to("finished", "main"), "succeeded"); // M, O
    home.file("queue/bad/build-1795346008.1", "{").file("queue/bad/build-1795346008.1.why", "no request\n"); // B
    home.request("builds/1795346009.1/request.json", &Push::to("removed", "main")).running("1795346009.1"); // U
    home.request("queue/build-1795346005.1", &Push::to("second", "main")); // D
    home.request("queue/build-1795346007.1", &Push::to("third", "main")); // X
    home.finished(".removed-1795346010.1", &main_branch(), "failed");

    let document = home.document();
    let list = |part: &str, field: &str| -> Vec<(String, Value)> {
        let all = document[part].as_array().unwrap().iter();
        let mut all: Vec<_> =
            all.map(|one| (one["id"].as_str().unwrap().to_string(), one[field].clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let expected = |all: &[(&str, &str)]| -> Vec<(String, Value)> {
        all.iter().map(|(id, value)| (format!("179534600{id}.1"), json!(value))).collect()
    };
    assert_eq!(
        list("running", "stage"),
        expected(&[("3", "preparing"), ("4", "preparing"), ("5", "running"), ("9", "entry_removed")])
    );
    assert_eq!(
        list("waiting", "waits_for"),
        expected(&[("1", "slot"), ("2", "slot"), ("5", "decision"), ("7", "decision")])
    );
    assert_eq!(list("recent", "outcome"), expected(&[("6", "failed"), ("7", "succeeded")]));
    assert_eq!(list("waiting", "attempts")[1].1, 2, "it has been tried");
    assert_eq!(document["bad"], json!([{"name": "build-1795346008.1", "why": "no request"}]));
    assert_eq!(document["letters"], json!({"waiting": 1, "failed": 0}));
}

#[test]
fn it_is_told_why_each_entry_waits() {
    let home = Home::new();
    home.drain(&json!({"pid": 7, "started": now(-60), "looked": now(0), "threads": 3}));
    home.request("queue/build-1795346001.1.lock", &Push::to("a", "main")).running("1795346001.1");
    for (id, push) in [
        ("2", Push::to("a", "master")),
        ("3", Push::to("b", "main")),
        ("4", Push::to("b", "main")),
        ("5", Push::to("c", "main")),
        ("6", Push::to("d", "main")),
        ("7", Push::to("e", "main")),
        ("8", Push::to("f", "main")),
    ] {
        home.request(&format!("queue/build-179534600{id}.1"), &push);
    }
    home.file("queue/build-1795346005.1.cancel", "");
    home.file("queue/build-1795346006.1.retry", &json!({"count": 1, "until": now(60)}).to_string());
    let waits = |home: &Home| home.all("waiting", "waits_for");
    assert_eq!(
        waits(&home),
        [
            json!("branch"),
            json!("nothing"),
            json!("older_entry"),
            json!("cancel"),
            json!("pause"),
            json!("nothing"),
            json!("slot")
        ]
    );
    assert_eq!(home.all("waiting", "behind")[0], "1795346001.1");
    assert_eq!(home.all("waiting", "behind")[2], "1795346003.1");

    home.file("queue/hold", "ana@ci: the cluster moves\n");
    assert_eq!(waits(&home)[1..3], [json!("hold"), json!("hold")]);
    let document = home.document();
    assert_eq!(document["drain"]["hold"]["text"], "ana@ci: the cluster moves");
    assert_eq!(document["well"], true, "to be held is no fault");

    fs::remove_file(home.0.path("queue/hold")).unwrap();
    home.drain(&json!({"pid": 7, "started": now(-600), "looked": now(-100)}));
    assert_eq!(waits(&home)[1], "drain", "silent for 90 seconds");
}

#[test]
fn ci_is_not_well_when_nobody_looks_when_something_is_stuck_and_when_a_trouble_stands() {
    let home = Home::new();
    assert_eq!(home.document()["problems"], json!([]));
    home.drain(&json!({"pid": 7, "started": now(-2000), "looked": now(0), "threads": 1, "troubles": ["No space left on device"]}));
    assert_eq!(home.all("problems", "text"), ["No space left on device"]);
    home.drain(&json!({"pid": 7, "started": now(-2000), "looked": now(-1000), "ended": now(-1000)}));
    assert_eq!(home.all("problems", "check"), ["drain"]);
    home.drain(&json!({"pid": 7, "started": now(-2000), "looked": now(-800), "ended": now(-800)}));
    assert_eq!(home.document()["problems"], json!([]), "cron has 15 minutes");
    home.drain(&json!({"pid": 7, "looked": now(0), "min_free": u64::MAX}));
    assert_eq!(home.all("problems", "check"), ["disk"]);
}

#[test]
fn garbage_links_directories_and_pipes_are_shown_as_such_and_not_followed_or_waited_for() {
    let home = Home::new();
    let secret = home.0.path("secret");
    fs::write(&secret, Push::to("secret", "main").json()).unwrap();
    let pipe =
        |path: &str| assert!(Command::new("mkfifo").arg(home.0.path(path)).status().unwrap().success());

    home.file("queue/build-1795346001.1", "no JSON, and nobody is writing it any more");
    Command::new("touch")
        .args(["-d", "1 hour ago"])
        .arg(home.0.path("queue/build-1795346001.1"))
        .status()
        .unwrap();
    home.file("queue/build-1795346002.1", r#"{"repository": "half an ent"#);
    symlink(&secret, home.0.path("queue/build-1795346003.1")).unwrap();
    fs::create_dir(home.0.path("queue/build-1795346004.1")).unwrap();
    pipe("queue/build-1795346005.1");
    symlink(&secret, home.0.path("queue/hold")).unwrap();

    home.file("builds/1795346011.1/result.json", "garbage")
        .request("builds/1795346011.1/request.json", &main_branch());
    home.file("builds/1795346012.1/result.json", r#"{"outcome": "abducted"}"#);
    fs::create_dir_all(home.0.path("builds/1795346013.1")).unwrap();
    symlink(&secret, home.0.path("builds/1795346013.1/request.json")).unwrap();
    symlink(&secret, home.0.path("builds/1795346013.1/result.json")).unwrap();
    symlink(home.0.path("builds/1795346011.1"), home.0.path("builds/1795346014.1")).unwrap();
    fs::create_dir_all(home.0.path("builds/1795346015.1")).unwrap();
    pipe("builds/1795346015.1/result.json");
    home.file("builds/1795346016.1", "a file");
    fs::create_dir_all(home.0.path("builds/1795346017.1/result.json")).unwrap();
    fs::create_dir_all(home.0.path("builds/1795346018.1")).unwrap();
    home.file(&format!("builds/1795346019.{}", "1".repeat(220)), "no id is that long");
    home.file("builds/1795346020.1/result.json", &"x".repeat(2 << 20));

    let document = home.document();
    assert_eq!(home.all("waiting", "waits_for"), vec![json!("decision"); 5]);
    assert_eq!(
        home.all("waiting", "waits_for_text"),
        [
            "is no request: it is no JSON",
            "is being written",
            "not a regular file",
            "not a regular file",
            "not a regular file"
        ]
    );
    assert_eq!(document["drain"]["hold"]["text"], Value::Null, "it is held, and a link is not read");
    assert_ne!(document["drain"]["hold"], Value::Null);
    let recent = document["recent"].as_array().unwrap();
    let problems: Vec<_> =
        recent.iter().map(|one| (one["id"].as_str().unwrap(), one["problem"].as_str().unwrap())).collect();
    assert_eq!(
        problems,
        [
            ("1795346020.1", "result.json: larger than 1 MiB"),
            ("1795346018.1", "result.json is not there"),
            ("1795346017.1", "result.json: not a regular file"),
            ("1795346016.1", "is not a directory"),
            ("1795346015.1", "result.json: not a regular file"),
            ("1795346014.1", "is not a directory"),
            ("1795346013.1", "result.json: not a regular file"),
            ("1795346012.1", "result.json does not say what it should"),
            ("1795346011.1", "result.json is no JSON"),
        ]
    );
    assert!(!document.to_string().contains("secret\""), "nothing was read through a link: {document}");
}

#[test]
fn no_address_is_shown() {
    let home = Home::new();
    let by_address = main_branch().by("ana@example.org", "ana@example.org");
    home.request("queue/build-1795346001.1", &by_address).finished("1795346002.1", &by_address, "failed");
    let document = home.document();
    assert!(!document.to_string().contains('@'), "{document}");
    assert_eq!(document["waiting"][0]["committer"], "ana");
}

#[test]
fn a_branch_is_red_since_the_push_that_broke_it() {
    let home = Home::new();
    let push = |who: &str| main_branch().by(who, "");
    home.finished("1795346001.1", &push("ana"), "succeeded").finished("1795346002.1", &push("ben"), "failed");
    home.finished("1795346003.1", &push("eve"), "timed_out").finished(
        "1795346004.1",
        &push("ana"),
        "skipped",
    );
    home.finished("1795346005.1", &Push::to("amp_mgms", "other"), "succeeded");
    let document = home.document();
    let red = &document["branches"][0];
    assert_eq!((&red["ref"], &red["outcome"]), (&json!("refs/heads/main"), &json!("timed_out")));
    let since = json!({"build": "1795346002.1", "finished": red["red_since"]["finished"], "committer": "ben", "commit_id": COMMIT});
    assert_eq!(red["red_since"], since);
    assert_eq!(document["branches"][1]["red_since"], Value::Null);
}

#[test]
fn only_the_newest_500_records_are_opened() {
    let home = Home::new();
    for number in 0..510 {
        home.finished(&format!("1795346{number:03}.1"), &main_branch(), "succeeded");
    }
    let document = home.document();
    assert_eq!(document["records_total"], 510);
    let recent = document["recent"].as_array().unwrap();
    assert_eq!((recent.len(), &recent[0]["id"]), (500, &json!("1795346509.1")));
}
