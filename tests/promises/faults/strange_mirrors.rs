//! Whatever stands in the place of a mirror, of a file beside it or within it: the build succeeds, by a plain clone if need
//! be, and the mirror is good again as soon as it can be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use super::matters::{self, MATTERS, Put, as_nobody, clear, give_away, let_go};
use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push},
    need::root,
    process::Running,
    repositories::Repositories,
    wait::within,
};

/// A `/` at the end is a directory's.
const PLACES: [&str; 13] = [
    "mirrors/",
    "mirrors/.in-use",
    "mirrors/else",
    "mirrors/amp_mgms.git/",
    "mirrors/amp_mgms.git.lock",
    "mirrors/amp_mgms.git.failed",
    "mirrors/amp_mgms.git.bad",
    "mirrors/amp_mgms.git.new/",
    "mirrors/amp_mgms.git/HEAD",
    "mirrors/amp_mgms.git/config",
    "mirrors/amp_mgms.git/packed-refs",
    "mirrors/amp_mgms.git/refs/",
    "mirrors/amp_mgms.git/objects/",
];

/// A forge of two commits, and mirrors that have the first.
struct Forge {
    repositories: Repositories,
    mirrors: tempfile::TempDir,
    second: String,
}

impl Forge {
    fn new() -> Self {
        let repositories = Repositories::new();
        let first = repositories.commit("amp_mgms", &[("content", "first")]);
        let mirrors = temp_dir();
        give_away(repositories.path("amp_mgms").parent().unwrap());
        let ci = installation(&repositories, None);
        assert_eq!(build(&ci, &first), Ok("first".to_string()));
        copy(&ci.path("mirrors"), &mirrors.path().join("mirrors"));
        // git wants to have what it writes to itself.
        let as_root = Command::new("chown").args(["-R", "0:0"]).arg(repositories.path("amp_mgms")).status();
        assert!(as_root.unwrap().success());
        let second = repositories.commit("amp_mgms", &[("content", "second")]);
        give_away(&repositories.path("amp_mgms"));
        Self { repositories, mirrors, second }
    }

    fn try_place(&self, place: &str, matter: (&str, Put)) -> Result<(), String> {
        let ci = installation(&self.repositories, Some(&self.mirrors.path().join("mirrors")));
        let (path, is_dir) = (ci.path(place.trim_end_matches('/')), place.ends_with('/'));
        if place.ends_with(".failed") {
            // So that there is a failure to write down.
            fs::remove_dir_all(mirror(&ci)).unwrap();
            fs::create_dir(ci.path("mirrors/amp_mgms.git.new")).unwrap();
            assert!(
                Command::new("chattr")
                    .arg("+i")
                    .arg(ci.path("mirrors/amp_mgms.git.new"))
                    .status()
                    .unwrap()
                    .success()
            );
        }
        matters::put(&path, is_dir, matter);
        let tried = self.build_twice_and_mend(&ci, &path);
        let_go(ci.home());
        tried.map_err(|why| format!("{place} {}: {why}\n{}", matter.0, ci.log()))
    }

    fn build_twice_and_mend(&self, ci: &Installation, path: &Path) -> Result<(), String> {
        for _ in 0..2 {
            // As if ten minutes had passed; an immutable one is as young as it was, and nothing is tried.
            let mut pauses = false;
            for name in names(&ci.path("mirrors")).iter().filter(|name| name.ends_with(".failed")) {
                let mut touch = Command::new("touch");
                touch.args(["-h", "-d", "1 hour ago"]).arg(ci.path("mirrors").join(name));
                pauses |= !touch.stderr(Stdio::null()).status().unwrap().success();
            }
            self.build(ci)?;
            let is_said = ci.log().contains("without a mirror");
            if !is_said && !pauses && ci.path("mirrors").is_dir() && !self.is_good(ci) {
                return Err("nothing is said of a mirror that is not good".to_string());
            }
        }
        let_go(&ci.path("mirrors"));
        clear(path);
        if !ci.path("mirrors").is_dir() {
            fs::create_dir(ci.path("mirrors")).unwrap();
            give_away(&ci.path("mirrors"));
        }
        clear(&ci.path("mirrors/amp_mgms.git.failed"));
        self.build(ci)?;
        if !self.is_good(ci) {
            // What only a clone finds out is told to the next.
            self.build(ci)?;
        }
        if self.is_good(ci) { Ok(()) } else { Err("the mirror is not good again".to_string()) }
    }

    fn build(&self, ci: &Installation) -> Result<(), String> {
        let content = build(ci, &self.second)?;
        if content == "second" { Ok(()) } else { Err(format!("it builds {content}")) }
    }

    fn is_good(&self, ci: &Installation) -> bool {
        let git = |words: &[&str]| {
            let mut command = ci.command("setpriv");
            as_nobody(&mut command).args(["timeout", "60", "git", "--git-dir"]).arg(mirror(ci)).args(words);
            command.stderr(Stdio::null()).output().unwrap()
        };
        let main = git(&["rev-parse", "main"]);
        main.stdout == format!("{}\n", self.second).as_bytes() && git(&["fsck", "--full"]).status.success()
    }
}

fn mirror(ci: &Installation) -> PathBuf {
    ci.path("mirrors/amp_mgms.git")
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn installation(forge: &Repositories, mirrors: Option<&Path>) -> Installation {
    let ci = forge.installation();
    match mirrors {
        Some(mirrors) => copy(mirrors, &ci.path("mirrors")),
        None => fs::create_dir(ci.path("mirrors")).unwrap(),
    }
    give_away(ci.home());
    ci
}

/// Builds this commit, and nothing else is said or told; what it contained.
fn build(ci: &Installation, commit: &str) -> Result<String, String> {
    let mut push = Push::to("amp_mgms", "main");
    push.commit = commit.to_string();
    let id = format!("1800000000.{}", ci.records().len());
    ci.entry(&id, &push.json());
    give_away(&ci.path("queue"));
    let mut command = ci.command("setpriv");
    as_nobody(&mut command).arg(env!("CARGO_BIN_EXE_amp_build"));
    let mut build = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let code = within(|| build.is_over());
    if code != Some(0) {
        return Err(format!("build leaves with {code:?}"));
    }
    let record = ci.records().into_iter().find(|record| record.id == id).ok_or("no record")?;
    let output = record.output();
    if record.outcome() != "succeeded" || !ci.letters().is_empty() {
        return Err(format!("{} {:?}\n{output}", record.outcome(), ci.letters()));
    }
    let content = output.lines().find_map(|line| line.strip_prefix("content: "));
    content.map(str::to_string).ok_or(output.clone())
}

#[test]
#[ignore = "second tier"]
fn whatever_stands_in_the_place_of_a_mirror_or_of_a_file_of_one_the_build_succeeds() {
    if !root() {
        return;
    }
    let forge = Forge::new();
    let rows = PLACES.iter().flat_map(|place| MATTERS.map(|matter| (*place, matter)));
    let rows = Mutex::new(rows.filter(|(place, matter)| !(place.ends_with('/') && matter.0 == "garbage")));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let row = rows.lock().unwrap().next();
                    let Some((place, matter)) = row else { break };
                    wrong.lock().unwrap().extend(forge.try_place(place, matter).err());
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
