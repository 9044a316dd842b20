//! Stored before answered: `queue_build` says `queued` only of what is on the disk, whatever fails on the way.

use std::{fs, os::unix::process::ExitStatusExt};

use crate::support::{
    files::names,
    installation::{Installation, Push},
    strace::{self, Call},
};

/// The whole calls of a run to which nothing happens; from `own` on they are made by our own code.
fn undisturbed(push: &Push) -> (Vec<Call>, usize) {
    let ci = Installation::new();
    let output = strace::run(&ci, "queue_build", &push.arguments(), "");
    assert!(output.status.success());
    let calls = strace::calls(&ci);
    let home = format!("\"{}", ci.home().display());
    let own = calls.iter().position(|call| call.text.contains(&home)).expect("it looks at the home");
    (calls, own)
}

/// Of starting and of ending there is nothing to tell.
fn can_fail(call: &Call) -> bool {
    // Who we are is always known, by getuid(2).
    !["execve", "exit_group", "geteuid", "getuid"].contains(&call.name.as_str())
}

/// The entries that `build` would take.
fn waiting(ci: &Installation) -> Vec<String> {
    names(&ci.path("queue")).into_iter().filter(|name| name.starts_with("build-")).collect()
}

#[test]
#[ignore = "second tier"]
fn it_answers_after_write_fsync_rename_without_overwrite_and_fsync_of_the_directory() {
    if !strace::is_there() {
        return;
    }
    let (calls, own) = undisturbed(&Push::to("r", "main"));
    let mut rest = calls[own..].iter();
    for (name, with) in [
        ("openat", "/queue/.new-"),
        ("write", "{\\\"repository\\\": \\\"r\\\""),
        ("fsync", "= 0"),
        ("flock", "LOCK_EX|LOCK_NB) = 0"),
        ("renameat2", "RENAME_NOREPLACE) = 0"),
        ("openat", "/queue\", O_RDONLY"),
        ("fsync", "= 0"),
        ("write", "(1, \"queued build-"),
    ] {
        assert!(
            rest.any(|call| call.name == name && call.text.contains(with)),
            "{name} ... {with} in its place"
        );
    }
    let after: Vec<_> = rest.map(|call| call.name.as_str()).collect();
    assert!(!after.iter().any(|name| ["write", "fsync", "renameat2", "openat"].contains(name)), "{after:?}");
}

/// With one call failing: queued and said so, or not queued and said why.
fn fails_well(push: &Push, call: &str, error: &str, is_own: bool) {
    let ci = Installation::new();
    let [name, number] = [call.split(':').next().unwrap(), call.split(':').nth(1).unwrap()];
    let output =
        strace::run(&ci, "queue_build", &push.arguments(), &format!("{name}:error={error}:when={number}"));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let what = format!("{call} {error}: {:?} {said} {complained}", output.status);
    if output.status.success() {
        let waiting = waiting(&ci);
        assert_eq!(waiting.len(), 1, "{what}");
        if !said.is_empty() {
            assert_eq!(said, format!("queued {}\n", waiting[0]), "{what}");
        }
        let entry = fs::read_to_string(ci.path("queue").join(&waiting[0])).unwrap();
        let entry: serde_json::Value = serde_json::from_str(&entry).expect("it is whole");
        let expected: serde_json::Value = serde_json::from_str(&push.json()).unwrap();
        assert_eq!(entry, expected, "{what}");
        return;
    }
    assert_eq!(waiting(&ci), [""; 0], "{what}");
    assert_eq!(said, "", "{what}");
    if is_own {
        // std gives up on a directory that cannot be closed.
        let code = if name == "close" { 101 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{what}");
        assert!(complained.contains("queue_build: ") || name == "close", "{what}");
    }
    if error == "EINTR" {
        let is_asked_again =
            ["openat", "read", "write", "fsync", "flock", "pwrite64", "ftruncate", "renameat2", "getdents64"];
        assert!(!is_own || !is_asked_again.contains(&name), "{what}");
    }
    // Nothing is left that would be in the way of the next.
    ci.push(push);
    assert_eq!(waiting(&ci).len(), 1, "{what}");
}

#[test]
#[ignore = "second tier"]
fn whichever_call_fails_it_is_queued_or_it_is_said_why_not() {
    if !strace::is_there() {
        return;
    }
    let push = Push::to("r", "feature/x");
    let (calls, own) = undisturbed(&push);
    let mut cases = Vec::new();
    for (at, Call { name, number, .. }) in calls.iter().enumerate().filter(|(_, call)| can_fail(call)) {
        let is_own = at >= own;
        let errors: &[&str] = if is_own { &["EIO", "ENOSPC", "EINTR", "EMFILE", "EACCES"] } else { &["EIO"] };
        cases.extend(errors.iter().map(|error| (format!("{name}:{number}"), *error, is_own)));
    }
    assert!(cases.len() > 150, "{}", cases.len());
    let (first, second) = cases.split_at(cases.len() / 2);
    let push = &push;
    std::thread::scope(|scope| {
        for cases in [first, second] {
            scope.spawn(move || {
                for (call, error, is_own) in cases {
                    fails_well(push, call, error, *is_own);
                }
            });
        }
    });
}

#[test]
#[ignore = "second tier"]
fn killed_at_any_call_it_leaves_a_whole_entry_or_none() {
    if !strace::is_there() {
        return;
    }
    let push = Push::to("r", "main");
    let (calls, own) = undisturbed(&push);
    let mut stored = 0;
    for Call { name, number, .. } in calls[own..].iter().filter(|call| can_fail(call)) {
        let ci = Installation::building("true");
        let output =
            strace::run(&ci, "queue_build", &push.arguments(), &format!("{name}:signal=KILL:when={number}"));
        assert_eq!(output.status.signal(), Some(9), "{name} {number}");
        let left = waiting(&ci).len();
        stored += left;
        assert!(output.stdout.is_empty() || left == 1, "{name} {number}: answered, and not stored");
        // The next one is not held up, and what is there is built.
        ci.push(&push);
        ci.build(1);
        assert_eq!(ci.records().len(), left + 1, "{name} {number}");
    }
    assert!(stored > 3, "it was killed after the entry was there, too");
}
