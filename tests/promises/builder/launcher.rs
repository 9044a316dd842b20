//! Builds behind a launcher, whatever it is: only the verdict of the script counts, and no two tries run at once.

use std::{
    env, fs,
    io::Write,
    process::{Command, Stdio},
};

use crate::support::{
    installation::{Installation, Push},
    wait::{until, wait_until},
};

/// An installation with a launcher.
fn behind(launcher: &str, build_packages: &str) -> Installation {
    let mut ci = Installation::building(build_packages);
    ci.set("AMP_CI_LAUNCHER", launcher);
    ci
}

/// Runs `build` to its end and returns its exit code.
fn code(ci: &Installation) -> i32 {
    ci.build_with(&["--threads", "6"]).status.code().expect("it is not killed")
}

/// Who got letters, sorted.
fn told(ci: &Installation) -> Vec<String> {
    let mut told: Vec<String> = ci.letters().into_iter().map(|letter| letter.to).collect();
    told.sort();
    told
}

const ENDINGS: &str = "case {repository} in
    one) exit 1 ;; seven) exit 7 ;; last) exit 255 ;; killed) kill -9 $$ ;; timeouts-own) exit 124 ;;
esac";

#[test]
fn a_launcher_that_only_runs_it_changes_nothing_but_where_the_verdict_comes_from() {
    let ci = behind("env", ENDINGS);
    let expected =
        [("zero", 0), ("one", 1), ("seven", 7), ("last", 255), ("killed", -9), ("timeouts-own", 124)];
    for (repository, _) in expected {
        ci.push(&Push::to(repository, "main"));
    }
    assert_eq!(code(&ci), 0, "{}", ci.log());

    for record in ci.records() {
        let (repository, rc) =
            expected.iter().find(|(name, _)| record.request["repository"] == *name).unwrap();
        assert_eq!(record.result["rc"], *rc, "{repository}");
        assert_eq!(record.outcome(), if *rc == 0 { "succeeded" } else { "failed" }, "{repository}");
        assert!(!record.output().contains("amp_ci-"), "the verdict is no output: {}", record.output());
        assert!(!record.output().contains("Killed"), "nor is what another bash remarks: {}", record.output());
    }
    assert_eq!(told(&ci), ["bdwheele@example.org"; 5]);
}

#[test]
fn without_a_verdict_it_is_tried_three_times_and_each_hears_once() {
    // One that does not run it, one that loses what it says, one that says something else in its place.
    for launcher in ["true", "bash -c '\"$@\" >/dev/null' -", "bash -c 'echo; echo amp_ci-0 exit 0' -"] {
        let ci = behind(launcher, "echo once >>$COUNT");
        let id = ci.push(&Push::to("amp_mgms", "main"));
        for _ in 0..2 {
            assert_eq!(code(&ci), 1, "{launcher}: {}", ci.log());
            assert_eq!(ci.entries(), [format!("build-{id}")], "{launcher}");
            assert!(ci.records().is_empty(), "{launcher}");
            assert_eq!(told(&ci), ["operator@example.org"], "{launcher}");
            assert!(ci.letter().text.ends_with("\nThe launcher said nothing of itself.\n"), "{launcher}");
        }
        assert_eq!(code(&ci), 0, "{launcher}: {}", ci.log());

        let record = ci.record();
        assert_eq!(record.outcome(), "error", "{launcher}");
        assert_eq!(record.result["rc"], serde_json::Value::Null, "{launcher}");
        assert_eq!(record.result["attempts"], 3, "{launcher}");
        assert_eq!(told(&ci), ["bdwheele@example.org", "operator@example.org"], "{launcher}");
        assert!(ci.entries().is_empty(), "{launcher}");
    }
}

