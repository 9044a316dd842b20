//! What a build finds around it does not depend on who started `build`, and how.

use std::{fs, process::Command};

use crate::support::{
    files::temp_dir,
    installation::{Installation, Push},
    repositories::Repositories,
};

/// Says whether there is a terminal to ask somebody at, without asking.
const TERMINAL: &str = "if (: </dev/tty) 2>/dev/null; then echo a terminal; else echo no terminal; fi";

/// Runs `build` at a terminal, which script(1) gives it.
fn build_at_a_terminal(ci: &Installation) {
    let build = env!("CARGO_BIN_EXE_amp_build");
    let output = ci.command("script").args(["-qec", build, "/dev/null"]).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), ci.log());
}

/// Runs `build` to its end after this preparation of a shell; returns its exit code.
fn build_after(ci: &Installation, preparation: &str) -> i32 {
    let mut command = ci.command("bash");
    command.args(["-c", &format!("{preparation}; exec \"$0\""), env!("CARGO_BIN_EXE_amp_build")]);
    command.status().unwrap().code().expect("it is not killed")
}

#[test]
fn no_build_has_the_terminal_of_whoever_started_it() {
    let ci = Installation::building(TERMINAL);
    ci.push(&Push::to("amp_mgms", "main"));
    build_at_a_terminal(&ci);
    let output = ci.record().output();
    assert!(output.contains("\nno terminal\n"), "{output}");
}

#[test]
fn neither_has_a_launcher_nor_what_takes_its_job_away() {
    let mut ci = Installation::building("true");
    let said = ci.path("said").display().to_string();
    ci.set("SAID", &said);
    ci.set("AMP_CI_LAUNCHER", &format!("bash -c '({TERMINAL}) >>$SAID' -"));
    ci.set("AMP_CI_LAUNCHER_CANCEL", &format!("bash -c '({TERMINAL}) >>$SAID'"));
    ci.push(&Push::to("amp_mgms", "main"));
    let build = env!("CARGO_BIN_EXE_amp_build");
    ci.command("script").args(["-qec", build, "/dev/null"]).output().unwrap();
    assert_eq!(fs::read_to_string(said).unwrap(), "no terminal\nno terminal\n", "{}", ci.log());
}

#[test]
fn at_a_terminal_too_a_build_is_one_process_group_that_the_log_names() {
    let ci = Installation::building("echo group $(ps -o pgid= -p $$) of $$; kill -- -$$; sleep 60");
    ci.push(&Push::to("amp_mgms", "main"));
    build_at_a_terminal(&ci);
    let record = ci.record();
    assert_eq!(record.result["rc"], -15, "{}", record.output());
    let group = record.output().lines().find_map(|line| line.strip_prefix("group ").map(str::to_string));
    let (group, pid) = group.as_deref().and_then(|line| line.split_once(" of ")).expect("it says so");
    assert_eq!(group, pid);
    assert!(ci.log().contains(&format!("kill -- -{pid} ends this build")), "{}", ci.log());
}

#[test]
fn signals_that_build_was_started_without_are_the_default_for_its_builds() {
    let ci = Installation::building("grep ^SigIgn: /proc/self/status");
    ci.push(&Push::to("amp_mgms", "main"));
    // As nohup(1) and a script's `&` do.
    assert_eq!(build_after(&ci, "trap '' HUP INT QUIT TSTP"), 0);
    let output = ci.record().output();
    let ignored = output.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("it says so");
    // The first 31; the others are glibc's own business.
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff, 0, "{output}");
}

#[test]
fn a_limit_of_file_sizes_is_no_end_of_build_but_a_fault_that_is_told() {
    let ci = Installation::building("set +x; head -c 1000000 /dev/zero");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    // In KiB.
    assert_eq!(build_after(&ci, "ulimit -f 300"), 1, "{}", ci.log());
    assert_eq!(ci.entries(), [format!("build-{id}")]);
    assert!(ci.log().contains("files may have 300K (ulimit -f)"), "{}", ci.log());
    assert_eq!(ci.letter().to, "operator@example.org");
    ci.end_pauses();

    assert_eq!(build_after(&ci, "true"), 0, "{}", ci.log());
    assert_eq!((ci.record().outcome(), &ci.record().result["attempts"]), ("succeeded", &1.into()));
}

#[test]
fn a_repository_that_git_was_told_of_before_is_not_that_of_a_build() {
    let github = Repositories::new();
    let commit = github.commit("amp_mgms", &[("content", "x")]);
    let other = temp_dir();
    let git = |arguments: &[&str]| {
        let git = Command::new("git").current_dir(other.path()).args(arguments).output().unwrap();
        String::from_utf8_lossy(&git.stdout).into_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    let mut ci = github.installation();
    for (name, value) in [
        ("GIT_DIR", other.path().join(".git").to_str().unwrap()),
        ("GIT_WORK_TREE", other.path().to_str().unwrap()),
        ("GIT_INDEX_FILE", "/nowhere"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.bare"),
        ("GIT_CONFIG_VALUE_0", "true"),
    ] {
        ci.set(name, value);
    }
    ci.push(&Push { commit: commit.clone(), ..Push::to("amp_mgms", "main") });
    ci.build(1);
    let record = ci.record();
    assert!(record.outcome() == "succeeded" && record.output().contains("content: x"), "{}", record.output());
    assert_eq!(git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n", "it is not touched");
}
