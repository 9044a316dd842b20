//! One drain at a time, whatever becomes of `queue/lock`.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use crate::support::{
    installation::{Installation, Push},
    process::{Running, processes, signal_to, wait_for_name},
    wait::wait_until,
};

/// A build that marks its begin and end and waits for `go` between them.
fn waiting_for_go() -> Installation {
    let ci = Installation::building("");
    let home = ci.home().display();
    ci.chunk(
        "build_packages",
        &format!("echo begin >> {home}/marks; until [ -e {home}/go ]; do sleep 0.01; done; echo end >> {home}/marks"),
    );
    ci
}

fn marks(ci: &Installation) -> Vec<String> {
    fs::read_to_string(ci.path("marks")).unwrap_or_default().lines().map(str::to_string).collect()
}

/// The processes that wrote to build.log.
fn writers(ci: &Installation) -> BTreeSet<String> {
    let pid = |line: &str| line.split_once(")  ")?.0.rsplit(':').next().map(str::to_string);
    ci.log().lines().filter_map(pid).collect()
}

#[test]
fn of_twenty_that_are_started_at_once_one_works_and_the_others_leave_silently() {
    let ci = waiting_for_go();
    (0..3).for_each(|_| _ = ci.push(&Push::to("r", "main")));
    let start = || ci.command("build").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut builds: Vec<_> = (0..20).map(|_| start()).collect();
    wait_until("19 have left", || {
        builds.iter_mut().filter_map(|build| build.try_wait().unwrap()).count() == 19
    });
    fs::write(ci.path("go"), "").unwrap();
    for build in builds {
        let output = build.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
    assert_eq!(marks(&ci), ["begin", "end"].repeat(3));
    assert_eq!(writers(&ci).len(), 1, "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn whatever_stands_in_queue_lock_a_build_works() {
    for lock in
        ["1\n", "", "no number\n", "1\nsome trouble\n", "99999999999999999999\n", "\0\u{fffd}\n", "4194304\n"]
    {
        let ci = Installation::building("true");
        fs::write(ci.path("queue/lock"), lock).unwrap();
        ci.push(&Push::to("r", "main"));
        ci.build(1);
        assert_eq!(ci.record().outcome(), "succeeded", "{lock:?}");
        assert!(!ci.path("queue/lock").exists(), "{lock:?}");
    }
}

#[test]
fn removing_the_lock_s_file_in_mid_drain_lets_no_second_build_in() {
    let ci = waiting_for_go();
    ci.push(&Push::to("r", "main"));
    ci.push(&Push::to("other", "main"));
    let mut first = ci.start_build(1);
    wait_until("it builds", || !marks(&ci).is_empty());
    let pid = fs::read_to_string(ci.path("queue/lock")).unwrap();
    assert_eq!(pid.trim_end(), first.pid().to_string(), "people read there who works");
    fs::remove_file(ci.path("queue/lock")).unwrap();
    ci.build(1);
    assert_eq!(marks(&ci), ["begin"], "the second one left");
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(first.wait(), 0);
    assert_eq!(marks(&ci), ["begin", "end", "begin", "end"]);
    ci.assert_all_over();
}

#[test]
fn once_the_drain_lock_s_file_is_removed_nothing_more_is_claimed_and_somebody_hears() {
    let ci = waiting_for_go();
    ci.push(&Push::to("r", "main"));
    ci.push(&Push::to("other", "main"));
    let mut first = ci.start_build(1);
    wait_until("it builds", || !marks(&ci).is_empty());
    fs::remove_file(ci.path("queue/.drain")).unwrap();
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(first.wait(), 1);
    assert_eq!(marks(&ci), ["begin", "end"], "the second one was not claimed");
    assert!(ci.log().contains("queue/.drain was removed"), "{}", ci.log());
    assert!(ci.letters().iter().any(|letter| letter.stem.starts_with("trouble-")), "the fallback hears");
    assert_eq!(ci.build_to_its_end(1), 0);
    assert_eq!(ci.records().len(), 2);
}

#[test]
fn what_a_dead_build_has_left_cannot_keep_the_drain_lock() {
    // Once the process that took it is there, once it has left the open file to another.
    for taker in [
        "exec flock {queue}/.drain sleep 7773.5",
        "exec 9<>{queue}/.drain; flock 9; sleep 7773.5 & disown; exit",
    ] {
        let ci = Installation::new();
        let taker = taker.replace("{queue}", &ci.path("queue").display().to_string());
        ci.chunk("checkout_repos", "true");
        let bad = format!(
            "[ -e {0} ] && exit; touch {0}; setsid bash -c '{taker}' & sleep 0.2; kill -9 $PPID; sleep 1000",
            ci.path("once").display()
        );
        ci.chunk("build_packages", &format!("if [ {{repository}} = bad ]; then {bad}; fi; true"));
        ci.push(&Push::to("bad", "main"));
        assert_eq!(ci.start_build(1).wait(), -9);
        wait_until("it has the lock", || !processes(|line| line.starts_with("sleep 7773.5")).is_empty());
        ci.push(&Push::to("good", "main"));
        ci.build(1);
        assert_eq!(ci.records().len(), 2, "{taker}: {}", ci.log());
        assert!(ci.log().contains("which a build has left, had the lock"), "{}", ci.log());
        ci.assert_all_over();
        assert_eq!(processes(|line| line.contains("7773.5")), [""; 0]);
    }
}

#[test]
fn what_is_no_file_in_place_of_a_lock_is_moved_aside_and_stops_nothing() {
    for strange in ["directory", "dangling link", "fifo"] {
        let ci = Installation::building("true");
        for name in ["queue/.last", "queue/.drain"] {
            let path = ci.path(name);
            match strange {
                "directory" => fs::create_dir(path).unwrap(),
                "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
                _ => std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap(),
            }
        }
        ci.push(&Push::to("r", "main"));
        ci.build(1);
        assert_eq!(ci.record().outcome(), "succeeded", "{strange}");
    }
}

#[test]
fn a_build_py_that_lives_is_respected_and_one_that_is_dead_is_not() {
    for (command, text) in [("exec -a build.py sleep 100", "x"), ("sleep 100; true", "/opt/amp_ci/build.py")]
    {
        let ci = Installation::building("true");
        ci.push(&Push::to("r", "main"));
        let mut original = Running::start(Command::new("bash").args(["-c", command, text, "--threads", "2"]));
        wait_for_name(original.pid(), "build.py");
        fs::write(ci.path("queue/lock"), original.pid().to_string()).unwrap();
        let refused = ci.command("build").output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said.contains(&format!("process {}, a build.py", original.pid())), "{said}");
        assert_eq!(said.lines().count(), 1);
        assert_eq!(ci.entries().len(), 1);
        assert!(!ci.path("builds").exists() && !ci.path("build.log").exists(), "it touches nothing");

        original.signal("KILL");
        original.wait();
        ci.build(1);
        assert_eq!(ci.record().outcome(), "succeeded");
    }
}

#[test]
fn a_daemon_that_outlived_build_does_not_hold_the_lock() {
    let ci = Installation::building("");
    let home = ci.home().display().to_string();
    ci.chunk(
        "build_packages",
        &format!(
            "(setsid env -i bash -c 'echo $$ > {home}/new; mv {home}/new {home}/daemon; exec -a {home}/left sleep 1000' &)\n\
             until [ -e {home}/daemon ]; do sleep 0.01; done; sleep 1000"
        ),
    );
    ci.push(&Push::to("r", "main"));
    let mut build = ci.start_build(1);
    wait_until("the daemon is there", || ci.path("daemon").exists());
    build.signal("KILL");
    build.wait();
    let daemon = fs::read_to_string(ci.path("daemon")).unwrap();
    assert!(
        ci.living().iter().any(|line| line.starts_with(&format!("{} ", daemon.trim()))),
        "{:?}",
        ci.living()
    );
    ci.chunk("build_packages", "ls -l /proc/self/fd");
    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded");
    assert!(
        !ci.record().output().contains("/queue/"),
        "a build inherits nothing of ours: {}",
        ci.record().output()
    );
    // It shed its mark and lost its parent before build was killed: out of reach, as the README says.
    signal_to("KILL", daemon.trim().parse().unwrap());
}
