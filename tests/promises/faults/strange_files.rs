//! Whatever stands in the place of a file of ours, or is the matter with it: the others are built, and somebody hears. A
//! table of places and of what may be the matter, each by each, as an account that is not root's.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::support::{
    files::names,
    installation::{Installation, Push},
    need::root,
    process::Running,
    wait::wait_until,
};

/// What may be the matter with it.
const MATTERS: [(&str, Put); 10] = [
    ("missing", |_, _| {}),
    ("garbage", |path, is_dir| {
        if !is_dir {
            fs::write(path, b"\xff\0{garbage").unwrap();
        }
    }),
    ("the other kind", |path, is_dir| {
        if is_dir {
            fs::write(path, "in the way").unwrap();
        } else {
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), "").unwrap();
        }
    }),
    ("a FIFO", |path, _| run("mkfifo", &[], path)),
    ("a dangling link", |path, _| symlink("nowhere", path).unwrap()),
    ("a looping link", |path, _| symlink(path, path).unwrap()),
    ("a link to what never ends", |path, _| symlink("/dev/zero", path).unwrap()),
    ("unreadable", |path, is_dir| {
        make(path, is_dir);
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }),
    ("immutable", |path, is_dir| {
        make(path, is_dir);
        run("chown", &["65534:65534"], path);
        run("chattr", &["+i"], path);
    }),
    ("somebody else's", |path, is_dir| {
        make(path, is_dir);
        fs::set_permissions(path, fs::Permissions::from_mode(if is_dir { 0o700 } else { 0o600 })).unwrap();
    }),
];

/// Puts it there, where nothing is; is it a directory's place?
type Put = fn(&Path, bool);

/// How the ten other pushes fare.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Others {
    /// They are built, whatever it is.
    Built,
    /// They are built, or nothing is, and somebody hears.
    MayStop,
    /// They are built, or each is told of.
    MayFail,
}

use Others::{Built, MayFail, MayStop};

/// `ID` is the entry of one push among the others; a `/` at the end is a directory's.
const PLACES: [(&str, Others); 36] = [
    ("queue/build-ID", Built),
    ("queue/build-ID.lock", Built),
    ("queue/build-ID.retry", Built),
    ("queue/build-ID.cancel", Built),
    ("queue/bad/", Built),
    ("queue/left-over.json", Built),
    ("queue/drain.json", Built),
    ("queue/catch-up.json", Built),
    ("queue/lock", Built),
    ("queue/.id", Built),
    ("queue/.last", Built),
    ("queue/.new-old", Built),
    ("queue/.drain", MayStop),
    ("builds/ID/", Built),
    ("builds/ID/request.json", Built),
    ("builds/ID/running.json", Built),
    ("builds/ID/build.sh", Built),
    ("builds/ID/output.log", Built),
    ("builds/ID/result.json", Built),
    ("builds/1700000000.1/", Built),
    ("builds/1700000000.1/result.json", Built),
    ("builds/1700000000.1/request.json", Built),
    ("builds/.removed-1.1/", Built),
    ("builds/", MayStop),
    ("outbox/1700000000.1.eml", Built),
    ("outbox/1700000000.1.after", Built),
    ("outbox/1700000000.1.status.json", Built),
    ("outbox/forge.json", Built),
    ("outbox/failed/", Built),
    ("outbox/", MayStop),
    ("scripts/build_packages_odd", Built),
    ("scripts/build_packages", MayFail),
    ("scripts/after", Built),
    ("addresses", Built),
    ("forge-token", Built),
    ("build.log", MayStop),
];

const ID: &str = "1800000000.500000000";

/// In the place of an exit code.
const HANGS: i32 = 1000;

const NOBODY: u32 = 65534;

fn make(path: &Path, is_dir: bool) {
    if is_dir { fs::create_dir(path).unwrap() } else { fs::write(path, "true\n").unwrap() }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    assert!(Command::new(program).args(arguments).arg(path).status().unwrap().success(), "{program}");
}

struct Case {
    ci: Installation,
    path: PathBuf,
    is_dir: bool,
    what: String,
}

impl Case {
    fn new(place: &str, matter: &str, put: Put) -> Self {
        let mut ci = Installation::building("true");
        ci.set("AMP_CI_KEEP", "3").set("AMP_CI_FORGE_API", "http://127.0.0.1:9/api/v1");
        for n in 0..11 {
            let (repository, branch) = if n == 5 { ("bad", "odd") } else { ("good", "main") };
            let push = Push::to(&format!("{repository}{n}"), branch).by("Ana", "ana@example.org");
            ci.entry(&format!("1800000000.{n}00000000"), &push.json());
        }
        let path = ci.path(place.trim_end_matches('/').replace("ID", ID).as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            let _ = fs::remove_file(&path);
        }
        run("chown", &["-hR", "65534:65534"], ci.home());
        let is_dir = place.ends_with('/');
        put(&path, is_dir);
        if matter != "somebody else's" && matter != "immutable" && path.symlink_metadata().is_ok() {
            run("chown", &["-h", "65534:65534"], &path);
        }
        Self { ci, path, is_dir, what: format!("{place} {matter}") }
    }

    /// Cron's minute; what it prints, cron mails.
    fn build(&self) -> (i32, String) {
        let mut command = self.ci.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(env!("CARGO_BIN_EXE_amp_build")).args(["--threads", "3"]);
        let said = self.ci.path("said");
        let file = fs::File::create(&said).unwrap();
        let mut build = Running::start(command.stdout(Stdio::from(file.try_clone().unwrap())).stderr(file));
        let begun = Instant::now();
        wait_until("build ends", || build.is_over().is_some() || begun.elapsed().as_secs() > 20);
        (build.is_over().unwrap_or(HANGS), fs::read_to_string(said).unwrap())
    }

