//! Mirrors, with real git: what the network has brought once it need not bring again, and they are never in the way.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

use super::isolation::{documented_launcher, has_walls};
use crate::support::{
    files::{executable, names},
    git_server::GitServer,
    installation::{Installation, Push, Record},
    mount::Mount,
    process::Running,
    repositories::Repositories,
    wait::wait_until,
};

/// A forge that notes whenever it sends objects, and an installation with mirrors.
struct Site {
    forge: Repositories,
    ci: Installation,
}

impl Site {
    fn new() -> Self {
        let forge = Repositories::new();
        let mut ci = forge.installation();
        fs::create_dir(ci.path("mirrors")).unwrap();
        let note = format!("echo x >>{}; exec \"$@\"", ci.path("sent").display());
        let config = ci.path("gitconfig");
        fs::write(ci.path("note"), note).unwrap();
        let hook = format!("bash {}", ci.path("note").display());
        let set = |key: &str, value: &str| {
            let status =
                Command::new("git").args(["config", "--file"]).arg(&config).args([key, value]).status();
            assert!(status.unwrap().success());
        };
        set("uploadpack.packObjectsHook", &hook);
        set("protocol.file.allow", "always");
        ci.set("GIT_CONFIG_GLOBAL", &config.display().to_string());
        Self { forge, ci }
    }

    /// How often the forge has sent objects.
    fn sent(&self) -> usize {
        fs::read_to_string(self.ci.path("sent")).unwrap_or_default().lines().count()
    }

    fn mirror(&self) -> PathBuf {
        self.ci.path("mirrors/amp_mgms.git")
    }

    fn build(&self, git_ref: &str, commit: &str) -> Record {
        let mut push = Push::to("amp_mgms", "main").git_ref(git_ref);
        push.commit = commit.to_string();
        let id = self.ci.push(&push);
        self.ci.build(1);
        self.ci.records().into_iter().find(|record| record.id == id).expect("a record")
    }

    #[track_caller]
    fn assert_builds(&self, commit: &str, content: &str) {
        let record = self.build("refs/heads/main", commit);
        let output = record.output();
        assert_eq!(record.outcome(), "succeeded", "{output}\n{}", self.ci.log());
        assert!(output.contains(&format!("\ncontent: {content}\n")), "{output}");
        let origin = format!("\norigin: {}/amp_mgms\n", self.forge.base());
        assert!(output.contains(&origin), "{output}");
        assert_eq!(names(&self.ci.path("work")), [""; 0]);
    }

    /// So that it is seen whether it is made anew.
    fn mark(&self) {
        fs::write(self.mirror().join("mark"), "").unwrap();
    }

    fn is_marked(&self) -> bool {
        self.mirror().join("mark").exists()
    }

    /// With a chunk that shows what git has as the origin.
    fn showing_origin(self) -> Self {
        self.ci.chunk("distribute_main", "echo \"origin: $(git -C amp_mgms remote get-url origin)\"");
        self
    }
}

#[test]
fn a_second_build_moves_no_objects_again_and_a_new_commit_only_its_own() {
    let site = Site::new().showing_origin();
    let first = site.forge.commit("amp_mgms", &[("content", "first")]);
    site.assert_builds(&first, "first");
    assert_eq!(site.sent(), 2, "one of each repository");
    site.assert_builds(&first, "first");
    assert_eq!(site.sent(), 2);
    let second = site.forge.commit("amp_mgms", &[("content", "second")]);
    site.assert_builds(&second, "second");
    assert_eq!(site.sent(), 3);
    assert!(!site.ci.log().contains("without a mirror"), "{}", site.ci.log());
}

