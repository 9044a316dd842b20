//! The power goes: whatever the disk may hold then, an answered push is there once, nothing half is built, a result that was
//! told stays, and somebody hears. Not beside real disks, but in every state that the model in `support/disk.rs` allows.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::support::{
    disk::{CALLS, Operation, Recording, Tree, tree},
    files::names,
    installation::{Installation, Letter, Push},
    mail_server::MailServer,
    strace,
};

/// With builds that fail, and leave a mark each.
fn installation() -> Installation {
    Installation::building("echo ran >> ../../ran; exit 3")
}

fn ran(ci: &Installation) -> usize {
    fs::read_to_string(ci.path("ran")).unwrap_or_default().lines().count()
}

/// What this program does to the home.
fn recorded(ci: &Installation, program: &str, arguments: &[&str]) -> Recording {
    let before = tree(ci.home());
    let mut strace = ci.command("strace");
    strace.args(["-f", "-y", "-xx", "-s", "1000000", "-b", "execve", "--signal=none", "-e", CALLS, "-o"]);
    let trace = tempfile::NamedTempFile::new().unwrap();
    strace.arg(trace.path()).arg(ci.command(program).get_program()).args(arguments);
    assert!(strace.output().unwrap().status.success());
    Recording::of(&fs::read_to_string(trace.path()).unwrap(), ci.home(), before)
}

/// A home in this state.
fn made(state: &Tree) -> Installation {
    let ci = installation();
    for (name, content) in state {
        let (path, mode) =
            (ci.path(name), if name.contains("/.") || name.contains("outbox") { 0o600 } else { 0o640 });
        match content {
            _ if path.parent().is_some_and(|parent| !parent.exists()) => {}
            Some(content) => {
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            None => _ = fs::create_dir(&path),
        }
    }
    ci
}

/// Every state of it, and whether the power went after `told`.
fn states(recording: &Recording, told: usize) -> Vec<(Tree, bool)> {
    let ends = 0..=recording.operations.len();
    let elsewhere = |name: &str| name.starts_with("mail/");
    let states = ends
        .flat_map(|end| recording.states(end, &elsewhere).into_iter().map(move |state| (state, end > told)));
    states.collect::<BTreeSet<_>>().into_iter().collect()
}

/// In parallel.
pub fn on_each<T: Sync>(states: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(state) = states.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(state);
                }
            });
        }
    });
}

/// As people would see it.
pub fn shown(state: &Tree) -> String {
    let text = |content: &Vec<u8>| String::from_utf8_lossy(content).chars().take(60).collect::<String>();
    let line =
        |(name, content): (&String, &Option<Vec<u8>>)| format!("{name}: {:?}\n", content.as_ref().map(text));
    state.iter().filter(|(name, _)| !name.starts_with("scripts")).map(line).collect()
}

/// It waits and has a result: whose that is cannot be known, and one has to look.
fn is_strange(state: &Tree, id: &str) -> bool {
    let names = [format!("builds/{id}/result.json"), format!("queue/build-{id}")];
    names.iter().all(|name| state.contains_key(name))
}

#[test]
#[ignore = "second tier"]
fn whatever_the_disk_holds_of_an_answered_push_it_is_built_once_and_no_half_one_ever_is() {
    if !strace::is_there() {
        return;
    }
    let (ci, push) = (installation(), Push::to("r", "main"));
    let recording = recorded(&ci, "queue_build", &push.arguments());
    let said = recording.operations.iter().position(|operation| matches!(operation, Operation::Said));
    let states = states(&recording, said.expect("it answers"));
    println!("{} states", states.len());
    assert!(states.len() > 10, "{}", states.len());
    on_each(&states, |&(ref state, answered)| {
        let (ci, what) = (made(state), shown(state));
        ci.build(1);
        let there = ci.records().len();
        assert!(there == 1 || there == 0 && !answered, "answered: {answered}, {there} are built of\n{what}");
        assert_eq!((ran(&ci), ci.letters().len()), (there, there), "{what}");
        assert_eq!(names(&ci.path("queue/bad")), [""; 0], "{what}");
        ci.push(&push);
        ci.build(1);
        assert_eq!((ran(&ci), ci.records().len()), (there + 1, there + 1), "the next one, after\n{what}");
        ci.assert_all_over();
    });
}