#[test]
fn one_engine_failure_stops_no_build_that_runs_and_starts_no_other() {
    let mut ci = behind(
        "bash -c 'case $AMP_CI_REPOSITORY in lost) exit 0 ;; esac; \"$@\"' -",
        "until [ -e $RELEASE ]; do sleep 0.05; done",
    );
    let release = ci.path("release").display().to_string();
    ci.set("RELEASE", &release);
    ci.push(&Push::to("runs", "main"));
    let lost = ci.push(&Push::to("lost", "main"));
    let later = ci.push(&Push::to("later", "main"));
    let mut build = ci.start_build(2);
    wait_until("the engine has failed", || ci.log().contains("came to no verdict"));
    fs::write(&release, "").unwrap();
    assert_eq!(build.wait(), 1);

    assert_eq!(ci.record().request["repository"], "runs");
    assert_eq!(ci.record().outcome(), "succeeded");
    assert_eq!(ci.entries(), [format!("build-{lost}"), format!("build-{later}")]);
}

#[test]
fn what_the_launcher_says_of_itself_is_kept_apart_and_in_bounds() {
    let ci = behind(
        "bash -c 'head -c 5000000 /dev/zero | tr \"\\0\" x >&2; printf \"\\nengine \\e[2J speaks\\n\" >&2; \"$@\"' -",
        "echo build speaks >&2",
    );
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 0, "{}", ci.log());

    let record = ci.record();
    assert!(record.output().contains("\nbuild speaks\n") && !record.output().contains("engine"));
    let words = fs::read_to_string(record.dir.join("launcher.log")).unwrap();
    assert!(words.ends_with("\nengine \u{1b}[2J speaks\n"), "its end is kept");
    assert!(words.len() <= 64 << 10, "{}", words.len());
    assert!(ci.log().contains("engine \\x1b[2J speaks\n"), "{}", ci.log());

    let silent = behind("env", "true");
    silent.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&silent), 0);
    assert!(!silent.record().dir.join("launcher.log").exists());
}

#[test]
fn a_launcher_that_is_not_there_burns_no_try_and_the_fallback_hears_once() {
    for launcher in ["/nowhere/srun -N1", "no-such-engine", "/etc/passwd"] {
        let mut ci = behind(launcher, "true");
        let id = ci.push(&Push::to("amp_mgms", "main"));
        for _ in 0..4 {
            assert_eq!(code(&ci), 1, "{launcher}");
            ci.end_pauses();
        }
        assert_eq!(ci.entries(), [format!("build-{id}")], "{launcher}");
        assert_eq!(told(&ci), ["operator@example.org"], "{launcher}");
        let program = launcher.split(' ').next().unwrap();
        assert!(ci.letters()[0].text.contains(&format!("{program}: no such program")), "{launcher}");

        ci.set("AMP_CI_LAUNCHER", "env");
        assert_eq!(code(&ci), 0, "{launcher}");
        assert_eq!(ci.record().result["attempts"], 1, "{launcher}");
    }
}

#[test]
fn the_command_line_is_split_as_a_shell_splits_and_knows_the_entry_and_its_directory() {
    let ci = behind(
        r#"bash -c 'printf "%s|" "$@" >&2; shift 4; exec "$@"' - {name} "a  {dir} b" '$HOME' \{x}"#,
        "pwd",
    );
    let id = ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 0, "{}", ci.log());
    let words = fs::read_to_string(ci.path("builds").join(&id).join("launcher.log")).unwrap();
    let words: Vec<&str> = words.split('|').collect();
    let dir = words[1].strip_prefix("a  ").unwrap().strip_suffix(" b").unwrap();
    assert!(dir.starts_with(&ci.path("work/amp_ci-").display().to_string()), "{dir}");
    assert_eq!(words[0], format!("build-{id}"));
    assert_eq!(words[2..6], ["$HOME", "{x}", "/bin/bash", "-c"]);
}