#[test]
fn what_was_forced_away_renamed_or_removed_at_the_forge_is_so_in_the_mirror() {
    let site = Site::new().showing_origin();
    site.forge.commit("amp_mgms", &[("content", "first")]);
    let replaced = site.forge.commit("amp_mgms", &[("content", "replaced")]);
    site.forge.git("amp_mgms", &["branch", "old"]);
    site.forge.git("amp_mgms", &["tag", "v1"]);
    site.assert_builds(&replaced, "replaced");
    site.mark();
    site.forge.git("amp_mgms", &["reset", "--quiet", "--hard", "HEAD~1"]);
    let instead = site.forge.commit("amp_mgms", &[("content", "in its place")]);
    site.forge.git("amp_mgms", &["branch", "-D", "old"]);
    site.forge.git("amp_mgms", &["branch", "old/new"]);
    site.forge.git("amp_mgms", &["tag", "--force", "v1"]);
    site.forge.git("amp_bootstrap", &["branch", "--move", "trunk"]);
    site.assert_builds(&instead, "in its place");
    let refs = site.forge.git("amp_mgms", &["for-each-ref", "--format=%(refname) %(objectname)"]);
    let mirrored = Command::new("git")
        .arg("--git-dir")
        .arg(site.mirror())
        .args(["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(mirrored.stdout).unwrap().trim_end(), refs);
    assert!(site.is_marked());
    // On no branch any more, it is fetched from the forge itself.
    site.assert_builds(&replaced, "replaced");
}

#[test]
fn a_tag_and_submodules_are_built_from_a_mirror_too() {
    let site = Site::new();
    site.forge.commit("common", &[("content", "then")]);
    site.forge.commit("amp_mgms", &[("content", "of tag")]);
    site.forge.git("amp_mgms", &["submodule", "--quiet", "add", "../common", "common"]);
    let commit = site.forge.commit("amp_mgms", &[]);
    site.forge.git("amp_mgms", &["tag", "-m", "x", "v2"]);
    site.forge.commit("common", &[("content", "now")]);
    site.ci.chunk("distribute_v2", "echo \"submodule: $(cat amp_mgms/common/content)\"");
    for _ in 0..2 {
        let record = site.build("refs/tags/v2", &commit);
        assert!(record.output().contains("\nsubmodule: then\n"), "{}", record.output());
        assert_eq!(record.outcome(), "succeeded");
    }
    assert!(site.mirror().is_dir());
}

#[test]
fn a_repository_of_sha_256_has_a_mirror() {
    let site = Site::new().showing_origin();
    fs::create_dir(site.forge.path("amp_mgms")).unwrap();
    site.forge.git("amp_mgms", &["init", "--quiet", "--object-format=sha256", "--initial-branch=main"]);
    let bootstrap = site.forge.path("amp_bootstrap");
    fs::copy(bootstrap.join("amp_build.py"), site.forge.path("amp_mgms/amp_build.py")).unwrap();
    let commit = site.forge.commit("amp_mgms", &[("content", "long")]);
    assert_eq!(commit.len(), 64);
    site.assert_builds(&commit, "long");
    site.assert_builds(&commit, "long");
    assert_eq!(site.sent(), 2);
}

/// What a shell in `mirrors/` makes of a mirror, and what becomes of that.
const DAMAGE: [(&str, &str, Then); 9] = [
    ("half", "rm -rf amp_mgms.git/objects/pack", Then::Whole),
    ("garbage", "for f in amp_mgms.git/objects/pack/*; do chmod u+w $f; echo x >$f; done", Then::Whole),
    (
        "a blob that does not unpack, which no fetch looks at",
        "cd amp_mgms.git; mv objects/pack/*.pack ../p; rm -f objects/pack/*; git unpack-objects -q <../p; rm ../p
         b=$(git rev-parse main:content); f=objects/${b:0:2}/${b:2}; chmod u+w $f; echo x >$f",
        Then::Whole,
    ),
    ("empty", "rm -rf amp_mgms.git; mkdir amp_mgms.git", Then::Whole),
    ("no directory", "rm -rf amp_mgms.git; echo x >amp_mgms.git", Then::Whole),
    (
        "killed in the middle of a fetch",
        "cd amp_mgms.git; touch refs/heads/main.lock packed-refs.lock HEAD.lock objects/pack/tmp_pack_x",
        Then::Mended,
    ),
    (
        "killed in the middle of the first clone",
        "mv amp_mgms.git amp_mgms.git.new; rm -rf amp_mgms.git.new/objects",
        Then::Whole,
    ),
    ("a lock that is none", "rm amp_mgms.git.lock; mkdir amp_mgms.git.lock", Then::Mended),
    (
        "a place that cannot be written",
        "rm -rf amp_mgms.git; mkdir amp_mgms.git.new; chattr +i amp_mgms.git.new",
        Then::None,
    ),
];

#[derive(PartialEq)]
enum Then {
    /// By whatever way.
    Whole,
    /// And is the same.
    Mended,
    None,
}

#[test]
fn whatever_has_become_of_a_mirror_the_build_succeeds_and_it_is_mended_or_made_anew() {
    for (what, damage, then) in DAMAGE {
        let site = Site::new().showing_origin();
        site.forge.commit("amp_mgms", &[("content", "first")]);
        let commit = site.forge.commit("amp_mgms", &[("content", "second")]);
        site.assert_builds(&commit, "second");
        site.mark();
        let shell = |text| {
            let status =
                Command::new("bash").args(["-ec", text]).current_dir(site.ci.path("mirrors")).status();
            status.unwrap().success()
        };
        if !shell(damage) {
            println!("skipped: {what}, which this file system or account cannot have");
            continue;
        }
        let more = site.forge.commit("amp_mgms", &[("content", "third")]);
        site.assert_builds(&commit, "second");
        // What only a clone finds out has been told of.
        site.assert_builds(&commit, "second");
        assert!(!site.ci.path("mirrors/amp_mgms.git.bad").exists(), "{what}");
        site.assert_builds(&more, "third");
        let has_failed = site.ci.path("mirrors/amp_mgms.git.failed").exists();
        shell("[ ! -e amp_mgms.git.new ] || chattr -i amp_mgms.git.new");
        assert_eq!(has_failed, then == Then::None, "{what}: {}", site.ci.log());
        assert_eq!(site.ci.log().matches("without a mirror").count(), usize::from(has_failed), "{what}");
        if then != Then::None {
            assert!(site.is_marked() || then != Then::Mended, "{what}");
            assert!(shell("git --git-dir=amp_mgms.git archive main | tar -t >/dev/null"), "{what}");
        }
    }
}

#[test]
fn a_mirror_that_is_somebody_else_s_or_elsewhere_is_not_used() {
    let site = Site::new().showing_origin();
    let commit = site.forge.commit("amp_mgms", &[("content", "ours")]);
    site.assert_builds(&commit, "ours");
    let elsewhere = site.ci.path("elsewhere");
    fs::rename(site.mirror(), &elsewhere).unwrap();
    symlink(&elsewhere, site.mirror()).unwrap();
    site.assert_builds(&commit, "ours");
    assert!(site.mirror().symlink_metadata().unwrap().is_dir() && elsewhere.join("HEAD").exists());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(site.mirror(), Some(65534), None).unwrap();
        site.assert_builds(&commit, "ours");
        assert_eq!(site.mirror().metadata().unwrap().uid(), 0, "it is made anew");
    }
}

#[test]
fn a_failure_is_one_line_and_not_tried_again_at_once() {
    let site = Site::new().showing_origin();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    site.assert_builds(&commit, "x");
    fs::write(site.ci.path("mirrors/amp_mgms.git.failed"), "by hand\n").unwrap();
    let more = site.forge.commit("amp_mgms", &[("content", "y")]);
    site.assert_builds(&more, "y");
    assert!(!site.ci.log().contains("without a mirror"), "{}", site.ci.log());
    fs::remove_file(site.ci.path("mirrors/amp_mgms.git.failed")).unwrap();
    let before = site.sent();
    site.assert_builds(&more, "y");
    site.assert_builds(&more, "y");
    assert_eq!(site.sent(), before + 1, "the mirror lacked it");
}

#[test]
fn a_stop_ends_what_brings_a_mirror_up_to_date_and_the_build_goes_on_later() {
    let site = Site::new().showing_origin();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    let note = fs::read_to_string(site.ci.path("note")).unwrap();
    fs::write(site.ci.path("note"), format!("touch {}; sleep 1000", site.ci.path("hangs").display()))
        .unwrap();
    let mut push = Push::to("amp_mgms", "main");
    push.commit = commit.clone();
    site.ci.push(&push);
    let mut build = site.ci.start_build(1);
    wait_until("git waits for the forge", || site.ci.path("hangs").exists());
    build.signal("TERM");
    build.wait();
    assert_eq!(site.ci.living(), [""; 0], "nothing is left");
    assert_eq!(site.ci.records().len(), 0);
    assert_eq!(names(&site.ci.path("mirrors")).iter().filter(|name| name.ends_with(".failed")).count(), 0);
    fs::write(site.ci.path("note"), note).unwrap();
    site.ci.build(1);
    assert_eq!(site.ci.record().outcome(), "succeeded", "{}", site.ci.record().output());
    assert!(site.mirror().is_dir());
}

#[test]
fn neither_a_lock_that_is_not_let_go_nor_a_fifo_in_the_place_of_a_note_holds_it_up() {
    let site = Site::new().showing_origin();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    let mut push = Push::to("amp_mgms", "main");
    push.commit.clone_from(&commit);
    site.ci.push(&push);
    let lock = fs::File::create(site.ci.path("mirrors/amp_mgms.git.lock")).unwrap();
    lock.lock().unwrap();
    let mut build = site.ci.start_build(1);
    wait_until("it is claimed", || site.ci.entries()[0].ends_with(".lock"));
    build.signal("TERM");
    assert_eq!(build.wait(), 143);
    assert_eq!(site.ci.records().len(), 0);
    drop(lock);

    // The forge refuses once.
    let once = site.ci.path("once");
    let note = format!("[ -e {0} ] || {{ touch {0}; exit 1; }}; exec \"$@\"", once.display());
    fs::write(site.ci.path("note"), note).unwrap();
    let failed = site.ci.path("mirrors/amp_mgms.git.failed");
    assert!(Command::new("mkfifo").arg(&failed).status().unwrap().success());
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(&failed).status().unwrap().success());
    site.ci.build(1);
    assert_eq!(site.ci.record().outcome(), "succeeded", "{}", site.ci.record().output());
    assert!(failed.symlink_metadata().unwrap().is_file());
}

