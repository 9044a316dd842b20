//! `build --check`: looks at the whole installation without building, and says what to do.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use crate::support::{
    files::{executable, names},
    installation::{Installation, Push},
    need,
    process::{Running, wait_for_name},
    strace,
    wait::wait_until,
};

/// Exit code and what it says.
fn checked(ci: &Installation, arguments: &[&str]) -> (i32, String) {
    let output = ci.command("build").arg("--check").args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn set_mode(ci: &Installation, path: &str, mode: u32) {
    fs::set_permissions(ci.path(path), fs::Permissions::from_mode(mode)).unwrap();
}

fn mkfifo(ci: &Installation, path: &str) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, ci.path(path), FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// An installation at work: the daemon serves, and a build has just looked at the queue.
struct Service {
    ci: Installation,
    daemon: Running,
    original: Option<Running>,
}

impl Service {
    fn new() -> Self {
        let ci = Installation::building("true");
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks.json");
        fs::copy(hooks, ci.path("hooks.json")).unwrap();
        Self::of(ci)
    }

    fn of(mut ci: Installation) -> Self {
        ci.set("SECRET", "k3y");
        ci.build(1);
        let mut webhookd = ci.command(env!("CARGO_BIN_EXE_webhookd"));
        webhookd.args(["-template", "-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", "0"]);
        webhookd.args(["-pidfile", "webhook.pid", "-logfile", "webhook.log"]).current_dir(ci.home());
        let daemon = Running::start(&mut webhookd);
        wait_until("it serves", || {
            fs::read_to_string(ci.path("webhook.log")).is_ok_and(|log| log.contains("serving hooks on"))
        });
        Self { ci, daemon, original: None }
    }
}

#[test]
fn a_sound_installation_is_well_and_nothing_is_built_or_touched() {
    let Service { ci, daemon: _daemon, .. } = Service::new();
    let id = ci.push(&Push::to("r", "main"));
    let before = names(ci.home());
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("all is well\n") && !said.contains("WRONG"), "{said}");
    for what in [
        ci.home().to_str().unwrap(),
        "checkout_repos",
        "git",
        "limit 6h",
        "operator@example.org",
        "and answers",
        "the hooks file is sound",
        "build has looked at the queue",
    ] {
        assert!(said.contains(what), "{what} in {said}");
    }
    assert_eq!((names(ci.home()), ci.entries()), (before, vec![format!("build-{id}")]));
}