    /// Time passes.
    fn end_pauses(&self) {
        for name in names(&self.ci.path("queue")).iter().filter(|name| name.ends_with(".retry")) {
            let path = self.ci.path("queue").join(name);
            let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            if is_file && path != self.path {
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.replace("\"until\":\"2", "\"until\":\"1")).unwrap();
            }
        }
    }

    /// As a person would.
    fn mend(&self) {
        let is_immutable = Command::new("chattr").arg("-i").arg(&self.path).stderr(Stdio::null()).status();
        if self.what.ends_with(" immutable") {
            assert!(is_immutable.unwrap().success());
            return;
        }
        if self.path.is_dir() && !self.path.is_symlink() {
            fs::remove_dir_all(&self.path).unwrap();
        } else {
            fs::remove_file(&self.path).unwrap();
        }
        if self.is_dir {
            fs::create_dir(&self.path).unwrap();
            chown(&self.path, Some(NOBODY), Some(NOBODY)).unwrap();
        } else if self.path.starts_with(self.ci.path("scripts")) {
            fs::write(&self.path, "true\n").unwrap();
        }
    }

    fn others_built(&self) -> usize {
        let records = self.ci.records().into_iter();
        records
            .filter(|record| record.request["repository"].as_str().unwrap().starts_with("good"))
            .filter(|record| record.outcome() == "succeeded" && record.result["attempts"] == 1)
            .count()
    }

    /// To whom letters went.
    fn heard(&self) -> Vec<String> {
        // What somebody else has put into the outbox is sent as it is.
        let letters = names(&self.ci.path("mail")).into_iter().filter(|name| name != "1700000000.1.eml");
        let head = |name| {
            let text = fs::read_to_string(self.ci.path("mail").join(name)).unwrap();
            let is_shown = |line: &&str| line.starts_with("To: ") || line.starts_with("Subject: ");
            text.lines().filter(is_shown).collect::<Vec<_>>().join("; ")
        };
        letters.map(head).collect()
    }

    fn judge(&self, others: Others) -> Result<(), String> {
        let mut said = Vec::new();
        for _ in 0..4 {
            self.end_pauses();
            let (code, text) = self.build();
            if ![0, 1].contains(&code) {
                return Err(format!("build left with {code}: {text}"));
            }
            said.push(text);
            if self.ci.entries().is_empty() {
                break;
            }
        }
        let (built, heard) = (self.others_built(), self.heard());
        let told = !heard.is_empty() || said.iter().all(|said| !said.is_empty());
        let fared_well = match others {
            Built => built == 10,
            MayStop => built == 10 || built == 0 && told,
            MayFail => built == 10 || heard.iter().filter(|letter| letter.contains("ana@")).count() >= 10,
        };
        if !fared_well {
            return Err(format!("{built} of 10 are built, heard: {heard:?}, said: {said:?}"));
        }
        if others != MayStop && said.iter().any(|said| !said.is_empty()) {
            return Err(format!("cron mails {said:?}"));
        }
        // The one beside them is built, or somebody hears of it.
        let is_over =
            self.ci.records().iter().any(|record| record.id == ID && record.outcome() == "succeeded");
        // What is no file is no request of anybody's, and left alone.
        let never_was =
            self.what.starts_with("queue/build-ID ") || self.what.starts_with("queue/build-ID.cancel ");
        if !is_over && !never_was && !told {
            return Err(format!("nobody hears of the one beside them; {:?}", self.ci.entries()));
        }
        // And nobody hears it again.
        self.end_pauses();
        self.build();
        let again = self.heard();
        if again.len() != heard.len() {
            return Err(format!("told once more: {again:?}"));
        }
        if others == MayStop && built != 10 {
            self.mend();
            self.end_pauses();
            self.build();
            if self.others_built() != 10 {
                return Err(format!("mended, {} of 10 are built", self.others_built()));
            }
        }
        Ok(())
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(self.ci.home()).status();
    }
}

/// All places that begin so.
fn try_all(below: &str) {
    if !root() {
        return;
    }
    let mut wrong = Vec::new();
    for (place, others) in PLACES.iter().filter(|(place, _)| place.starts_with(below)) {
        for (matter, put) in MATTERS {
            if place.ends_with('/') && matter == "garbage" {
                continue;
            }
            let case = Case::new(place, matter, put);
            if let Err(why) = case.judge(*others) {
                let log = case.ci.log();
                let end: Vec<&str> = log.lines().rev().take(12).collect();
                wrong.push(format!(
                    "{}: {why}\n  {}",
                    case.what,
                    end.into_iter().rev().collect::<Vec<_>>().join("\n  ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "second tier"]
fn in_the_queue() {
    try_all("queue/");
}

#[test]
#[ignore = "second tier"]
fn in_the_records() {
    try_all("builds/");
}

#[test]
#[ignore = "second tier"]
fn in_the_outbox() {
    try_all("outbox/");
}

#[test]
#[ignore = "second tier"]
fn in_the_scripts() {
    try_all("scripts/");
}

#[test]
#[ignore = "second tier"]
fn in_the_home() {
    for file in ["addresses", "forge-token", "build.log"] {
        try_all(file);
    }
}