#[test]
fn a_command_line_that_is_none_is_named_before_anything_is_touched() {
    let bad = [
        (&["AMP_CI_LAUNCHER", "srun 'x"][..], "AMP_CI_LAUNCHER: 'srun 'x' has a quote that is not closed"),
        (&["AMP_CI_LAUNCHER", "./srun"], "AMP_CI_LAUNCHER: './srun' begins neither"),
        (&["AMP_CI_LAUNCHER", " "], "AMP_CI_LAUNCHER: ' ' has no word"),
        (&["AMP_CI_LAUNCHER_CANCEL", "scancel \"x"], "AMP_CI_LAUNCHER_CANCEL: 'scancel \"x'"),
        (
            &["AMP_CI_LAUNCHER_CANCEL", "scancel"],
            "AMP_CI_LAUNCHER_CANCEL: is set, but AMP_CI_LAUNCHER is not",
        ),
    ];
    for (setting, message) in bad {
        let mut ci = Installation::building("true");
        ci.set(setting[0], setting[1]);
        ci.push(&Push::to("amp_mgms", "main"));
        let output = ci.command("build").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message), "{said}");
        assert_eq!(ci.entries().len(), 1);
        assert!(!ci.path("builds").exists() && ci.log().contains(message), "{}", ci.log());
    }
}

#[test]
fn the_flags_beat_the_environment() {
    let ci = behind("false", "true");
    ci.push(&Push::to("amp_mgms", "main"));
    let output = ci.build_with(&["--launcher", "env", "--launcher-cancel", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", ci.log());
    assert_eq!(ci.record().outcome(), "succeeded");
}

#[test]
fn the_time_limit_is_kept_behind_a_launcher_too_and_is_the_committer_s_business() {
    let mut ci = behind("env", "echo begun; exec sleep 1000");
    ci.set("AMP_CI_TIMEOUT", "1s");
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 0, "{}", ci.log());

    let record = ci.record();
    assert_eq!(record.outcome(), "timed_out");
    assert_eq!(record.result["rc"], -15);
    assert_eq!(told(&ci), ["bdwheele@example.org"]);
    let text = &ci.letters()[0].text;
    assert!(text.contains("The script was ended after its limit of 1s, returned an rc of -15 and"), "{text}");
}

#[test]
fn the_kill_in_the_log_ends_this_try() {
    let ci = behind("env", "sleep 1000");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    let kill = until("it runs", || {
        let log = ci.log();
        let (kill, _) = log.split_once("; ")?.1.split_once(" ends this try\n")?;
        Some(kill.to_string())
    });
    assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    assert_eq!(build.wait(), 1, "{}", ci.log());
    assert_eq!(ci.entries(), [format!("build-{id}")], "{}", ci.log());
    assert!(ci.log().contains("try 1 came to no verdict"), "{}", ci.log());
}

#[test]
fn the_verdict_ends_the_build_even_if_the_launcher_does_not_end() {
    // As ssh does when a daemon that the build left on the other machine holds its output.
    let ci = behind("bash -c '\"$@\"; exec sleep 1000' -", "exit 3");
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 0, "{}", ci.log());
    assert_eq!(ci.record().result["rc"], 3);
}

#[test]
fn being_told_to_stop_puts_it_back_costs_no_try_and_takes_the_job_away() {
    let mut ci = behind("env", "echo run >>$EVENTS; exec sleep 1000");
    let events = ci.path("events").display().to_string();
    ci.set("EVENTS", &events);
    ci.set("AMP_CI_LAUNCHER_CANCEL", "bash -c 'echo cancel $0 >>$EVENTS' {name}");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    for _ in 0..4 {
        fs::write(&events, "").unwrap();
        let mut build = ci.start_build(1);
        wait_until("it runs", || fs::read_to_string(&events).unwrap().ends_with("run\n"));
        build.signal("TERM");
        assert_eq!(build.wait(), 128 + 15);
        assert!(fs::read_to_string(&events).unwrap().ends_with(&format!("run\ncancel build-{id}\n")));
        assert_eq!(ci.entries(), [format!("build-{id}")]);
    }
    assert!(ci.letters().is_empty());
}

#[test]
fn a_verdict_that_comes_after_build_was_told_to_stop_is_none() {
    let mut ci = behind(
        "bash -c 'trap \"\" TERM; exec \"$@\"' -",
        "echo run >>$EVENTS; until [ -e $EVENTS.told ]; do sleep 0.05; done; exit 1",
    );
    let events = ci.path("events").display().to_string();
    ci.set("EVENTS", &events);
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    wait_until("it runs", || ci.path("events").exists());
    build.signal("TERM");
    wait_until("it is told", || ci.log().contains("signal 15"));
    fs::write(ci.path("events.told"), "").unwrap();
    assert_eq!(build.wait(), 128 + 15);
    assert_eq!(ci.entries(), [format!("build-{id}")], "{}", ci.log());
    assert!(ci.letters().is_empty());
}

