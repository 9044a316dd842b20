//! How a build ends: by itself, by a signal, by its limit, by ours; and that nothing of it is left.

use std::fs;

use crate::support::{
    files::pid_in,
    installation::{Installation, Push},
    process::lives,
    wait::wait_until,
};

#[test]
fn the_exit_code_is_on_record_and_in_the_letter() {
    let ci = Installation::building("exit 42");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let record = ci.record();
    assert_eq!(
        (record.outcome(), &record.result["rc"], &record.result["reason"]),
        ("failed", &42.into(), &().into())
    );
    let text = ci.letter().text;
    assert!(
        text.contains("\nThe script returned an rc of 42 and produced the following output:\n"),
        "{text}"
    );
}

#[test]
fn a_signal_is_an_rc_of_minus_its_number() {
    let ci = Installation::building("kill -SEGV $$");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let record = ci.record();
    assert_eq!((record.outcome(), &record.result["rc"]), ("failed", &(-11).into()));
    let text = ci.letter().text;
    assert!(
        text.contains("\nThe script returned an rc of -11 and produced the following output:\n"),
        "{text}"
    );
}

#[test]
fn a_build_past_its_limit_is_asked_to_end_and_says_its_last_words() {
    let mut ci = Installation::building("trap 'echo last words; exit 0' TERM; sleep 600 & wait");
    ci.set("AMP_CI_TIMEOUT", "1s").push(&Push::to("r", "main"));
    ci.build(1);
    let record = ci.record();
    assert_eq!(record.outcome(), "timed_out");
    assert_eq!(record.result["reason"], "ended after its limit of 1s");
    assert!(record.output().contains("\nlast words\n"), "{}", record.output());
}

#[test]
fn the_letter_of_a_timeout_says_so_in_its_own_sentence() {
    let mut ci = Installation::building("exec sleep 600");
    ci.set("AMP_CI_TIMEOUT", "1").push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(ci.record().result["rc"], -15);
    let text = ci.letter().text;
    let sentence = "The script was ended after its limit of 1s, returned an rc of -15 and produced the following output:";
    assert!(text.contains(&format!("\n{sentence}\n")), "{text}");
}

#[test]
fn what_does_not_listen_is_killed_ten_seconds_later() {
    let ci = Installation::building(
        "trap '' TERM; (trap '' TERM; while :; do sleep 600; done) & while :; do sleep 600; done",
    );
    ci.push(&Push::to("r", "main"));
    let output = ci.build_with(&["--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(0));
    let record = ci.record();
    assert_eq!((record.outcome(), &record.result["rc"]), ("timed_out", &(-9).into()));
    assert!(record.result["seconds"].as_f64().unwrap() >= 11.0, "{}", record.result);
}

#[test]
fn zero_is_no_limit() {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_TIMEOUT", "0").push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded");
}

#[test]
fn what_a_build_leaves_behind_holds_nothing_up_and_is_ended() {
    let ci = Installation::new();
    let home = ci.home().display();
    // In the group, in a session of its own with the output open, as a grandchild whose parent is gone, and
    // without the mark in its environment. Each has written its number when the script goes on.
    let start = |name: &str, how: &str| {
        format!(
            "{how} bash -c 'echo $$ >{home}/{name}.new; mv {home}/{name}.new {home}/{name}; while :; do sleep 600; done' &\n"
        )
    };
    let plain = start("plain", "");
    let session = start("session", "setsid");
    let orphan = format!("({})\n", start("orphan", "setsid"));
    let unmarked = start("unmarked", "env -i /usr/bin/setsid");
    let all = "plain session orphan unmarked";
    ci.chunk("checkout_repos", &format!("{plain}{session}{orphan}{unmarked}"));
    ci.chunk(
        "build_packages",
        &format!("for f in {all}; do until [ -e {home}/$f ]; do sleep 0.01; done; done"),
    );
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded");
    for name in all.split(' ') {
        let pid = pid_in(&ci.path(name));
        assert!(!lives(pid), "{name}, process {pid}");
    }
}

#[test]
fn leftovers_are_ended_while_other_builds_run_and_those_are_spared() {
    let ci = Installation::new();
    let home = ci.home().display();
    ci.chunk("checkout_repos_main", "true");
    ci.chunk("build_packages_main", &format!("setsid sleep 600 & echo $! >{home}/left; setsid -f sleep 600"));
    ci.chunk("checkout_repos_dev", &format!("setsid sleep 600 & echo $! >{home}/own"));
    ci.chunk("build_packages_dev", &ci.stop_at("dev"));
    ci.push(&Push::to("r", "dev"));
    let mut build = ci.start_build(2);
    ci.wait_at("dev");
    ci.push(&Push::to("r", "main"));
    wait_until("the other one is built", || ci.records().len() == 1);
    assert!(!lives(pid_in(&ci.path("left"))));
    assert!(lives(pid_in(&ci.path("own"))));
    ci.let_go("dev");
    assert_eq!(build.wait(), 0);
    assert!(!lives(pid_in(&ci.path("own"))));
}

#[test]
fn a_signal_puts_builds_back_and_costs_no_try() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let ci = Installation::building("true");
        ci.chunk("checkout_repos", &format!("echo $$ >{}/pid; {}", ci.home().display(), ci.stop_at("here")));
        let id = ci.push(&Push::to("r", "main"));
        let mut build = ci.start_build(1);
        ci.wait_at("here");
        build.signal(signal);
        assert_eq!(build.wait(), code);
        assert_eq!(ci.entries(), [format!("build-{id}")]);
        assert!(!lives(pid_in(&ci.path("pid"))));
        assert!(ci.letters().is_empty() && ci.records().is_empty());
        assert!(fs::read_dir(ci.path("work")).unwrap().next().is_none());

        ci.let_go("here").build(1);
        assert_eq!(ci.record().result["attempts"], 1);
    }
}