/// More of them than a mirror may have; the last commit.
fn make_many_packs(site: &Site) -> String {
    let mut commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    site.assert_builds(&commit, "x");
    for number in 0..51 {
        commit = site.forge.commit("amp_mgms", &[("content", &number.to_string())]);
        let fetched = Command::new("git")
            .args(["-c", "fetch.unpackLimit=1", "-c", "gc.auto=0", "--git-dir"])
            .arg(site.mirror())
            .args(["fetch", "--quiet", &site.forge.path("amp_mgms").display().to_string(), "+main:main"])
            .status();
        assert!(fetched.unwrap().success());
    }
    assert!(packs(site).len() > 50);
    commit
}

fn packs(site: &Site) -> Vec<PathBuf> {
    let dir = site.mirror().join("objects/pack");
    names(&dir).iter().filter(|name| name.ends_with(".pack")).map(|name| dir.join(name)).collect()
}

#[test]
fn many_packs_become_one_and_what_nobody_has_used_for_90_days_goes() {
    let site = Site::new().showing_origin();
    let commit = make_many_packs(&site);
    let old = site.ci.path("mirrors/gone.git");
    fs::create_dir(&old).unwrap();
    let lock = fs::File::create(site.ci.path("mirrors/gone.git.lock")).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(91 * 24 * 3600);
    lock.set_modified(long_ago).unwrap();
    site.assert_builds(&commit, "50");
    assert_eq!(packs(&site).len(), 1);
    assert!(!names(&site.ci.path("mirrors")).iter().any(|name| name.starts_with("gone")));
}