/// What somebody or something does to an installation, and a piece of what is said of it.
type Breaking = (&'static str, &'static [&'static str], fn(&mut Service));

const BREAKINGS: [Breaking; 30] = [
    ("no scripts", &["the chunks belong there"], |at| fs::remove_dir_all(at.ci.path("scripts")).unwrap()),
    ("empty scripts", &["every build is skipped"], |at| {
        for name in names(&at.ci.path("scripts")) {
            fs::remove_file(at.ci.path("scripts").join(name)).unwrap();
        }
    }),
    ("placeholder", &["scripts/build_packages: {repo} is no placeholder"], |at| {
        at.ci.chunk("build_packages", "echo {repo} ${repo} {{repo}} {repository}");
    }),
    ("chunk for all", &["scripts/build_packages can be written by everybody"], |at| {
        set_mode(&at.ci, "scripts/build_packages", 0o666);
    }),
    ("chunk from Windows", &["scripts/build_packages has line ends from Windows"], |at| {
        at.ci.chunk("build_packages", "true\r\ntrue\r\n");
    }),
    ("chunk without its end", &["scripts/build_packages: ", "the script for the branch any-other"], |at| {
        at.ci.chunk("build_packages", "if true; then true");
    }),
    (
        "chunk that swallows the next",
        &["scripts/checkout_repos: ", "the script for the branch any-other"],
        |at| {
            at.ci.chunk("checkout_repos", "cat <<EOF\nhello\n");
        },
    ),
    ("chunks that are halves", &["scripts/checkout_repos_x: ", "scripts/build_packages_x: "], |at| {
        at.ci.chunk("checkout_repos_x", "if true; then true").chunk("build_packages_x", "fi");
    }),
    ("chunk that is a FIFO", &["scripts/distribute_x", "is no file"], |at| {
        mkfifo(&at.ci, "scripts/distribute_x");
    }),
    ("queue for all", &["chmod o-w"], |at| set_mode(&at.ci, "queue", 0o777)),
    ("work directory", &["chmod +t"], |at| set_mode(&at.ci, "work", 0o777)),
    ("no work directory", &["AMP_CI_WORK_DIR"], |at| {
        at.ci.set("AMP_CI_WORK_DIR", "/nowhere");
    }),
    ("left-over workspace", &["is left of a build that is over"], |at| {
        at.ci.chunk("build_packages", "pwd; exit 1");
        at.ci.push(&Push::to("r", "main"));
        at.ci.build(1);
        let output = at.ci.record().output();
        let workspace = output.lines().rfind(|line| line.starts_with('/')).unwrap();
        fs::create_dir(workspace).unwrap();
    }),
    ("no mail server", &["AMP_CI_SMTP_URL"], |at| {
        at.ci.set("AMP_CI_SMTP_URL", "smtp://127.0.0.1:1");
    }),
    ("letter that nobody took", &["outbox/failed/ holds 1"], |at| {
        fs::create_dir_all(at.ci.path("outbox/failed")).unwrap();
        fs::write(at.ci.path("outbox/failed/5.5.eml"), "").unwrap();
    }),
    ("addresses", &["addresses, line 3, is none", "'bdwheele: bdwheele at example.edu'"], |at| {
        let lines = "# who is who\nbrian wheeler  b@example.edu\nbdwheele: bdwheele at example.edu\n";
        fs::write(at.ci.path("addresses"), lines).unwrap();
    }),
    ("secret from Windows", &["SECRET begins or ends with a blank or holds"], |at| {
        at.ci.set("SECRET", "k3y\r");
    }),
    ("the sample's secret", &["SECRET is still the sample's"], |at| {
        at.ci.set("SECRET", "Your secret");
    }),
    ("unknown setting", &["AMP_CI_TIME_OUT is no setting; the nearest one is AMP_CI_TIMEOUT"], |at| {
        at.ci.set("AMP_CI_TIME_OUT", "1h");
    }),
    ("no room", &["less room in"], |at| {
        at.ci.set("AMP_CI_MIN_FREE", "1000000G");
    }),
    ("daemon dead", &["webhookd does not run"], |at| {
        at.daemon.0.kill().unwrap();
        at.daemon.0.wait().unwrap();
    }),
    ("somebody else has its number", &["webhookd does not run"], |at| {
        fs::write(at.ci.path("webhook.pid"), std::process::id().to_string()).unwrap();
    }),
    ("daemon that does not answer", &["does not answer on 127.0.0.1:"], |at| at.daemon.signal("STOP")),
    ("hooks file with a missing comma", &["the hooks file: hooks.json: "], |at| {
        let hooks = fs::read_to_string(at.ci.path("hooks.json")).unwrap();
        fs::write(at.ci.path("hooks.json"), hooks.replacen("\"queue_build\",", "\"queue_build\"", 1))
            .unwrap();
    }),
    ("hooks file that is gone", &["the hooks file: hooks.json: "], |at| {
        fs::remove_file(at.ci.path("hooks.json")).unwrap();
    }),
    ("no build ever", &["no build has ever looked at the queue: is the line in the crontab"], |at| {
        fs::remove_file(at.ci.path("queue/drain.json")).unwrap();
    }),
    ("no build lately", &["no build has looked at the queue since 2026-01-01"], |at| {
        let said = r#"{"pid": 1, "looked": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:00Z"}"#;
        fs::write(at.ci.path("queue/drain.json"), said).unwrap();
    }),
    ("a trouble that stands", &["no processes can be started; see the end of build.log"], |at| {
        let text = fs::read_to_string(at.ci.path("queue/drain.json")).unwrap();
        let mut said: serde_json::Value = serde_json::from_str(&text).unwrap();
        said["troubles"] = serde_json::json!(["no processes can be started"]);
        fs::write(at.ci.path("queue/drain.json"), said.to_string()).unwrap();
    }),
    ("an entry that is none", &["queue/bad/ holds 1 that cannot be built, build-1.1 for one"], |at| {
        at.ci.entry("1.1", "{}");
        at.ci.build(1);
    }),
    ("the original at work", &["a build.py that still runs"], |at| {
        // Its words are all that one sees of it.
        executable(&at.ci.path("build.py"), "#!/bin/sh\nwhile [ -e \"$0\" ]; do sleep 0.1; done\n");
        let original = Running::start(&mut std::process::Command::new(at.ci.path("build.py")));
        wait_for_name(original.pid(), "build.py");
        fs::write(at.ci.path("queue/lock"), original.pid().to_string()).unwrap();
        at.original = Some(original);
    }),
];

#[test]
fn each_thing_that_is_wrong_is_said_with_what_to_do() {
    for (what, hints, break_it) in BREAKINGS {
        let mut service = Service::new();
        break_it(&mut service);
        let (code, said) = checked(&service.ci, &[]);
        let _ = service.daemon.0.kill();
        assert_eq!(code, 1, "{what}: {said}");
        for hint in hints {
            assert!(
                said.lines().any(|line| line.starts_with("WRONG") && line.contains(hint)),
                "{what}: {said}"
            );
        }
        // Of the one thing no more is said than that, and of nothing else anything.
        let wrong = said.lines().filter(|line| line.starts_with("WRONG")).count();
        let at_most =
            if what == "no room" { 2 } else { hints.len().max(if what == "empty scripts" { 3 } else { 1 }) };
        assert!(wrong <= at_most + usize::from(what.contains("halves")), "{what}: {said}");
    }
}

#[test]
fn what_is_somebody_else_s_is_found_wherever_it_lies() {
    if !need::root() {
        return;
    }
    let Service { ci, daemon: _daemon, .. } = Service::new();
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let result = ci.record().dir.join("result.json");
    chown(&result, Some(12345), None).unwrap();
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("1 of the files here is not ours (user 0), {} for one", result.display())),
        "{said}"
    );
}

