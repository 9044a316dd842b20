//! A hostile work directory: refused where somebody else could turn it against us; and whatever a build leaves in its
//! workspace is removed, and nothing else.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::Path,
    process::Command,
};

use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push},
    need::{self, or_skip},
    wait::wait_until,
};

/// Does a build run in it, or is it refused, with what words?
fn refusal(base: &Path) -> Option<String> {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_WORK_DIR", base.to_str().unwrap());
    ci.push(&Push::to("r", "main"));
    let refused = ci.build_with(&[]).status.code() == Some(1);
    assert_eq!(ci.records().len(), usize::from(!refused));
    assert_eq!(ci.entries().len(), usize::from(refused));
    let log = ci.log();
    refused.then(|| log.lines().find(|line| line.contains("work directory")).unwrap().to_string())
}

#[test]
fn a_base_of_somebody_else_s_or_open_to_everybody_is_refused_and_our_symlink_is_not() {
    let dir = temp_dir();
    let base = dir.path().join("base");
    let link = dir.path().join("link");
    let mode = |mode| fs::set_permissions(&base, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(&base).unwrap();
    symlink(&base, &link).unwrap();
    for (bits, is_refused) in [(0o755, false), (0o700, false), (0o777, true), (0o1777, false), (0o773, true)]
    {
        mode(bits);
        assert_eq!(refusal(&base).is_some(), is_refused, "{bits:o}");
        assert_eq!(refusal(&link).is_some(), is_refused, "{bits:o} through a link");
    }
    mode(0o755);
    assert!(refusal(&dir.path().join("nothing")).is_some());
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(refusal(&dir.path().join("file")).unwrap().contains("not a directory"));
    if !need::root() {
        return;
    }
    lchown(&link, Some(65534), None).unwrap();
    assert!(refusal(&link).unwrap().contains("belongs to user 65534"));
    chown(&base, Some(65534), None).unwrap();
    assert!(refusal(&base).unwrap().contains("belongs to user 65534"));
    assert!(names(&base).is_empty());
}

/// Fills the workspace with all that is hard to remove; `outside` must stay as it is.
fn traps(outside: &str) -> String {
    format!(
        "ln -s {outside} to-dir; ln -s {outside}/file to-file; ln -s / root; ln -s . self; ln -s nowhere dangling\n\
         ln {outside}/file hard\n\
         mkdir -p closed/in/side dark; touch closed/in/side/x; ln -s {outside} closed/in/out; ln {outside}/file closed/in/hard\n\
         chmod 555 closed/in/side closed/in closed; touch dark/x; chmod 000 dark\n\
         touch -- -rf '-x' $'new\\nline' ' ' '*'; mkdir -- '--help'; touch $'\\xff\\xfe'\n\
         mkfifo fifo; mknod plain p\n\
         perl -e 'for (1..3000) {{ mkdir \"d\" or die; chdir \"d\" or die }} mkdir \"e\"; chmod 0555, \".\"'\n\
         chmod 000 ."
    )
}

struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Self {
        let outside = Self(temp_dir());
        fs::write(outside.file(), "precious").unwrap();
        fs::set_permissions(outside.file(), fs::Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(outside.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        outside
    }

    fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("file")
    }

    fn assert_untouched(&self) {
        assert_eq!(names(self.0.path()), ["file"]);
        assert_eq!(fs::read_to_string(self.file()).unwrap(), "precious");
        assert_eq!(self.file().metadata().unwrap().mode() & 0o7777, 0o444);
        assert_eq!(self.0.path().metadata().unwrap().mode() & 0o7777, 0o755);
    }
}

/// `build`, as somebody whom modes concern.
fn build_as_nobody(ci: &Installation) -> Command {
    let mut command = ci.command("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(env!("CARGO_BIN_EXE_amp_build"));
    command
}

fn give_to_nobody(path: &Path) {
    assert!(Command::new("chown").args(["-hR", "65534:65534"]).arg(path).status().unwrap().success());
}

#[test]
fn whatever_is_planted_in_a_workspace_goes_with_it_and_its_targets_stay() {
    for as_root in [false, true] {
        if !need::root() && !as_root {
            continue;
        }
        let (ci, outside) = (Installation::new(), Outside::new());
        ci.chunk("checkout_repos", "true");
        ci.chunk("build_packages", &traps(&outside.path()));
        ci.push(&Push::to("finished", "main"));
        if !as_root {
            give_to_nobody(ci.home());
            give_to_nobody(outside.0.path());
        }
        let start = || if as_root { ci.command("build") } else { build_as_nobody(&ci) };
        assert_eq!(start().status().unwrap().code(), Some(0));
        assert_eq!(ci.record().outcome(), "succeeded", "{}", ci.record().output());
        assert_eq!(names(&ci.path("work")), [""; 0], "{}", ci.log());
        outside.assert_untouched();

        // The same, left by a run that was killed.
        ci.chunk("build_packages", &format!("{}\nkill -KILL $PPID", traps(&outside.path())));
        ci.entry("2000000000.5", &Push::to("killed", "main").json());
        if !as_root {
            give_to_nobody(&ci.path("queue/build-2000000000.5"));
        }
        assert_eq!(start().status().unwrap().code(), None);
        assert_eq!(names(&ci.path("work")).len(), 1);
        ci.chunk("build_packages", "true");
        assert_eq!(start().status().unwrap().code(), Some(0));
        assert_eq!(names(&ci.path("work")), [""; 0], "{}", ci.log());
        outside.assert_untouched();
    }
}

#[test]
fn a_workspace_that_became_a_link_is_removed_as_a_link() {
    let outside = Outside::new();
    let ci =
        Installation::building(&format!("here=$PWD; cd ..; rm -rf $here; ln -s {} $here", outside.path()));
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded", "{}", ci.record().output());
    assert_eq!(names(&ci.path("work")), [""; 0]);
    outside.assert_untouched();
}

#[test]
fn what_is_mounted_in_a_workspace_is_not_emptied() {
    let outside = Outside::new();
    let can = Command::new("unshare").args(["--mount", "true"]).output();
    let missing =
        (!can.is_ok_and(|output| output.status.success())).then_some("mounting is not allowed here");
    if !need::root() || !or_skip("AMP_CI_REQUIRE_MOUNT", missing) {
        return;
    }
    let ci = Installation::building(&format!("mkdir m; mount --bind {} m", outside.path()));
    ci.push(&Push::to("r", "main"));
    // In a name space of its own, so that nothing stays mounted.
    let build = ci.command("unshare").args(["--mount", env!("CARGO_BIN_EXE_amp_build")]).status().unwrap();
    assert_eq!(build.code(), Some(1), "it is told of");
    assert_eq!(ci.record().outcome(), "succeeded", "{}", ci.record().output());
    outside.assert_untouched();
    assert!(ci.log().contains(" stays: something is mounted in it"), "{}", ci.log());
    ci.build(1);
    assert_eq!(names(&ci.path("work")), [""; 0], "not mounted any more, it goes");
    outside.assert_untouched();
}

#[test]
fn the_live_workspaces_and_processes_of_another_installation_are_left_alone() {
    let mut other = Installation::building("");
    let mut ci = Installation::building("true");
    let base = temp_dir();
    for ci in [&mut other, &mut ci] {
        ci.set("AMP_CI_WORK_DIR", base.path().to_str().unwrap());
    }
    let home = other.home().display();
    other.chunk(
        "build_packages",
        &format!("touch mine; touch {home}/ready; until [ -e {home}/go ]; do sleep 0.01; done; [ -e mine ]"),
    );
    // Of the same name, too.
    other.entry("5.000000000", &Push::to("r", "main").json());
    ci.entry("5.000000000", &Push::to("r", "main").json());
    let mut build = other.start_build(1);
    wait_until("the other one builds", || other.path("ready").exists());
    fs::create_dir(base.path().join("amp_ci-somebody-else-s")).unwrap();
    let before = names(base.path());
    ci.build(1);
    ci.chunk("build_packages", "kill -KILL $PPID");
    ci.push(&Push::to("killed", "main"));
    assert_eq!(ci.build_to_its_end(1), -9);
    ci.chunk("build_packages", "true");
    ci.build(1);
    assert_eq!(names(base.path()), before);
    fs::write(other.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0);
    assert_eq!(other.record().outcome(), "succeeded", "{}", other.record().output());
}