#[test]
fn many_packs_that_cannot_become_one_are_made_anew() {
    let site = Site::new().showing_origin();
    let commit = make_many_packs(&site);
    for pack in packs(&site) {
        fs::remove_file(&pack).unwrap();
        fs::write(pack, "").unwrap();
    }
    site.assert_builds(&commit, "50");
    assert_eq!(packs(&site).len(), 1);
    assert!(!site.ci.log().contains("without a mirror"), "{}", site.ci.log());
}

#[test]
fn without_the_directory_or_the_word_or_behind_a_launcher_that_hides_it_the_clone_is_plain() {
    let site = Site::new().showing_origin();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    fs::remove_dir(site.ci.path("mirrors")).unwrap();
    site.assert_builds(&commit, "x");
    assert!(!site.ci.path("mirrors").exists());

    let mut site = Site::new().showing_origin();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    site.ci.set("AMP_CI_LAUNCHER", "env AMP_CI_MIRRORS=/nowhere");
    site.assert_builds(&commit, "x");
    assert_eq!(site.sent(), 4, "both repositories for the mirrors, and again for the build");

    let site = Site::new();
    site.ci.chunk("checkout_repos", "true");
    site.ci.chunk("build_packages", "true");
    site.build("refs/heads/main", &"1".repeat(40));
    assert_eq!(names(&site.ci.path("mirrors")), [""; 0]);
}

