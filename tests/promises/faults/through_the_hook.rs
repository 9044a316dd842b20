//! From GitHub's POST to the disk, and back to GitHub: under strace, and when the disk says no.

use std::{fs, os::unix::process::CommandExt, process::Command};

use crate::support::{
    files::names,
    github::{Intake, fixture},
    need::or_skip,
    process::{Running, signal_to},
    strace,
    wait::{until, wait_until},
};

#[test]
#[ignore = "second tier"]
fn github_is_answered_after_the_entry_is_on_the_disk() {
    if !strace::is_there() {
        return;
    }
    let intake = Intake::new();
    let ci = &intake.ci;
    let mut tracer = Running::start(
        Command::new("strace")
            .args(["-f", "-s", "200", "-o"])
            .arg(ci.path("trace"))
            .args(["-p", &intake.daemon.pid().as_raw_nonzero().to_string()])
            .stderr(fs::File::create(ci.path("attached")).unwrap()),
    );
    let attached = until("strace says whether it may", || {
        let said = fs::read_to_string(ci.path("attached")).unwrap();
        said.contains("attach").then_some(said)
    });
    if attached.contains("ptrace(") {
        or_skip("AMP_CI_REQUIRE_STRACE", Some(&attached));
        return;
    }
    let reply = intake.deliver("push", &fixture("push.json"));
    assert!(reply.text().starts_with("queued build-"), "{}", reply.text());
    wait_until("the answer is in the trace", || {
        fs::read_to_string(ci.path("trace")).is_ok_and(|trace| trace.contains("HTTP/1.1 200"))
    });
    tracer.signal("INT");
    tracer.wait();

    let calls = strace::calls(ci);
    let mut rest = calls.iter();
    for (what, with) in [
        ("the entry is made", "/queue/.new-"),
        ("and on the disk", "fsync("),
        ("it gets its name", "RENAME_NOREPLACE"),
        ("which is on the disk", "fsync("),
        ("queue_build says so", "write(1, \"queued build-"),
        ("GitHub hears it", "HTTP/1.1 200"),
    ] {
        assert!(rest.any(|call| call.text.contains(with)), "{what}");
    }
    let answers = calls.iter().filter(|call| call.text.contains("HTTP/1.1 "));
    assert_eq!(answers.count(), 1, "and nothing before");
}

#[test]
#[ignore = "second tier"]
fn what_cannot_be_stored_is_a_5xx_that_says_why() {
    let intake = Intake::new();
    let queue = intake.ci.path("queue");
    fs::rename(&queue, intake.ci.path("gone")).unwrap();
    let reply = intake.deliver("push", &fixture("push.json"));
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("not queued: queue/: cannot make a file in it"), "{}", reply.text());
    fs::write(&queue, "").unwrap();
    assert_eq!(intake.deliver("push", &fixture("push.json")).status, 500);
    fs::remove_file(&queue).unwrap();
    fs::rename(intake.ci.path("gone"), &queue).unwrap();
    assert_eq!(intake.deliver("push", &fixture("push.json")).status, 200);
    assert_eq!(intake.ci.entries().len(), 1);
}

#[test]
#[ignore = "second tier"]
fn a_command_that_is_killed_before_it_has_stored_is_a_5xx() {
    let intake = Intake::new();
    // Whoever holds the lock on .last lets queue_build wait.
    let mut holder = Running::start(
        Command::new("flock").arg(intake.ci.path("queue/.last")).args(["sleep", "1000"]).process_group(0),
    );
    wait_until("it is held", || intake.ci.path("queue/.last").exists());
    let threads = format!("/proc/{}/task", intake.daemon.pid());
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| intake.deliver("push", &fixture("push.json")));
        let waiting = until("queue_build waits", || {
            let children =
                fs::read_dir(&threads).unwrap().flatten().map(|thread| thread.path().join("children"));
            let mut children = children.filter_map(|path| fs::read_to_string(path).ok());
            let pid = children.find_map(|pids| pids.split_ascii_whitespace().next()?.parse().ok())?;
            let has_begun = names(&intake.ci.path("queue")).iter().any(|name| name.starts_with(".new-"));
            has_begun.then_some(pid)
        });
        signal_to("KILL", waiting);
        let reply = reply.join().unwrap();
        assert_eq!(reply.status, 500, "{}", reply.text());
    });
    assert!(intake.ci.entries().is_empty());
    signal_to("KILL", -holder.pid());
    holder.wait();
    assert_eq!(intake.deliver("push", &fixture("push.json")).status, 200);
}
