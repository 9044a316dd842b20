//! Where a cgroup is left to `build`, each build has one of its own, and nothing gets out of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::XattrFlags;

use crate::support::{
    files::{names, pid_in},
    installation::{Installation, Push},
    need::or_skip,
    process::{Running, lives},
    wait::wait_until,
};

/// A cgroup that is left to whoever starts in it, as systemd leaves one to a service with `Delegate=yes`.
struct Delegated(PathBuf);

impl Delegated {
    /// None where there is none to be had, which is said.
    fn new(ci: &Installation) -> Option<Self> {
        let made = Self::make(ci);
        or_skip("AMP_CI_REQUIRE_CGROUP", made.is_none().then_some("no cgroup v2 can be made here"))
            .then_some(made?)
    }

    fn make(ci: &Installation) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let at = fields.next()?;
            (fields.next() == Some("cgroup2")).then_some(at)
        })?;
        let name = ci.home().file_name()?.to_str()?.trim_start_matches('.');
        let dir = Path::new(mount).join(format!("amp-ci-test-{name}"));
        fs::create_dir(&dir).ok()?;
        let delegated = Self(dir);
        rustix::fs::setxattr(&delegated.0, "user.delegate", b"1", XattrFlags::empty()).ok()?;
        Some(delegated)
    }

    fn build(&self, ci: &Installation) -> Running {
        Running::start(&mut self.command(ci))
    }

    fn command(&self, ci: &Installation) -> Command {
        let mut command = ci.command("sh");
        // Once controllers are handed down, no process may go in itself: systemd makes a service's group anew.
        let go_in = "for at in drain/ ''; do if echo $$ > \"$0/${at}cgroup.procs\"; then break; fi; done; exec \"$@\"";
        command.args(["-c", go_in]).arg(&self.0);
        command
            .args([env!("CARGO_BIN_EXE_amp_build"), "--threads", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The groups of builds that there are.
    fn groups(&self) -> Vec<String> {
        let is_group = |name: &String| name != "drain" && self.0.join(name).is_dir();
        names(&self.0).into_iter().filter(is_group).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let _ = fs::remove_dir(self.0.join("drain"));
        for group in self.groups() {
            let _ = fs::remove_dir(self.0.join(group));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A chunk's lines: leave a process behind that has no mark, no session and no parent to be known by. Its number is in the file `pid`.
fn hide(ci: &Installation) -> String {
    let home = ci.home().display();
    let hidden =
        format!("echo $$ > {home}/pid.new; mv {home}/pid.new {home}/pid; exec -a {home}/hidden sleep 1000");
    format!("(setsid env -i bash -c '{hidden}' &)\nuntil [ -e {home}/pid ]; do sleep 0.01; done\n")
}

#[test]
fn what_hides_ends_with_its_build_while_others_run() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk(
        "build_packages",
        &format!("if [ $AMP_CI_REPOSITORY = hides ]; then\n{}else\n{}\nfi", hide(&ci), ci.stop_at("work")),
    );
    let Some(delegated) = Delegated::new(&ci) else { return };
    ci.push(&Push::to("works", "main"));
    ci.push(&Push::to("hides", "main"));
    let mut build = delegated.build(&ci);
    ci.wait_at("work");
    wait_until("the one that hides something is over", || !ci.records().is_empty());
    assert!(!lives(pid_in(&ci.path("pid"))), "{}", ci.log());
    assert_eq!(delegated.groups().len(), 1, "that of the build that runs");
    ci.let_go("work");
    assert_eq!(build.wait(), 0, "{}", ci.log());
    assert_eq!(delegated.groups(), [""; 0]);
    ci.assert_all_over();
}

#[test]
fn what_hides_from_a_build_that_was_killed_is_ended_by_the_next() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk("build_packages", &format!("{}{}", hide(&ci), ci.stop_at("work")));
    let Some(delegated) = Delegated::new(&ci) else { return };
    ci.push(&Push::to("hides", "main"));
    let mut build = delegated.build(&ci);
    ci.wait_at("work");
    build.signal("KILL");
    build.wait();
    let hidden = pid_in(&ci.path("pid"));
    assert!(lives(hidden));
    fs::remove_file(ci.path("pid")).unwrap();
    ci.let_go("work");
    let mut next = delegated.build(&ci);
    assert_eq!(next.wait(), 0, "{}", ci.log());
    assert!(!lives(hidden), "{}", ci.log());
    assert_eq!(ci.record().outcome(), "succeeded");
    assert_eq!(delegated.groups(), [""; 0]);
    ci.assert_all_over();
}

#[test]
fn groups_that_a_build_makes_in_its_own_go_with_it() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk(
        "build_packages",
        "own=$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/self/mounts)$(sed -n 's/^0:://p' /proc/self/cgroup)\n\
         mkdir -p \"$own/a/b\"\necho $$ > \"$own/a/b/cgroup.procs\"\nsetsid sleep 1000 &\n",
    );
    let Some(delegated) = Delegated::new(&ci) else { return };
    ci.push(&Push::to("divides", "main"));
    assert_eq!(delegated.build(&ci).wait(), 0, "{}", ci.log());
    assert_eq!(ci.record().outcome(), "succeeded", "{}", ci.record().output());
    assert_eq!(delegated.groups(), [""; 0]);
    ci.assert_all_over();
}

#[test]
fn a_build_that_is_ended_for_memory_failed_for_that() {
    let ci = Installation::building("head -c 500M /dev/zero | tail");
    let Some(delegated) = Delegated::new(&ci) else { return };
    let (parent, limit) = (delegated.0.parent().unwrap(), delegated.0.join("memory.max"));
    let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
    // Where version 1 has it, it cannot be lent.
    let missing = (!limit.exists()).then_some("the memory controller is not with cgroup v2 here");
    if !or_skip("AMP_CI_REQUIRE_MEMORY_CGROUP", missing) {
        return;
    }
    fs::write(limit, "100M").unwrap();
    let _ = fs::write(delegated.0.join("memory.swap.max"), "0");
    ci.push(&Push::to("hungry", "main"));
    assert_eq!(delegated.build(&ci).wait(), 0, "{}", ci.log());
    let record = ci.record();
    assert_eq!(record.outcome(), "failed");
    assert_eq!((&record.result["rc"], &record.result["cause"]), (&(-9).into(), &"memory".into()));
    assert!(ci.letter().text.contains("because memory had run out"), "{}", ci.letter().text);
    ci.assert_all_over();
}
