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
fn points(ci: &Installation, arguments: &[&str]) -> BTreeSet<(String, usize)> {
    assert!(strace::run(ci, "build", arguments, "").status.success());
    let home = format!("\"{}", ci.home().display());
    strace::calls(ci)
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
    let about = ci.letters_about_builds();
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
    for (name, number) in points(&installation().0, &[]) {
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
    for (at, (name, number)) in points(&installation().0, &[]).into_iter().enumerate() {
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

/// What becomes of builds that are steered.
struct Steered {
    what: &'static str,
    /// The first of the ids is the steered one's.
    make: fn() -> (Installation, Vec<String>),
    /// Of these ids, in the end.
    outcomes: &'static [&'static str],
}

const STEERED: [Steered; 3] = [
    Steered {
        what: "a cancelled one that waits",
        make: || {
            let (ci, id) = installation();
            fs::write(ci.path(&format!("queue/build-{id}.cancel")), "").unwrap();
            (ci, vec![id])
        },
        outcomes: &["cancelled"],
    },
    Steered {
        what: "one that is cancelled while it runs",
        make: || {
            let ci = Installation::building(
                "echo ran >> ../../ran; touch ../../queue/build-$AMP_CI_BUILD_ID.cancel; sleep 7179.5",
            );
            let id = ci.push(&Push::to("r", "main"));
            (ci, vec![id])
        },
        outcomes: &["cancelled"],
    },
    Steered {
        what: "one that a newer push supersedes",
        make: || {
            let mut ci = Installation::building("echo ran >> ../../ran");
            ci.set("AMP_CI_NEWEST_ONLY", "yes");
            let ids = vec![ci.push(&Push::to("r", "main")), ci.push(&Push::to("r", "main"))];
            (ci, ids)
        },
        outcomes: &["superseded", "succeeded"],
    },
];

impl Steered {
    /// It ends so whatever the first `build` has met, with nothing left that steers, and nobody is written to.
    fn assert_concluded(&self, ci: &Installation, ids: &[String], what: &str, may_be_built: bool) {
        let is_final = ci.path(&format!("builds/{}/result.json", ids[0])).exists();
        let is_cancelled = ci.path(&format!("queue/build-{}.cancel", ids[0])).exists();
        let before = ran(ci);
        ci.end_pauses();
        ci.touch_outbox();
        assert_eq!(ci.build_to_its_end(1), 0, "{what}: {}", ci.log());
        let records = ci.records();
        let ended: Vec<_> = records.iter().map(|record| (record.id.as_str(), record.outcome())).collect();
        let expected: Vec<_> = ids.iter().map(String::as_str).zip(self.outcomes.iter().copied()).collect();
        // A newer push that cannot be read supersedes nothing.
        let is_built =
            may_be_built && ids.len() > 1 && ended.iter().all(|(_, outcome)| *outcome == "succeeded");
        assert!(ended == expected || is_built, "{what}: {ended:?}: {}", ci.log());
        if let [_, newer] = ids {
            assert!(is_built || records[0].result["superseded_by"] == newer.as_str(), "{what}");
        } else if is_final || is_cancelled {
            assert_eq!(ran(ci), before, "{what}: it is not run again");
        }
        let told = ci.letters_about_builds();
        assert!(told.is_empty(), "{what}: {told:?}");
        let left = names(&ci.path("queue")).into_iter().filter(|name| name.starts_with("build-"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0], "{what}");
        assert!(names(&ci.path("queue/bad")).is_empty(), "{what}: {}", ci.log());
        ci.assert_all_over();
    }
}

#[test]
#[ignore = "second tier"]
fn killed_at_any_call_what_is_cancelled_or_superseded_is_so_in_the_end_and_nobody_is_written_to() {
    if !strace::is_there() {
        return;
    }
    for steered in STEERED {
        let mut killed = 0;
        for (name, number) in points(&(steered.make)().0, &[]) {
            let what = format!("{}, killed at {name} {number}", steered.what);
            let (ci, ids) = (steered.make)();
            let output = strace::run(&ci, "build", &[], &format!("{name}:signal=KILL:when={number}"));
            killed += usize::from(output.status.signal() == Some(9));
            steered.assert_concluded(&ci, &ids, &what, false);
        }
        assert!(killed > 30, "{}: {killed}", steered.what);
    }
}

#[test]
#[ignore = "second tier"]
fn refused_any_call_what_is_cancelled_or_superseded_is_so_in_the_end_and_nobody_is_written_to() {
    if !strace::is_there() {
        return;
    }
    for steered in STEERED {
        let (ci, _) = (steered.make)();
        let mut points = points(&ci, &[]);
        for bell in strace::calls(&ci).iter().filter(|call| call.text.contains(r#"\0\0\0", 8"#)) {
            // No disk is asked for that one, and from run to run it is another.
            points.retain(|(name, number)| *name != bell.name || number.abs_diff(bell.number) > 2);
        }
        for (at, (name, number)) in points.into_iter().enumerate() {
            let error = ["ENOSPC", "EIO", "EMFILE"][at % 3];
            let what = format!("{}, {name} {number} {error}", steered.what);
            let (ci, ids) = (steered.make)();
            let output = strace::run(&ci, "build", &[], &format!("{name}:error={error}:when={number}"));
            assert!(
                output.status.code().is_some_and(|code| code <= 1 || code == 127),
                "{what}: {:?}",
                output.status
            );
            steered.assert_concluded(&ci, &ids, &what, true);
        }
    }
}

#[test]
#[ignore = "second tier"]
fn a_verb_that_is_killed_at_any_call_has_asked_or_has_not() {
    if !strace::is_there() {
        return;
    }
    let made = || {
        let (ci, id) = installation();
        let file = ci.path(&format!("queue/build-{id}.cancel"));
        (ci, id, file)
    };
    let (mut asked, mut unasked) = (0, 0);
    let (ci, id, _) = made();
    for (name, number) in points(&ci, &["cancel", &id]) {
        let (ci, id, file) = made();
        let inject = format!("{name}:signal=KILL:when={number}");
        strace::run(&ci, "build", &["cancel", &id, "--reason", "wrong branch"], &inject);
        let is_asked = file.exists();
        *(if is_asked { &mut asked } else { &mut unasked }) += 1;
        ci.build(1);
        let record = ci.record();
        assert_eq!(record.outcome(), if is_asked { "cancelled" } else { "failed" }, "{inject}");
        assert!(
            !is_asked || record.result["reason"].as_str().unwrap().ends_with(": wrong branch"),
            "{inject}"
        );
        assert!(!file.exists() && ran(&ci) == usize::from(!is_asked), "{inject}");
        ci.assert_all_over();
    }
    assert!(asked > 0 && unasked > 0, "{asked} {unasked}");

    let (mut held, mut unheld) = (0, 0);
    for (name, number) in points(&installation().0, &["hold", "for the move"]) {
        let (ci, _) = installation();
        let inject = format!("{name}:signal=KILL:when={number}");
        strace::run(&ci, "build", &["hold", "for the move"], &inject);
        let said = fs::read_to_string(ci.path("queue/hold")).ok();
        *(if said.is_some() { &mut held } else { &mut unheld }) += 1;
        ci.build(1);
        assert_eq!(ci.records().len(), usize::from(said.is_none()), "{inject}");
        if let Some(said) = said {
            assert!(said.ends_with(": for the move\n"), "{inject}: {said}");
            assert!(ci.command("build").arg("unhold").output().unwrap().status.success());
            ci.build(1);
        }
        assert_eq!(ci.record().outcome(), "failed");
        ci.assert_all_over();
    }
    assert!(held > 0 && unheld > 0, "{held} {unheld}");
}