#[test]
#[ignore = "second tier"]
fn whatever_the_disk_holds_of_a_build_it_has_one_result_which_stays_once_told_and_a_letter() {
    if !strace::is_there() {
        return;
    }
    let ci = installation();
    let id = ci.push(&Push::to("r", "main"));
    let recording = recorded(&ci, "build", &[]);
    let result = ci.record().result;
    let letter = format!("outbox/{id}.eml");
    let told = recording.making(|name| name == letter);
    let is_of_builds =
        |operation: &Operation| matches!(operation, Operation::SyncDirectory(dir) if dir == "builds");
    assert!(
        recording.operations[..told].iter().any(is_of_builds),
        "the model grants its name to a synced record, fsync(2) does not"
    );
    let states = states(&recording, told);
    println!("{} states", states.len());
    assert!(states.len() > 200, "{}", states.len());
    on_each(&states, |&(ref state, told)| {
        let (ci, what) = (made(state), shown(state));
        let is_final = state.contains_key(&format!("builds/{id}/result.json"));
        assert!(is_final || !told, "the result that was told is lost:\n{what}");
        assert_eq!(ci.build_to_its_end(1), 0, "{}\n{what}", ci.log());
        if is_strange(state, &id) {
            assert_eq!((ran(&ci), names(&ci.path("queue/bad")).len()), (0, 2), "{what}");
            let kept = fs::read(ci.path(&format!("builds/{id}/result.json"))).unwrap();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&kept).unwrap(), result, "{what}");
            assert!(ci.letters().iter().any(|letter| letter.to.contains("operator")), "{what}");
            return ci.assert_all_over();
        }
        let record = ci.records().pop().unwrap_or_else(|| panic!("no record, told: {told}\n{what}"));
        assert_eq!((record.id.as_str(), &record.result["rc"]), (id.as_str(), &3.into()), "{what}");
        assert_eq!(ran(&ci), usize::from(!is_final), "{what}");
        assert!(!is_final || record.result == result, "another result than before:\n{what}");
        let letters: Vec<_> = ci.letters().into_iter().map(|letter| letter.stem).collect();
        assert_eq!(letters, [id.as_str()], "{what}");
        assert_eq!(names(&ci.path("queue/bad")), [""; 0], "{what}");
        ci.assert_all_over();
    });
}

/// What a letter says, whatever the homes that it names, and the server.
fn words(letter: &[u8], homes: &[&Installation], server: &MailServer) -> String {
    let text = Letter::read("", letter).text.replace(&server.url()["smtp://".len()..], "SERVER");
    homes.iter().fold(text, |text, ci| text.replace(&ci.home().display().to_string(), "HOME"))
}

/// A letter to this address waits, its build is over: what becomes of it while the power goes.
fn letter_states(committer: &str, expected: usize) {
    let (mut ci, server) = (installation(), MailServer::start());
    let nowhere = format!("file://{}/nowhere", ci.home().display());
    ci.set("AMP_CI_SMTP_URL", &nowhere);
    let id = ci.push(&Push::to("r", "main").by("x", committer));
    ci.build_to_its_end(1);
    let letter = fs::read(ci.path(&format!("outbox/{id}.eml"))).expect("it waits");
    // To make it would make other names durable, too.
    fs::create_dir(ci.path("outbox/failed")).unwrap();
    ci.touch_outbox();
    ci.set("AMP_CI_SMTP_URL", &server.url());
    let recording = recorded(&ci, "build", &[]);
    assert_eq!(names(&ci.path("outbox")), ["failed"]);
    let told = server.received();
    assert_eq!(told.len(), 1, "{}", ci.log());
    let told = words(&told[0].bytes, &[&ci], &server);
    // Sent letters go.
    let is_sent = |name: &str| name.starts_with("outbox/") && name.ends_with(".eml");
    let sent = recording.last_removing(is_sent);
    let states = states(&recording, sent);
    println!("{} states", states.len());
    assert!(states.len() >= expected, "{}", states.len());
    on_each(&states, |&(ref state, sent)| {
        let (before, mut ci, what) = (&ci, made(state), shown(state));
        let server = MailServer::start();
        ci.set("AMP_CI_SMTP_URL", &server.url());
        assert_eq!(ci.build_to_its_end(1), 0, "{}\n{what}", ci.log());
        let received = server.received();
        assert!(
            received.len() == 1 || received.is_empty() && sent,
            "{} are sent of\n{what}\n{}",
            received.len(),
            ci.log()
        );
        for received in received {
            assert_eq!(words(&received.bytes, &[before, &ci], &server), told, "{what}");
        }
        let waits: Vec<_> =
            names(&ci.path("outbox")).into_iter().filter(|name| name.ends_with(".eml")).collect();
        assert_eq!(waits, [""; 0], "{what}\n{}", ci.log());
        if committer.starts_with("gone") {
            assert_eq!(names(&ci.path("outbox/failed")), [format!("{id}.eml")], "{what}");
            assert!(fs::read(ci.path(&format!("outbox/failed/{id}.eml"))).unwrap() == letter, "{what}");
        }
    });
}

