//! `statusd` writes nothing and starts nothing, and needs no more than to read.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::support::{
    installation::{Installation, Push},
    need::or_skip,
    page::Page,
    strace,
};

fn open_to_lookers(dir: &Path) {
    assert!(Command::new("chmod").args(["-R", "a+rX"]).arg(dir).status().unwrap().success());
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_account_that_may_only_read_can_serve_it_and_under_strace_it_writes_and_starts_nothing() {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !strace::is_there()
        || !or_skip("AMP_CI_REQUIRE_STRACE", (!is_root).then_some("only root can become another account"))
    {
        return;
    }
    let ci = Installation::building("echo hello; exit 1");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    ci.push(&Push::to("amp_mgms", "other"));
    open_to_lookers(ci.home());
    fs::set_permissions(ci.path("outbox"), fs::Permissions::from_mode(0o700)).unwrap();
    let program = ci.path("statusd");
    fs::copy(env!("CARGO_BIN_EXE_statusd"), &program).unwrap();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command
        .args(["-f", "-y", "-e", "trace=%file,%process,write,pwrite64,ftruncate,fchmod", "-o"])
        .arg(trace.path());
    command
        .args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .arg("--home")
        .arg(ci.home());
    let page = Page::start(command);
    for path in [
        "/",
        "/status.json",
        &format!("/builds/{id}"),
        &format!("/builds/{id}/output.log"),
        "/metrics",
        "/failures.atom",
        "/branches",
    ] {
        assert_eq!(page.get(path).status, 200, "{path}");
    }
    assert!(page.text("/status.json").contains("\"letters\":{\"waiting\":null"), "the outbox is private");
    drop(page);

    let text = fs::read_to_string(trace.path()).unwrap();
    // Behind the exec of statusd itself.
    let started = |line: &&str| line.contains("/statusd\", [\"") && line.ends_with("= 0");
    let own = text.split_once(text.lines().find(started).expect("it was started")).unwrap().1;
    let changing = [
        "rename",
        "unlink",
        "mkdir",
        "rmdir",
        "link",
        "symlink",
        "chmod",
        "fchmod",
        "chown",
        "truncate",
        "ftruncate",
        "utime",
        "mknod",
    ];
    let starting = ["execve", "fork", "vfork"];
    for line in own.lines().skip(1) {
        let call = line.split_whitespace().nth(1).and_then(|call| call.split('(').next()).unwrap_or_default();
        assert!(!changing.iter().any(|name| call.starts_with(name)) && !starting.contains(&call), "{line}");
        assert!(!call.starts_with("clone") || line.contains("CLONE_THREAD"), "it starts something: {line}");
        let opens_to_write = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| line.contains(flag));
        assert!(!opens_to_write || line.contains("/dev/null"), "{line}");
        // strace names what a descriptor stands for: a socket, a pipe, or a file.
        let target = line.split_once('<').map_or("", |(_, rest)| rest);
        assert!(!call.contains("write") || !target.starts_with('/'), "{line}");
    }
    assert!(own.contains(&id), "it did read");
}

#[test]
fn an_unchanged_page_opens_no_record() {
    if !strace::is_there() {
        return;
    }
    let ci = Installation::building("true");
    for _ in 0..3 {
        ci.push(&Push::to("amp_mgms", "main"));
    }
    ci.build(1);
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=openat", "-o"]).arg(trace.path());
    command.arg(env!("CARGO_BIN_EXE_statusd")).arg("--home").arg(ci.home());
    let page = Page::start(command);
    let opened = || {
        fs::read_to_string(trace.path()).unwrap().lines().filter(|line| line.contains("result.json")).count()
    };
    let tag = page.get("/").value("etag").to_string();
    assert_eq!(opened(), 3, "each once");
    assert_eq!(page.ask("GET", "/", &[("If-None-Match", &tag)]).status, 304);
    assert_eq!(page.get("/").status, 200);
    assert_eq!(opened(), 3, "neither for a 304 nor for the page again");
}
