//! Whatever stands in the place of a file of ours, or is the matter with it: the others are built, and somebody hears. A
//! table of places and of what may be the matter, each by each, as an account that is not root's.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Stdio,
};

use super::matters::{self, IMMUTABLE, MATTERS, NOBODY, Put, as_nobody, clear, give_away, let_go};
use crate::support::{
    files::{executable, names},
    installation::{Installation, Push},
    need::root,
    process::Running,
    wait::within,
};

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
const PLACES: [(&str, Others); 38] = [
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
    ("environment.sh", MayStop),
    ("work/", MayStop),
];

/// Of what is written only for one that does not succeed, and what its last chunk does.
const FAILING: [(&str, &str); 5] = [
    ("outbox/ID.eml", "exit 3"),
    ("outbox/ID.after", "exit 3"),
    ("outbox/ID.status.json", "exit 3"),
    ("builds/ID/", "exit 3"),
    ("queue/build-ID.retry", "exit 75"),
];

const ID: &str = "1800000000.500000000";

/// In the place of an exit code.
const HANGS: i32 = 1000;

struct Case {
    ci: Installation,
    path: PathBuf,
    is_dir: bool,
    what: String,
}

impl Case {
    fn new(place: &str, ends: &str, matter: (&str, Put)) -> Self {
        let mut ci = Installation::building("true");
        ci.set("AMP_CI_KEEP", "3").set("AMP_CI_FORGE_API", "http://127.0.0.1:9/api/v1");
        ci.chunk("build_packages_odd", ends);
        for n in 0..11 {
            let (repository, branch) = if n == 5 { ("bad", "odd") } else { ("good", "main") };
            let push = Push::to(&format!("{repository}{n}"), branch).by("Ana", "ana@example.org");
            ci.entry(&format!("1800000000.{n}00000000"), &push.json());
        }
        if ends != "true" {
            executable(&ci.path("scripts/after"), "true");
            fs::write(ci.path("forge-token"), "token").unwrap();
            fs::set_permissions(ci.path("forge-token"), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        for script in ["build", "home.sh"] {
            fs::copy(source.join(script), ci.path(script)).unwrap();
        }
        fs::create_dir(ci.path("bin")).unwrap();
        for (name, program) in
            [("amp_build", env!("CARGO_BIN_EXE_amp_build")), ("webhookd", env!("CARGO_BIN_EXE_webhookd"))]
        {
            symlink(program, ci.path("bin").join(name)).unwrap();
        }
        let path = ci.path(place.trim_end_matches('/').replace("ID", ID).as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        give_away(ci.home());
        let is_dir = place.ends_with('/');
        matters::put(&path, is_dir, matter);
        Self { ci, path, is_dir, what: format!("{place} {}, {ends}", matter.0) }
    }

    /// A program of the home's to its end; what it prints.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = self.ci.command("setpriv");
        as_nobody(&mut command).arg("bash").arg(self.ci.path("build")).args(arguments);
        let said = self.ci.path("said");
        let file = fs::File::create(&said).unwrap();
        let mut build = Running::start(command.stdout(Stdio::from(file.try_clone().unwrap())).stderr(file));
        let code = within(|| build.is_over());
        (code.unwrap_or(HANGS), String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned())
    }

    /// Cron's minute; what it prints, cron mails.
    fn build(&self) -> (i32, String) {
        self.run(&["--threads", "3"])
    }

    /// Who only looks is not kept waiting either.
    fn look(&self) -> Result<(), String> {
        for verb in ["status", "check"] {
            let (code, said) = self.run(&[verb]);
            if ![0, 1].contains(&code) {
                return Err(format!("build {verb} left with {code}: {said}"));
            }
        }
        Ok(())
    }

    /// Time passes.
    fn end_pauses(&self) {
        for name in names(&self.ci.path("queue")).iter().filter(|name| name.ends_with(".retry")) {
            let path = self.ci.path("queue").join(name);
            let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            let text = if is_file { fs::read(&path).unwrap() } else { continue };
            let text = String::from_utf8_lossy(&text);
            if text.contains("\"until\":\"2") {
                fs::write(&path, text.replace("\"until\":\"2", "\"until\":\"1")).unwrap();
            }
        }
    }

    /// As a person would.
    fn mend(&self) {
        if self.what.contains(IMMUTABLE) {
            return let_go(&self.path);
        }
        clear(&self.path);
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
        self.look()?;
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
        let_go(self.ci.home());
    }
}

/// All places that begin so.
fn try_all(below: &str) {
    if !root() {
        return;
    }
    let mut wrong = Vec::new();
    let places = PLACES.map(|(place, others)| (place, others, "true"));
    let failing = FAILING.map(|(place, ends)| (place, Built, ends));
    for (place, others, ends) in places.into_iter().chain(failing).filter(|row| row.0.starts_with(below)) {
        for matter in MATTERS {
            if place.ends_with('/') && matter.0 == "garbage" {
                continue;
            }
            let case = Case::new(place, ends, matter);
            if let Err(why) = case.judge(others) {
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
    for file in ["addresses", "forge-token", "build.log", "environment.sh", "work/"] {
        try_all(file);
    }
}

#[test]
#[ignore = "second tier"]
fn in_the_place_of_a_hold() {
    if !root() {
        return;
    }
    for matter in MATTERS {
        let case = Case::new("queue/hold", "true", matter);
        let is_held = case.path.symlink_metadata().is_ok();
        assert_eq!(case.build(), (0, String::new()), "{}", case.what);
        assert_eq!(case.others_built(), if is_held { 0 } else { 10 }, "{}", case.what);
        if is_held {
            case.look().unwrap();
            for verb in ["status", "check"] {
                let (_, said) = case.run(&[verb]);
                assert!(said.contains("hold") || said.contains("held"), "{} {verb}: {said}", case.what);
            }
            let (code, said) = case.run(&["unhold"]);
            assert!([0, 1].contains(&code), "{}: {code} {said}", case.what);
            if code != 0 {
                assert!(said.contains("queue/hold"), "{}: {said}", case.what);
                clear(&case.path);
            }
            assert_eq!(case.build(), (0, String::new()), "{}", case.what);
            assert_eq!(case.others_built(), 10, "{}", case.what);
        }
        assert_eq!(case.heard(), [""; 0], "{}", case.what);
    }
}