#[test]
fn two_builds_of_one_repository_at_once_fetch_it_once() {
    let site = Site::new();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    for branch in ["main", "other"] {
        let mut push = Push::to("amp_mgms", branch);
        push.commit.clone_from(&commit);
        site.ci.push(&push);
    }
    site.ci.build(2);
    for record in site.ci.records() {
        assert_eq!(record.outcome(), "succeeded", "{}\n{}", record.output(), site.ci.log());
    }
    assert_eq!(site.ci.records().len(), 2);
    assert_eq!(site.sent(), 2, "one of each repository");
}

#[test]
fn on_a_full_disk_the_clone_is_plain_and_a_mirror_is_made_when_there_is_room() {
    let site = Site::new().showing_origin();
    let Some(mount) = Mount::tmpfs(&site.ci.path("mirrors"), "size=256k") else { return };
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(1 << 20).collect();
    let commit = site.forge.commit("amp_mgms", &[("content", "x"), ("big", &random)]);
    site.assert_builds(&commit, "x");
    assert!(site.ci.log().contains("is cloned without a mirror"), "{}", site.ci.log());
    assert!(!site.mirror().exists());

    mount.again("size=64M");
    // As if 10 minutes had passed.
    fs::remove_file(site.ci.path("mirrors/amp_mgms.git.failed")).unwrap();
    site.assert_builds(&commit, "x");
    site.mark();
    let sent = site.sent();
    site.assert_builds(&commit, "x");
    assert_eq!(site.sent(), sent);
    assert!(site.is_marked());
}

#[test]
fn behind_walls_it_is_read_where_it_is_let_in_and_the_clone_is_plain_where_it_is_not() {
    if !has_walls() {
        return;
    }
    let mut site = Site::new();
    let commit = site.forge.commit("amp_mgms", &[("content", "x")]);
    let home = site.ci.home().display().to_string();
    let launcher = documented_launcher(&home, &home);
    for is_plain in [true, false] {
        let forge = ["amp_mgms", "amp_bootstrap"].map(|name| site.forge.path(name).display().to_string());
        let mirrors =
            if is_plain { String::new() } else { format!("--ro-bind {home}/mirrors {home}/mirrors ") };
        let words = forge.map(|dir| format!("--ro-bind {dir} {dir} ")).concat();
        let launcher = launcher.replace("--bind {dir}", &format!("{words}{mirrors}--bind {{dir}}"));
        site.ci.set("AMP_CI_LAUNCHER", &launcher);
        let record = site.build("refs/heads/main", &commit);
        let output = record.output();
        assert_eq!(record.outcome(), "succeeded", "{output}\n{}", site.ci.log());
        assert!(output.contains("\ncontent: x\n"), "{output}");
        assert_eq!(output.contains("+ from_forge forge_has_all_but_ours"), is_plain, "{output}");
    }
    assert!(!site.ci.log().contains("without a mirror"), "{}", site.ci.log());
}

/// A forge that can hang, and an installation with mirrors of it.
struct Hanging {
    _forge: Repositories,
    server: GitServer,
    ci: Installation,
    push: Push,
}

impl Hanging {
    fn new() -> Self {
        let forge = Repositories::new();
        let commit = forge.commit("amp_mgms", &[("content", "x")]);
        let server = GitServer::start(&forge, &["amp_mgms", "amp_bootstrap"], "ci:password");
        let mut ci = forge.installation();
        fs::create_dir(ci.path("mirrors")).unwrap();
        ci.set("AMP_CI_GIT_BASE", &server.base("ci:password")).set("GIT_ALLOW_PROTOCOL", "http:file");
        Self { _forge: forge, server, ci, push: Push { commit, ..Push::to("amp_mgms", "main") } }
    }

