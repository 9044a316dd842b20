//! build.log: one line per event in the original's format, and no line that an output or a name has forged.

use std::fs;

use crate::support::installation::{Installation, Push};

/// Is it an event's first line: `2026-11-22 11:14:05,596 [INFO    ] (drain.rs:65:11176)  Submitting ...`?
fn is_event(line: &str) -> bool {
    let event = regex::Regex::new(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[(DEBUG|INFO|WARNING|ERROR) {0,4}\] \([a-z_]+\.rs:\d+:\d+\)  \S",
    );
    event.unwrap().is_match(line) && line.find(']') == Some(33)
}

#[test]
fn submission_start_and_end_of_every_build_are_in_the_original_s_format() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    let log = ci.log();
    assert!(log.lines().all(is_event), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    assert!(lines[0].contains(")  Submitting ") && lines[0].contains("amp_mgms refs/heads/main"), "{log}");
    let pid = regex::Regex::new(r"pid (\d+); kill -- -(\d+) ends this build$").unwrap();
    let pids = pid.captures(lines[1]).expect(&log);
    assert_eq!(pids[1], pids[2]);
    assert!(lines[2].contains(" succeeded "), "{log}");
    assert_eq!(lines.len(), 3);
    let build = regex::Regex::new(r"\.rs:\d+:(\d+)\)").unwrap();
    assert!(
        lines.iter().all(|line| build.captures(line).unwrap()[1] == build.captures(lines[0]).unwrap()[1])
    );
}

#[test]
fn a_failed_build_s_output_is_there_indented_and_forges_nothing() {
    let ci = Installation::building(
        "{ set +x; } 2>/dev/null; printf 'one\\ttab\\n2026-11-22 11:14:05,596 [INFO    ] (x.rs:1:1)  forged\\n\\x1b[2K\\rtwo\\xe2\\x80\\xa8three\\xe2\\x80\\xae\\n'; exit 1",
    );
    ci.push(&Push::to("r", "a\u{85}\u{2028}b/main").by("Eve\n2026 forged\u{202e}", ""));
    ci.build(1);
    let log = ci.log();
    assert!(
        log.contains("\n    one\ttab\n    2026-11-22 11:14:05,596 [INFO    ] (x.rs:1:1)  forged\n"),
        "{log}"
    );
    assert!(log.lines().all(|line| is_event(line) || line.starts_with("    ")), "{log}");
    assert!(log.contains(r"two\u{2028}three\u{202e}"), "{log}");
    assert!(!log.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{log:?}");
    assert!(!log.contains(['\u{2028}', '\u{202e}']), "{log:?}");
    assert_eq!(log.matches("[ERROR   ]").count(), 1);
}

#[test]
fn a_long_output_is_there_under_the_mail_s_cap() {
    let ci = Installation::building("{ set +x; } 2>/dev/null; seq 100000; exit 1");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let log = ci.log();
    assert!(
        log.contains("\n    100000\n") && log.contains("bytes are left out here"),
        "the tail and the count"
    );
    assert!(log.len() < 500_000, "{}", log.len());
}

#[test]
fn the_output_of_a_good_build_and_every_script_are_there_with_debug_only() {
    let ci = Installation::building("echo 'it is '\"good\"");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert!(!ci.log().contains("it is"), "{}", ci.log());
    ci.push(&Push::to("r", "main"));
    assert_eq!(ci.build_with(&["--debug"]).status.code(), Some(0));
    let log = ci.log();
    assert!(log.contains("[DEBUG   ]") && log.contains("\n    it is good\n"), "{log}");
    assert!(log.contains("\n    ### Start of build_packages ###\n    echo 'it is '"), "{log}");
}

#[test]
fn the_log_can_be_rotated_from_under_a_build_that_runs() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &ci.stop_at("here"));
    let mut build = ci.push_and_start("r");
    ci.wait_at("here");
    fs::rename(ci.path("build.log"), ci.path("build.log.1")).unwrap();
    ci.let_go("here");
    assert_eq!(build.wait(), 0);
    assert!(fs::read_to_string(ci.path("build.log.1")).unwrap().contains("Submitting"));
    let log = ci.log();
    assert!(log.contains(" succeeded ") && !log.contains("Submitting"), "{log}");
}

#[test]
fn a_person_at_a_terminal_sees_a_line_per_start_and_end_and_cron_sees_nothing() {
    let ci = Installation::building("echo output");
    ci.push(&Push::to("amp_mgms", "main"));
    // script(1) gives it a terminal.
    let build = env!("CARGO_BIN_EXE_amp_build");
    let output = ci.command("script").args(["-qec", build, "/dev/null"]).output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = seen.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 2, "{seen}");
    assert!(lines[0].contains("amp_mgms") && lines[0].contains("runs as pid"), "{seen}");
    assert!(lines[1].contains("succeeded"), "{seen}");
}

#[test]
fn a_person_at_a_terminal_is_told_why_nothing_happens_and_cron_is_not() {
    let ci = Installation::building("");
    ci.chunk("build_packages", &ci.stop_at("here"));
    let build = env!("CARGO_BIN_EXE_amp_build");
    let at_terminal = || {
        let output = ci.command("script").args(["-qec", build, "/dev/null"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap().trim_end().to_string())
    };
    let cron = || assert_eq!(ci.build_with(&[]).status.code(), Some(0));
    assert_eq!(at_terminal(), (Some(0), String::new()), "there is nothing to do");
    ci.push(&Push::to("r", "main"));
    fs::write(ci.path("queue/hold"), "ana: \x1b[31mtea\n").unwrap();
    let said =
        "build: nothing new is begun: the queue is held (ana: \\x1b[31mtea); `build unhold` lets it go on";
    assert_eq!(at_terminal(), (Some(0), said.to_string()));
    cron();
    fs::remove_file(ci.path("queue/hold")).unwrap();
    let mut other = ci.start_build(1);
    ci.wait_at("here");
    let said = format!(
        "build: another build (process {}) is at work here; `build status` shows what it does",
        other.pid()
    );
    assert_eq!(at_terminal(), (Some(0), said));
    cron();
    ci.let_go("here");
    assert_eq!(other.wait(), 0);
    fs::remove_dir(ci.path("work")).unwrap();
    ci.push(&Push::to("r", "main"));
    at_terminal();
    // What build.log has said stands still.
    let (code, said) = at_terminal();
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("build: there is no work directory"), "{said}");
}