#[test]
#[ignore = "second tier"]
fn whatever_the_disk_holds_of_a_letter_that_waits_it_goes_out_whole_and_whoever_is_told_of_a_refused_one_is_told()
 {
    if !strace::is_there() {
        return;
    }
    letter_states("ana@example.org", 5);
    letter_states("gone@example.org", 20);
}

#[test]
#[ignore = "second tier"]
fn whatever_the_disk_holds_of_a_cancel_one_that_was_confirmed_is_never_run() {
    if !strace::is_there() {
        return;
    }
    let ci = installation();
    let id = ci.push(&Push::to("r", "main"));
    let recording = recorded(&ci, "build", &["cancel", &id]);
    let said = recording.operations.iter().position(|operation| matches!(operation, Operation::Said));
    let asked = states(&recording, said.expect("it confirms"));
    // And what build makes of it: every third state.
    let recording = recorded(&ci, "build", &[]);
    assert_eq!(ci.record().outcome(), "cancelled");
    let done: Vec<_> = states(&recording, 0).into_iter().step_by(3).collect();
    println!("{} and {} states", asked.len(), done.len());
    assert!(asked.len() > 3 && done.len() > 30);
    let done = done.into_iter().map(|(state, _)| (state, true));
    on_each(&asked.into_iter().chain(done).collect::<Vec<_>>(), |&(ref state, confirmed)| {
        let (ci, what) = (made(state), shown(state));
        if is_strange(state, &id) {
            ci.build_to_its_end(1);
            assert_eq!(
                (ran(&ci), names(&ci.path("queue/bad")).len(), ci.letters().len()),
                (0, 2, 1),
                "{what}"
            );
            return ci.assert_all_over();
        }
        ci.build(1);
        let record = ci.record();
        assert_eq!(record.id, id, "{what}");
        let is_cancelled = record.outcome() == "cancelled";
        assert!(is_cancelled || !confirmed, "{}, though confirmed:\n{what}", record.outcome());
        assert_eq!((ran(&ci), ci.letters().len()), if is_cancelled { (0, 0) } else { (1, 1) }, "{what}");
        assert_eq!(names(&ci.path("queue/bad")), [""; 0], "{what}");
        ci.assert_all_over();
    });
}

#[test]
#[ignore = "second tier"]
fn whatever_the_disk_holds_of_several_builds_each_has_a_result_and_a_letter() {
    if !strace::is_there() {
        return;
    }
    let ci = installation();
    let ids: Vec<_> =
        ["r", "s", "t"].iter().map(|repository| ci.push(&Push::to(repository, "main"))).collect();
    let recording = recorded(&ci, "build", &[]);
    // One in so many of those that there are.
    let states: Vec<_> = states(&recording, 0).into_iter().step_by(59).collect();
    println!("{} states", states.len());
    assert!(states.len() > 50, "{}", states.len());
    on_each(&states, |(state, _)| {
        let (ci, what) = (made(state), shown(state));
        let strange: Vec<_> = ids.iter().filter(|id| is_strange(state, id)).collect();
        assert_eq!(ci.build_to_its_end(2), 0, "{}\n{what}", ci.log());
        assert_eq!(names(&ci.path("queue/bad")).len(), 2 * strange.len(), "{what}");
        let records = ci.records();
        let letters: Vec<_> = ci.letters().into_iter().map(|letter| letter.stem).collect();
        for id in ids.iter().filter(|id| !strange.contains(id)) {
            let record = records.iter().find(|record| record.id == *id);
            assert_eq!(record.map(|record| &record.result["rc"]), Some(&3.into()), "{id}\n{what}");
            assert_eq!(letters.iter().filter(|stem| *stem == id).count(), 1, "{id} of {letters:?}\n{what}");
        }
        ci.assert_all_over();
    });
}
