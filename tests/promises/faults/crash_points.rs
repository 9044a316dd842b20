//! `build` at every single call that changes something: killed there, or refused it. The states an entry can be left
//! in are those of ARCHITECTURE.md, and the next `build` goes on from each.

use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt};

use crate::support::{
    files::names,
    installation::{Installation, Push},
    strace,
};

/// What changes something on the disk, or makes it stay, and what starts something.
const CHANGING: [&str; 15] = [
    "write",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "rmdir",
    "clone3",
    "pipe2",
    "flock",
];

/// With one push that fails, after it has left a mark.
fn installation() -> (Installation, String) {
    let ci = Installation::building("echo ran >> ../../ran; exit 3");
    let id = ci.push(&Push::to("r", "main"));
    (ci, id)
}

fn ran(ci: &Installation) -> usize {
    fs::read_to_string(ci.path("ran")).unwrap_or_default().lines().count()
}

/// Every such call of a whole run, and every file that is opened in the home: name and number.
fn points() -> BTreeSet<(String, usize)> {
    let (ci, _) = installation();
    assert!(strace::run(&ci, "build", &[], "").status.success());
    let home = format!("\"{}", ci.home().display());
    strace::calls(&ci)
        .into_iter()
        .filter(|call| {
            CHANGING.contains(&call.name.as_str()) || call.name == "openat" && call.text.contains(&home)
        })
        .map(|call| (call.name, call.number))
        .collect()
}

/// In the end: one record, one letter, nothing left.
fn assert_concluded(ci: &Installation, id: &str, what: &str) {
    ci.touch_outbox();
    assert_eq!(ci.build_to_its_end(1), 0, "{what}: {}", ci.log());
    let record = ci.record();
    assert_eq!(
        (record.id.as_str(), record.outcome(), &record.result["rc"]),
        (id, "failed", &3.into()),
        "{what}"
    );
    let about: Vec<_> =
        ci.letters().into_iter().filter(|letter| !letter.stem.starts_with("trouble-")).collect();
    assert_eq!(about.len(), 1, "{what}");
    assert_eq!(about[0].stem, id, "{what}");
    assert!(names(&ci.path("queue/bad")).is_empty(), "{what}");
    ci.assert_all_over();
}

#[test]
#[ignore = "second tier"]
fn killed_at_any_call_that_changes_something_the_next_build_goes_on_from_there() {
    if !strace::is_there() {
        return;
    }
    let mut killed = 0;
    for (name, number) in points() {
        let what = format!("killed at {name} {number}");
        let (ci, id) = installation();
        let output = strace::run(&ci, "build", &[], &format!("{name}:signal=KILL:when={number}"));
        if output.status.signal() != Some(9) {
            continue;
        }
        killed += 1;
        let is_final = ci.path(&format!("builds/{id}/result.json")).exists();
        let before = ran(&ci);
        assert_concluded(&ci, &id, &what);
        assert!(
            ran(&ci) <= 2 && (!is_final || ran(&ci) == before),
            "{what}: a build that has its result is not run again"
        );
        assert!(ci.record().result["attempts"].as_u64().unwrap() <= 2, "{what}");
    }
    assert!(killed > 40, "{killed}");
}

#[test]
#[ignore = "second tier"]
fn killed_while_it_rejects_an_entry_the_fallback_hears_all_the_same() {
    if !strace::is_there() {
        return;
    }
    let damaged = || {
        let ci = Installation::building("true");
        ci.entry("5.5", r#"{"repository": "../x"}"#);
        ci
    };
    let home = damaged();
    assert!(strace::run(&home, "build", &[], "").status.success());
    let calls = strace::calls(&home);
    let from =
        calls.iter().position(|call| call.text.contains("/queue/bad\"")).expect("it makes the directory");
    let to = calls
        .iter()
        .position(|call| call.text.contains("/queue/bad/build-5.5\", RENAME"))
        .expect("it moves the entry");
    for call in calls[from..=to].iter().filter(|call| CHANGING.contains(&call.name.as_str())) {
        let (ci, what) = (damaged(), format!("killed at {} {}", call.name, call.number));
        let output =
            strace::run(&ci, "build", &[], &format!("{}:signal=KILL:when={}", call.name, call.number));
        assert_eq!(output.status.signal(), Some(9), "{what}");
        ci.build(1);
        ci.assert_all_over();
        let bad: Vec<_> =
            names(&ci.path("queue/bad")).into_iter().filter(|name| !name.ends_with(".why")).collect();
        assert_eq!(bad.len(), 1, "{what}");
        assert!(ci.path(&format!("queue/bad/{}.why", bad[0])).exists(), "{what}");
        assert!(ci.letters().iter().any(|letter| letter.stem == format!("bad-{}", bad[0])), "{what}");
    }
}

#[test]
#[ignore = "second tier"]
fn refused_any_call_that_changes_something_no_try_is_burnt_and_all_goes_on() {
    if !strace::is_there() {
        return;
    }
    for (at, (name, number)) in points().into_iter().enumerate() {
        let error = ["ENOSPC", "EIO", "EMFILE"][at % 3];
        let what = format!("{name} {number} {error}");
        let (ci, id) = installation();
        let output = strace::run(&ci, "build", &[], &format!("{name}:error={error}:when={number}"));
        assert!(
            output.status.code().is_some_and(|code| code <= 1 || code == 127),
            "{what}: {:?}",
            output.status
        );
        let is_final = ci.path(&format!("builds/{id}/result.json")).exists();
        let before = ran(&ci);
        ci.end_pauses();
        assert_concluded(&ci, &id, &what);
        assert!(!is_final || ran(&ci) == before, "{what}: a build that has its result is not run again");
        assert_eq!(ci.record().result["attempts"], 1, "{what}: {}", ci.log());
    }
}
