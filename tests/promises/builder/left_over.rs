//! What a build leaves and this account cannot end or remove is told of once, and keeps nobody waiting but its own build.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{StatVfsMountFlags, statvfs};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    files::{names, pid_in},
    installation::{Installation, Push},
    need::{or_skip, root},
    process::{Running, lives, signal_to},
    strace,
    wait::wait_until,
};

/// An installation of an account that is not root's, whose builds can become root: what sudo does, by a setuid setpriv.
struct Sudo {
    ci: Installation,
    program: TempDir,
}

const AS_NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

impl Sudo {
    fn new() -> Option<Self> {
        if !root() {
            return None;
        }
        let program = tempfile::Builder::new().prefix("amp_ci-test-").tempdir_in(env::temp_dir()).unwrap();
        let sudo = program.path().join("sudo");
        assert!(
            Command::new("install")
                .args(["-m", "4755", "/usr/bin/setpriv"])
                .arg(&sudo)
                .status()
                .unwrap()
                .success()
        );
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let is_ignored = statvfs(&sudo).unwrap().f_flag.contains(StatVfsMountFlags::NOSUID);
        let missing = is_ignored.then_some("nothing is setuid in the temporary directory");
        or_skip("AMP_CI_REQUIRE_MOUNT", missing).then(|| Self { ci: Installation::new(), program })
    }

    /// A line for chunks: root's process, whose number goes into `name` in the home.
    fn leave(&self, name: &str) -> String {
        let (sudo, home) = (self.program.path().join("sudo"), self.ci.home());
        let (sudo, file) = (sudo.display(), home.join(name));
        let (file, home) = (file.display(), home.display());
        format!(
            "{sudo} --reuid 0 bash -c 'echo $$ > {file}.new; mv {file}.new {file}; exec -a {home}/root-s sleep 1000' > /dev/null 2>&1"
        )
    }

    /// By hand: `queue_build` is for the account itself.
    fn push(&self, repository: &str) -> String {
        let id = format!("1800000000.{:09}", self.ci.records().len() + self.ci.entries().len());
        self.ci.entry(&id, &Push::to(repository, "main").json());
        id
    }

    fn give_away(&self) {
        let all = Command::new("chown").args(["-hR", "65534:65534"]).arg(self.ci.home()).status();
        assert!(all.unwrap().success());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.ci.command("setpriv");
        command.args(AS_NOBODY).arg("--").arg(env!("CARGO_BIN_EXE_amp_build")).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn build(&self) -> i32 {
        self.give_away();
        Running::start(&mut self.command(&["--threads", "2"])).wait()
    }

    /// One after the other: the signals that are sent and the programs that are started, in order.
    fn build_traced(&self) -> Vec<String> {
        self.give_away();
        let (trace, build) = (self.program.path().join("trace"), self.command(&["--threads", "1"]));
        let mut traced = self.ci.command("strace");
        traced.args(["-f", "-s", "1000", "--signal=none", "-e", "trace=kill,execve", "-o"]).arg(&trace);
        traced.arg(build.get_program()).args(build.get_args());
        let mut traced = Running::start(traced.stdout(Stdio::null()).stderr(Stdio::null()));
        let state = self.ci.path("queue/drain.json");
        wait_until("build ends", || {
            let state: Value =
                fs::read(&state).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
            state["ended"].is_string()
        });
        // It would follow what is left to its end.
        traced.signal("KILL");
        traced.wait();
        let trace = fs::read_to_string(trace).unwrap();
        trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_string())).collect()
    }

    fn left(&self) -> Value {
        let text = fs::read(self.ci.path("queue/left-over.json")).unwrap_or_else(|_| b"{}".to_vec());
        serde_json::from_slice(&text).unwrap()
    }

    fn check(&self) -> String {
        String::from_utf8(self.command(&["check"]).stdout(Stdio::piped()).output().unwrap().stdout).unwrap()
    }

    fn heard(&self) -> Vec<String> {
        let letters = self.ci.letters().into_iter();
        letters.map(|letter| format!("{}: {}", letter.to, letter.subject)).collect()
    }
}