#[test]
fn a_work_directory_where_nothing_can_be_run_is_found() {
    if !need::root() {
        return;
    }
    let Service { ci, daemon: _daemon, .. } = Service::new();
    let mount = |what: &str| {
        let done =
            std::process::Command::new("sh").args(["-c", what]).current_dir(ci.home()).status().unwrap();
        assert!(done.success(), "{what}");
    };
    mount("mount -t tmpfs -o noexec,mode=700 none work");
    let (code, said) = checked(&ci, &[]);
    mount("umount work");
    assert!(code == 1 && said.contains("is mounted noexec"), "{said}");
}

#[test]
fn a_kernel_that_lacks_what_build_needs_is_found() {
    if !strace::is_there() {
        return;
    }
    let Service { ci, daemon: _daemon, .. } = Service::new();
    let output = strace::run(&ci, "build", &["check"], "pidfd_open:error=ENOSYS");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("WRONG   pidfd_open(2)"), "{said}");
}

#[test]
fn modes_that_show_more_than_is_meant_are_mentioned() {
    let Service { ci, daemon: _daemon, .. } = Service::new();
    fs::create_dir_all(ci.path("outbox")).unwrap();
    fs::write(ci.path("outbox/5.5.eml"), "").unwrap();
    for (path, mode) in
        [("", 0o755), ("outbox/5.5.eml", 0o644), ("scripts/build_packages", 0o664), ("hooks.json", 0o660)]
    {
        set_mode(&ci, path, mode);
    }
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    for hint in [
        "note    every account of this machine can look into the home: chmod o= ",
        "note    letters in outbox/ can be read by others: chmod 600 outbox/*.eml",
        "scripts/build_packages can be written by its group, and CI acts on it: chmod g-w",
        "hooks.json can be written by its group",
    ] {
        assert!(said.contains(hint), "{hint} in {said}");
    }
}

#[test]
fn with_an_address_it_sends_a_test_letter() {
    let Service { ci, daemon: _daemon, .. } = Service::new();
    let (code, said) = checked(&ci, &["--mail", "somebody@example.org"]);
    assert_eq!(code, 0, "{said}");
    let letter = ci.letter();
    assert_eq!((&*letter.to, &*letter.from), ("somebody@example.org", "amp_ci@ci.example.org"));
    assert!(letter.text.contains(ci.home().to_str().unwrap()), "{}", letter.text);
}

#[test]
fn a_pause_and_mail_that_waits_are_mentioned() {
    let Service { ci, daemon: _daemon, .. } = Service::new();
    fs::write(ci.path("queue/hold"), "").unwrap();
    fs::create_dir_all(ci.path("outbox")).unwrap();
    fs::write(ci.path("outbox/5.5.eml"), "").unwrap();
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("queue/hold exists") && said.contains("outbox/ holds 1 unsent"), "{said}");
}

#[test]
fn shipped_files_that_have_become_newer_are_named() {
    let Service { ci, daemon: _daemon, .. } = Service::new();
    fs::create_dir_all(ci.path(".shipped/scripts")).unwrap();
    fs::write(ci.path(".shipped/scripts/build_packages"), "as an earlier version had it\n").unwrap();
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    let note = said.lines().find(|line| line.contains("newer")).unwrap_or_default();
    assert!(note.contains("scripts/build_packages;") && note.contains("build init"), "{said}");
}
