//! Catch-up as people meet it: `build` by itself, and `build catch-up`, with a git server on loopback.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::support::{
    files::{names, temp_dir},
    git_http::GitHttp,
    installation::{Installation, Push},
    process::Running,
    wait::wait_until,
};

/// A repository amp_mgms, and who serves it.
struct GitServer {
    dir: tempfile::TempDir,
    url: String,
    _daemon: Option<Running>,
}

impl GitServer {
    /// By HTTP, as forges do.
    fn http() -> Self {
        let dir = temp_dir();
        let server = Self { url: GitHttp::start(dir.path()).base(), dir, _daemon: None };
        server.git(&["init", "--quiet", "--bare", "amp_mgms"]);
        server
    }

    /// By git's own daemon.
    fn daemon() -> Self {
        let dir = temp_dir();
        let output = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
        let programs = PathBuf::from(output(Command::new("git").arg("--exec-path")).trim());
        // Whoever else takes this port in between fails the test, and says so.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(programs.join("git-daemon"));
        command
            .args([
                "--export-all",
                "--listen=127.0.0.1",
                "--reuseaddr",
                &format!("--port={}", address.port()),
            ])
            .arg(format!("--base-path={}", dir.path().display()))
            .stderr(Stdio::null());
        let daemon = Running::start(&mut command);
        wait_until("the git daemon listens", || TcpStream::connect(address).is_ok());
        let server = Self { url: format!("git://{address}"), dir, _daemon: Some(daemon) };
        server.git(&["init", "--quiet", "--bare", "amp_mgms"]);
        server
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(arguments)
            .current_dir(self.dir.path())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// A new commit on this branch; nobody is told of it.
    fn push(&self, branch: &str) -> String {
        let in_it = ["--git-dir", "amp_mgms"];
        let git = |arguments: &[&str]| self.git(&[&in_it[..], arguments].concat());
        let tree = git(&["write-tree"]);
        let message = format!("{branch} {:?}", SystemTime::now());
        let commit = git(&["commit-tree", "-m", &message, &tree]);
        git(&["update-ref", &format!("refs/heads/{branch}"), &commit]);
        commit
    }
}

fn installation(git_base: &str) -> Installation {
    let mut installation = Installation::building("true");
    installation.set("AMP_CI_GIT_BASE", git_base);
    installation.set("GIT_ALLOW_PROTOCOL", "git:http");
    installation
}

fn push(installation: &Installation, commit: &str) {
    installation.push(&Push { commit: commit.to_string(), ..Push::to("amp_mgms", "main") });
}

fn commits(installation: &Installation) -> Vec<Value> {
    installation.records().iter().map(|record| record.request["commit_id"].clone()).collect()
}

/// As if the last look were eleven minutes ago.
fn let_time_pass(installation: &Installation) {
    let look = File::open(installation.path("queue/catch-up.json")).unwrap();
    look.set_modified(SystemTime::now() - Duration::from_secs(11 * 60)).unwrap();
}

fn catch_up(installation: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        installation.command("build").arg("catch-up").args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn build_finds_and_builds_by_itself_what_was_pushed_while_nobody_listened() {
    for server in [GitServer::daemon(), GitServer::http()] {
        let mut installation = installation(&server.url);
        installation.set("AMP_CI_CATCH_UP", "yes");
        let arrived = server.push("main");
        push(&installation, &arrived);
        installation.build(1);
        let missed = server.push("main");
        installation.build(1);
        assert_eq!(commits(&installation), [arrived.as_str()], "the last look is not ten minutes old");
        let_time_pass(&installation);
        installation.build(1);
        assert_eq!(commits(&installation), [arrived.as_str()], "the push may still be on its way");
        let_time_pass(&installation);
        installation.build(1);
        assert_eq!(commits(&installation), [arrived.as_str(), missed.as_str()], "{}", installation.log());
        let record = &installation.records()[1];
        assert_eq!(
            (record.outcome(), &record.request["amp_ci"]["why"]),
            ("succeeded", &Value::from("catch-up"))
        );
        assert!(installation.log().contains("its push never arrived"), "{}", installation.log());
        let_time_pass(&installation);
        installation.build(1);
        assert_eq!(installation.records().len(), 2);
        installation.assert_all_over();
    }
}

#[test]
fn what_became_of_five_thousand_branches_while_the_machine_was_off_is_seen_over_http() {
    let server = GitServer::http();
    let mut installation = installation(&server.url);
    let first = server.push("main");
    let mut tips = Vec::new();
    for branch in ["main", "gone", "rewound", "replaced"] {
        let tip = if branch == "main" { first.clone() } else { server.push(branch) };
        installation.push(&Push { commit: tip.clone(), ..Push::to("amp_mgms", branch) });
        tips.push(tip);
    }
    installation.build(1);
    // Meanwhile.
    let git = |arguments: &[&str]| server.git(&[&["--git-dir", "amp_mgms"], arguments].concat());
    git(&["update-ref", "-d", "refs/heads/gone"]);
    git(&["update-ref", "refs/heads/rewound", &first]);
    let replaced = server.push("replaced");
    let packed: Vec<_> = (0..5000).map(|number| format!("{replaced} refs/heads/topic/{number}\n")).collect();
    fs::write(server.dir.path().join("amp_mgms/packed-refs"), packed.concat()).unwrap();
    installation.set("AMP_CI_CATCH_UP", "yes");
    for _ in 0..2 {
        installation.build(1);
        let_time_pass(&installation);
    }
    let mut built = commits(&installation).split_off(tips.len());
    built.sort_by_key(ToString::to_string);
    let mut expected = [first, replaced];
    expected.sort();
    assert_eq!(built, expected, "{}", installation.log());
    installation.assert_all_over();
}

#[test]
fn who_asks_is_told_what_is_missing_and_gets_it_queued() {
    let server = GitServer::daemon();
    let installation = installation(&server.url);
    assert_eq!(catch_up(&installation, &[]), (Some(0), "nothing is missing\n".to_string(), String::new()));
    push(&installation, &server.push("main"));
    installation.build(1);
    let missed = server.push("main");
    let (code, said, _) = catch_up(&installation, &["--dry-run"]);
    assert_eq!((code, said), (Some(0), format!("would be queued: amp_mgms refs/heads/main {missed}\n")));
    assert_eq!(installation.entries(), [""; 0]);
    let (code, said, _) = catch_up(&installation, &[]);
    let entries = installation.entries();
    assert_eq!(
        (code, said),
        (Some(0), format!("queued {}: amp_mgms refs/heads/main {missed}\n", entries[0]))
    );
    assert_eq!(entries.len(), 1);
    drop(server);
    let (code, _, said) = catch_up(&installation, &["--dry-run"]);
    assert!(code == Some(1) && said.contains("amp_mgms could not be asked: git ls-remote"), "{said}");
}

#[test]
fn a_server_that_does_not_answer_delays_no_build_and_no_stop() {
    let server = GitServer::daemon();
    let mut installation = installation(&server.url);
    let first = server.push("main");
    push(&installation, &first);
    installation.build(1);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    installation.set("AMP_CI_GIT_BASE", &format!("git://{}", silent.local_addr().unwrap()));
    installation.set("AMP_CI_CATCH_UP", "yes");
    let mut build = installation.start_build(1);
    // It is asked, and never hears anything.
    let _connection = silent.accept().unwrap();
    let second = server.push("main");
    push(&installation, &second);
    wait_until("the second is built", || installation.records().len() == 2);
    assert_eq!(build.is_over(), None, "git still waits");
    build.signal("TERM");
    assert_eq!(build.wait(), 128 + 15);
    wait_until("nobody is left", || installation.living().is_empty());
    assert_eq!(names(&installation.path("work")), [""; 0]);
    assert!(fs::metadata(installation.path("queue/catch-up.json")).is_err(), "this look was none");
}