impl Drop for Sudo {
    fn drop(&mut self) {
        for line in self.ci.living() {
            signal_to("KILL", line.split(' ').next().unwrap().parse().unwrap());
        }
    }
}

fn told(letters: &[String]) -> usize {
    letters
        .iter()
        .filter(|letter| letter.contains("what builds have left cannot be ended or removed"))
        .count()
}

#[test]
fn root_s_process_that_a_build_leaves_is_told_of_once_and_keeps_only_that_build_waiting() {
    let detached = |line: String| format!("(setsid {line} &)");
    let beside = |line: String| format!("({line} &)");
    for start in [beside, detached] {
        let Some(sudo) = Sudo::new() else { return };
        let ci = &sudo.ci;
        ci.chunk("checkout_repos", "true");
        let leave = start(sudo.leave("pid"));
        let pid = ci.path("pid").display().to_string();
        ci.chunk(
            "build_packages",
            &format!(
                "echo {{repository}} >> ../../ran\n\
                 if [ {{repository}} = leaves ] && [ ! -e {pid} ]; then {leave}; until [ -e {pid} ]; do sleep 0.01; done; exit 75; fi"
            ),
        );
        let id = sudo.push("leaves");
        assert_eq!(sudo.build(), 1, "{}", ci.log());
        let pid = pid_in(Path::new(&pid));
        assert!(lives(pid));
        let left = sudo.left();
        assert_eq!(left["processes"][0]["pid"], pid, "{left}");
        assert_eq!(left["processes"][0]["builds"], serde_json::json!([id]), "{left}");
        assert_eq!(told(&sudo.heard()), 1, "{:?} {}", sudo.heard(), ci.log());

        // Its pause is over, and still it waits; four others take no notice.
        ci.end_pauses();
        for repository in ["a", "b", "c", "d"] {
            sudo.push(repository);
        }
        assert_eq!(sudo.build(), 1);
        assert_eq!(ci.records().len(), 4, "{}", ci.log());
        assert_eq!(ci.entries(), [format!("build-{id}")]);
        assert_eq!(told(&sudo.heard()), 1, "{:?}", sudo.heard());
        assert!(
            sudo.check().contains(&format!("WRONG   process {pid} of {id} does not end on SIGKILL")),
            "{}",
            sudo.check()
        );

        // It is gone: all goes on by itself.
        signal_to("KILL", pid);
        wait_until("it is gone", || !lives(pid));
        assert_eq!(sudo.build(), 0, "{}", ci.log());
        assert_eq!(ci.records().len(), 5);
        assert!(!ci.path("queue/left-over.json").exists());
        assert!(ci.log().contains("over: what builds have left"), "{}", ci.log());
        ci.assert_all_over();
    }
}

#[test]
fn what_does_not_end_is_given_up_once_and_no_build_after_it_waits_for_that_again() {
    let Some(sudo) = Sudo::new().filter(|_| strace::is_there()) else { return };
    let ci = &sudo.ci;
    ci.chunk("checkout_repos", "true");
    let (leave, pid) = (sudo.leave("pid"), ci.path("pid"));
    let leave = format!("({leave} &); until [ -e {} ]; do sleep 0.01; done", pid.display());
    ci.chunk("build_packages", &format!("if [ {{repository}} = leaves ]; then {leave}; fi"));
    sudo.push("leaves");
    let [next, ..] = ["a", "b", "c"].map(|repository| sudo.push(repository));
    let trace = sudo.build_traced();
    assert_eq!(ci.records().len(), 4, "{}", ci.log());
    let pid = pid_in(&pid);
    assert!(lives(pid));
    let is_next = |call: &String| call.starts_with("execve(") && call.contains(&next);
    let (then, later) = trace.split_at(trace.iter().position(is_next).expect("it is started"));
    // Who waits for it tries to end it meanwhile.
    let tries = |calls: &[String]| {
        let is_try = |call: &&String| call.starts_with(&format!("kill({pid}, SIG"));
        calls.iter().filter(is_try).count()
    };
    assert!(tries(then) > 0, "{trace:?}");
    assert_eq!(tries(later), 0, "{later:?}");
}