#[test]
fn what_a_dead_build_left_is_cancelled_by_name_before_it_is_built_again() {
    // The first try leaves a job that the launcher's own end does not end.
    let mut ci = behind(
        "bash -c 'echo launch >>$EVENTS; [ -e $EVENTS.again ] || { >$EVENTS.again; exec sleep 1000; }; exec \"$@\"' -",
        "true",
    );
    let events = ci.path("events").display().to_string();
    ci.set("EVENTS", &events);
    ci.set(
        "AMP_CI_LAUNCHER_CANCEL",
        "bash -c 'echo cancel $0 >>$EVENTS; [[ $1 == */amp_ci-*-$AMP_X* ]] || echo where: $1 >>$EVENTS' {name} {dir}",
    );
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.set("AMP_X", &id);
    let mut build = ci.start_build(1);
    wait_until("it is launched", || ci.path("events.again").exists());
    build.signal("KILL");
    build.wait();
    assert_eq!(code(&ci), 0, "{}", ci.log());

    assert_eq!(ci.record().outcome(), "succeeded");
    assert_eq!(ci.record().result["attempts"], 2);
    let events = fs::read_to_string(events).unwrap();
    // Once before its workspace is swept, once because it has been launched before.
    assert_eq!(events, format!("launch\ncancel build-{id}\ncancel build-{id}\nlaunch\n"));
}

#[test]
fn nothing_is_built_again_as_long_as_its_job_cannot_be_taken_away() {
    let mut ci = behind("bash -c 'echo launch >>$EVENTS' -", "true");
    let events = ci.path("events").display().to_string();
    ci.set("EVENTS", &events);
    ci.set("AMP_CI_LAUNCHER_CANCEL", "bash -c 'echo the engine is away >&2; [ -e $EVENTS.back ]'");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    for _ in 0..4 {
        assert_eq!(code(&ci), 1, "{}", ci.log());
        assert_eq!(ci.entries(), [format!("build-{id}")]);
        ci.end_pauses();
    }
    assert_eq!(fs::read_to_string(&events).unwrap(), "launch\n");
    // Once of this build, once of the machine.
    assert_eq!(told(&ci), ["operator@example.org"; 2]);
    assert!(ci.letters().iter().any(|letter| letter.text.contains("the engine is away")));

    fs::write(ci.path("events.back"), "").unwrap();
    ci.set("AMP_CI_LAUNCHER", "env");
    assert_eq!(code(&ci), 0, "{}", ci.log());
    assert_eq!(ci.record().result["attempts"], 2);
}

#[test]
fn a_killed_build_takes_its_launcher_along() {
    let mut ci = behind(
        "bash -c 'trap \"echo ended >>$EVENTS; kill \\$!; exit\" TERM; echo $$ >>$EVENTS; sleep 1000 & wait' -",
        "true",
    );
    let events = ci.path("events").display().to_string();
    ci.set("EVENTS", &events);
    ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    wait_until("it is launched", || fs::read_to_string(&events).is_ok_and(|text| text.ends_with('\n')));
    build.signal("KILL");
    build.wait();
    wait_until("the launcher is told", || fs::read_to_string(&events).unwrap().ends_with("ended\n"));
}

#[test]
fn a_launched_build_sees_neither_secrets_nor_settings() {
    let mut ci = behind("env", "env; tr '\\0' '\\n' </proc/$PPID/environ");
    ci.set("SECRET", "geheim").set("SECRET_OLD", "geheim").set("JAVA_HOME", "/opt/java");
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 0, "{}", ci.log());
    let output = ci.record().output();
    assert!(output.contains("\nJAVA_HOME=/opt/java\n"), "{output}");
    assert!(!output.contains("geheim") && !output.contains("AMP_CI_SMTP_URL"), "{output}");
}