    /// A build that waits for the forge.
    fn hang(&self) -> (String, Running) {
        self.server.hold(true);
        let id = self.ci.deliver(&self.push);
        let build = self.ci.start_build(2);
        wait_until("git waits for the forge", || {
            self.ci.living().iter().any(|line| line.contains("/mirrors/amp_mgms"))
        });
        (id, build)
    }

    fn cancel(&self, id: &str) {
        let cancel = self.ci.command("build").args(["cancel", id]).env("SUDO_USER", "ana").output().unwrap();
        assert!(cancel.status.success(), "{}", String::from_utf8_lossy(&cancel.stderr));
    }

    fn record(&self, id: &str) -> Record {
        self.ci.records().into_iter().find(|record| record.id == id).expect("a record")
    }

    fn assert_cancelled(&self, id: &str) {
        let record = self.record(id);
        assert_eq!(
            (record.outcome(), &record.result["rc"]),
            ("cancelled", &Value::Null),
            "{}",
            self.ci.log()
        );
        assert!(record.result["by"].as_str().unwrap().starts_with("ana@"), "{}", record.result);
        assert_eq!(record.output(), "", "its script was never begun");
        assert!(self.ci.letters().is_empty());
        let failed = names(&self.ci.path("mirrors")).into_iter().find(|name| name.ends_with(".failed"));
        assert_eq!(failed, None, "the forge is asked again by the next build");
    }

    /// The next one has its mirrors.
    fn assert_builds(&self) {
        self.server.hold(false);
        let id = self.ci.deliver(&self.push);
        self.ci.build(1);
        assert_eq!(self.record(&id).outcome(), "succeeded", "{}", self.record(&id).output());
        assert!(!self.ci.log().contains("without a mirror"), "{}", self.ci.log());
        assert!(self.ci.path("mirrors/amp_mgms.git/HEAD").exists());
    }
}

#[test]
fn who_is_cancelled_while_a_mirror_is_brought_up_to_date_is_ended_at_once_and_the_mirror_stays_good() {
    for ignores_term in [false, true] {
        let mut site = Hanging::new();
        if ignores_term {
            executable(&site.ci.path("git"), "#!/bin/sh\nPATH=${PATH#*:}; trap '' TERM; exec git \"$@\"\n");
            let path = format!("{}:{}", site.ci.home().display(), std::env::var("PATH").unwrap());
            site.ci.set("PATH", &path);
        }
        // At its first clone, and at a fetch.
        for is_there in [false, true] {
            let mark = site.ci.path("mirrors/amp_mgms.git/mark");
            if is_there {
                fs::write(&mark, "").unwrap();
            }
            let (id, mut build) = site.hang();
            site.cancel(&id);
            assert_eq!(build.wait(), 0, "{}", site.ci.log());
            site.assert_cancelled(&id);
            site.ci.assert_all_over();
            site.assert_builds();
            assert_eq!(mark.exists(), is_there, "it is not made anew");
        }
    }
}

#[test]
fn who_is_cancelled_while_another_brings_its_mirror_up_to_date_does_not_wait_for_that() {
    let site = Hanging::new();
    let (first, mut build) = site.hang();
    let second = site.ci.deliver(&Push { commit: site.push.commit.clone(), ..Push::to("amp_mgms", "other") });
    wait_until("it is begun", || site.ci.path(&format!("builds/{second}/running.json")).exists());
    site.cancel(&second);
    wait_until("it is over", || site.ci.path(&format!("builds/{second}/result.json")).exists());
    site.assert_cancelled(&second);
    assert!(!site.ci.path(&format!("builds/{first}/result.json")).exists(), "the other one still waits");
    site.server.hold(false);
    assert_eq!(build.wait(), 0);
    assert_eq!(site.record(&first).outcome(), "succeeded", "{}", site.record(&first).output());
    site.assert_builds();
}