#[test]
fn after_a_death_of_build_its_entry_is_not_started_beside_root_s_process_until_that_is_gone_or_a_person_says_so()
 {
    for by_hand in [false, true] {
        let Some(sudo) = Sudo::new() else { return };
        let ci = &sudo.ci;
        ci.chunk("checkout_repos", "true");
        let (pid, leave) = (ci.path("pid").display().to_string(), sudo.leave("pid"));
        // The script is root's, or has root's beside it when it dies with `build`.
        let dies = if by_hand {
            format!("exec {leave}")
        } else {
            format!("({leave} &); until [ -e {pid} ]; do sleep 0.01; done; kill -9 $PPID; kill -9 $$")
        };
        ci.chunk("build_packages", &format!("[ -e {pid} ] || {{{{ {dies}; }}}}"));
        let id = sudo.push("leaves");
        sudo.give_away();
        let mut build = Running::start(&mut sudo.command(&[]));
        let pid = pid_in(Path::new(&pid));
        if by_hand {
            build.signal("KILL");
        }
        assert_eq!(build.wait(), -9);
        let running = fs::read_to_string(ci.path(&format!("builds/{id}/running.json"))).unwrap();
        let script = serde_json::from_str::<Value>(&running).unwrap()["script_pid"].as_i64().unwrap();
        wait_until("the script is dead, or root's", || by_hand || !lives(script.try_into().unwrap()));
        let other = sudo.push("other");
        for _ in 0..2 {
            assert_eq!(sudo.build(), 1, "{}", ci.log());
            assert_eq!(ci.entries(), [format!("build-{id}")], "{}", ci.log());
            assert_eq!(ci.record().id, other);
            assert_eq!(told(&sudo.heard()), 1);
        }
        if by_hand {
            fs::remove_file(ci.path("queue/left-over.json")).unwrap();
        } else {
            signal_to("KILL", pid);
            wait_until("it is gone", || !lives(pid));
        }
        assert_eq!(sudo.build(), 0, "{}", ci.log());
        assert_eq!(ci.records().len(), 2, "{}", ci.log());
        assert_eq!(ci.records()[0].result["attempts"], 2);
        assert_eq!(lives(pid), by_hand);
        assert_eq!(told(&sudo.heard()), 1);
    }
}

#[test]
fn a_workspace_with_root_s_files_is_told_of_once_shown_and_passed_by() {
    let Some(sudo) = Sudo::new() else { return };
    let ci = &sudo.ci;
    ci.chunk("checkout_repos", "true");
    let root = sudo.program.path().join("sudo");
    ci.chunk(
        "build_packages",
        &format!(
            "[ {{repository}} != leaves ] || {} --reuid 0 bash -c 'mkdir -m 700 roots; touch roots/file'",
            root.display()
        ),
    );
    sudo.push("leaves");
    for other in ["a", "b"] {
        // No chown in between: it would be the account's own.
        sudo.push(other);
        for dir in ["queue", "scripts", "mail"] {
            let all = Command::new("chown").args(["-hR", "65534:65534"]).arg(ci.path(dir)).status();
            assert!(all.unwrap().success());
        }
        for dir in [ci.home(), &ci.path("work")] {
            std::os::unix::fs::chown(dir, Some(65534), Some(65534)).unwrap();
        }
        assert_eq!(Running::start(&mut sudo.command(&[])).wait(), 1, "{}", ci.log());
        assert_eq!(told(&sudo.heard()), 1, "{:?} {}", sudo.heard(), ci.log());
    }
    assert_eq!(ci.records().len(), 3);
    assert!(ci.records().iter().all(|record| record.outcome() == "succeeded"));
    let workspace = &names(&ci.path("work"))[0];
    assert!(
        sudo.check().contains(&format!("{workspace} is left of a build that is over")),
        "{}",
        sudo.check()
    );
    fs::remove_dir_all(ci.path("work").join(workspace)).unwrap();
    assert_eq!(sudo.build(), 0, "{}", ci.log());
    assert!(!ci.path("queue/left-over.json").exists());
}