#[test]
fn an_interrupted_build_is_asked_to_end_first() {
    let ci = Installation::new();
    let home = ci.home().display();
    ci.chunk(
        "checkout_repos",
        &format!("trap 'echo asked >{home}/asked; exit 1' TERM\ntouch {home}/at-trap\nsleep 600 & wait"),
    );
    ci.chunk("build_packages", "true");
    ci.push(&Push::to("r", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("trap");
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
    assert_eq!(fs::read_to_string(ci.path("asked")).unwrap(), "asked\n");
    assert!(ci.records().is_empty(), "its exit code is no verdict");
}

#[test]
fn a_second_signal_ends_build_at_once_and_the_next_one_ends_what_is_left() {
    let ci = Installation::new();
    let home = ci.home().display();
    // A word of its trace would be its end once nobody reads it.
    ci.chunk("checkout_repos", &format!("set +x; trap 'touch {home}/at-term' TERM; echo $$ >{home}/pid; touch {home}/at-trap; until [ -e {home}/go-on ]; do sleep 0.05 || true; done"));
    ci.chunk("build_packages", "true");
    ci.push(&Push::to("r", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("trap");
    build.signal("TERM");
    ci.wait_at("term");
    build.signal("INT");
    assert_eq!(build.wait(), 130);
    let first = pid_in(&ci.path("pid"));
    assert!(lives(first), "nobody waited for it");

    let mut build = ci.start_build(1);
    wait_until("the next one ends it", || !lives(first));
    wait_until("and builds again", || pid_in(&ci.path("pid")) != first);
    ci.let_go("on");
    assert_eq!(build.wait(), 0);
    assert_eq!(ci.record().outcome(), "succeeded");
}

#[test]
fn the_command_in_the_log_ends_one_build_only() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("$AMP_CI_REPOSITORY"));
    ci.push(&Push::to("one", "main"));
    ci.push(&Push::to("two", "main"));
    let mut build = ci.start_build(2);
    ci.wait_at("one").wait_at("two");
    let log = ci.log();
    let line = log.lines().find(|line| line.contains(" one ") && line.contains("runs as pid")).expect(&log);
    let command = line.split("; ").nth(1).and_then(|rest| rest.strip_suffix(" ends this build")).expect(line);
    assert!(ci.command("/bin/sh").args(["-c", command]).status().unwrap().success(), "{command}");
    wait_until("it is recorded", || ci.records().len() == 1);
    let record = ci.record();
    assert_eq!((record.request["repository"].as_str(), &record.result["rc"]), (Some("one"), &(-15).into()));
    ci.let_go("two");
    assert_eq!(build.wait(), 0);
}