#[test]
fn a_launcher_that_gives_it_a_terminal_is_understood() {
    // As `ssh -tt` does.
    let launcher = "bash -c 'printf -v words \"%q \" \"$@\"; exec script -qec \"$words\" /dev/null' -";
    let mut ci = behind(launcher, ENDINGS);
    ci.set("SHELL", "/bin/bash");
    for (repository, rc) in [("zero", 0), ("seven", 7), ("killed", -9)] {
        ci.push(&Push::to(repository, "main"));
        assert_eq!(code(&ci), 0, "{}", ci.log());
        let records = ci.records();
        let record = records.last().unwrap();
        assert_eq!(record.result["rc"], rc, "{repository}: {}", record.output());
        assert!(record.output().contains("\r\n"), "it was a terminal: {:?}", record.output());
    }
}

#[test]
fn a_build_cannot_say_its_verdict_in_its_launcher_s_place() {
    // What it can learn: every word of every command line, the variables and the files beside it.
    let ci = behind(
        "env",
        "set +x; cat /proc/[0-9]*/cmdline /proc/$PPID/environ ~+/.[!.]* ~+/* $RECORD/* 2>/dev/null | grep -aoE 'amp_ci-[0-9a-f]{32}' |
            sort -u >nonces
        for one in $(cat nonces); do for other in $(cat nonces); do printf '\\n%s exit 0 %s\\n' $one $other; done; done
        echo tried $(wc -l <nonces); exit 7",
    );
    let mut ci = ci;
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let record = ci.path("builds").join(&id).display().to_string();
    ci.set("RECORD", &record);
    assert_eq!(code(&ci), 0, "{}", ci.log());
    let record = ci.record();
    assert_eq!(record.result["rc"], 7, "{}", record.output());
    assert!(!record.output().contains("\ntried 0\n"), "{}", record.output());
}

#[test]
fn an_engine_that_runs_it_a_second_time_has_failed_and_builds_nothing_twice() {
    let mut ci = behind("bash -c '\"$@\" >/dev/null; exec \"$@\"' -", "echo once >>$COUNT");
    let count = ci.path("count").display().to_string();
    ci.set("COUNT", &count);
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 1, "{}", ci.log());
    assert_eq!(fs::read_to_string(count).unwrap(), "once\n");
    assert!(ci.log().contains("was to run it a second time"), "{}", ci.log());
}

#[test]
fn an_engine_that_joins_its_words_needs_the_two_lines_of_the_document() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scaling.md");
    let document = fs::read_to_string(document).unwrap();
    let wrapper = &document[document.find("    #!/bin/bash\n").expect("it has them")..];
    let wrapper: Vec<&str> = wrapper.lines().take(3).map(str::trim_start).collect();
    let wrapper = wrapper.join("\n") + "\n";
    // What ssh and sshd do: all words pasted together, for a shell to split, and nothing of the environment.
    let ssh = "#!/bin/bash\n[[ $1 == -o ]] && shift 3\nexec env -i PATH=\"$PATH\" bash -c \"$*\"\n";
    let mut ci = behind("over-ssh builder", "echo it\\'s  'a  $b'; exit 7");
    for (name, text) in [("over-ssh", &*wrapper), ("ssh", ssh)] {
        // By another program: what is still open for writing in a fork of ours could not be executed.
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(ci.path(name)).stdin(Stdio::piped());
        let mut install = install.spawn().unwrap();
        install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(install.wait().unwrap().success());
    }
    let path = format!("{}:{}", ci.home().display(), env::var("PATH").unwrap());
    ci.set("PATH", &path);
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 0, "{}", ci.log());
    assert_eq!(ci.record().result["rc"], 7);
    assert!(ci.record().output().contains("\nit's a  $b\n"), "{}", ci.record().output());

    // Without them the words become others, and that is no verdict.
    ci.set("AMP_CI_LAUNCHER", "ssh -o BatchMode=yes builder");
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci), 1, "{}", ci.log());
}
