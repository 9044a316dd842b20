//! An installation of its own for each test, and what people do with it: write chunks, push, build, look.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Mutex,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    files::{names, temp_dir},
    process::{Running, processes},
    wait::{until, wait_until},
};

/// A hash that looks like one.
pub const COMMIT: &str = "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997";

/// A home with nothing in it but the directories; letters are written to `mail/`, builds run in `work/`.
pub struct Installation {
    dir: TempDir,
    variables: Vec<(String, String)>,
    pushed: Mutex<HashSet<String>>,
}

/// What `queue_build` is given.
#[derive(Clone)]
pub struct Push {
    pub repository: String,
    pub git_ref: String,
    pub commit: String,
    pub name: String,
    pub email: String,
}

/// A record as people find it.
#[derive(Debug)]
pub struct Record {
    pub id: String,
    pub dir: PathBuf,
    pub request: Value,
    pub result: Value,
}

/// A letter as its reader sees it.
#[derive(Debug)]
pub struct Letter {
    pub stem: String,
    pub raw: String,
    pub to: String,
    pub from: String,
    pub subject: String,
    pub text: String,
}

impl Push {
    pub fn to(repository: &str, branch: &str) -> Self {
        Self {
            repository: repository.to_string(),
            git_ref: format!("refs/heads/{branch}"),
            commit: COMMIT.to_string(),
            name: "bdwheele".to_string(),
            email: "bdwheele@example.org".to_string(),
        }
    }

    pub fn by(mut self, name: &str, email: &str) -> Self {
        self.name = name.to_string();
        self.email = email.to_string();
        self
    }

    /// A commit of its own for each number.
    pub fn commit(mut self, number: usize) -> Self {
        self.commit = format!("{:040x}", number + 1);
        self
    }

    pub fn git_ref(mut self, git_ref: &str) -> Self {
        self.git_ref = git_ref.to_string();
        self
    }

    pub fn arguments(&self) -> [&str; 5] {
        [&self.repository, &self.git_ref, &self.commit, &self.name, &self.email]
    }

    /// The entry's text.
    pub fn json(&self) -> String {
        let [repository, git_ref, commit, name, email] = self.arguments();
        serde_json::json!({
            "repository": repository, "ref": git_ref, "commit_id": commit, "committer_name": name, "committer_email": email
        })
        .to_string()
    }
}

impl Installation {
    pub fn new() -> Self {
        let dir = temp_dir();
        for sub in ["queue", "scripts", "mail", "work"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let mut installation = Self { dir, variables: Vec::new(), pushed: Mutex::default() };
        let home = installation.home().display().to_string();
        installation.set("AMP_CI_HOME", &home);
        installation.set("AMP_CI_WORK_DIR", &format!("{home}/work"));
        installation.set("AMP_CI_SMTP_URL", &format!("file://{home}/mail"));
        installation.set("AMP_CI_MAIL_FROM", "amp_ci@ci.example.org");
        installation.set("AMP_CI_MAIL_FALLBACK", "operator@example.org");
        installation
    }

    /// With the chunks `checkout_repos` and `build_packages`; the first does nothing.
    pub fn building(build_packages: &str) -> Self {
        let installation = Self::new();
        installation.chunk("checkout_repos", "true");
        installation.chunk("build_packages", build_packages);
        installation
    }

    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.home().join(relative)
    }

    /// A variable of `environment.sh`.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_string(), value.to_string()));
        self
    }

    pub fn chunk(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path("scripts").join(name), text).unwrap();
        self
    }

    /// One of our programs with this installation's variables and nothing else but PATH.
    pub fn command(&self, program: &str) -> Command {
        let path = match program {
            "build" => env!("CARGO_BIN_EXE_amp_build"),
            "queue_build" => env!("CARGO_BIN_EXE_queue_build"),
            "webhookd" => env!("CARGO_BIN_EXE_webhookd"),
            "statusd" => env!("CARGO_BIN_EXE_statusd"),
            other => other,
        };
        let mut command = Command::new(path);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Queues a push with `queue_build`; returns its id. Each brings a commit of its own, as pushes do.
    pub fn push(&self, push: &Push) -> String {
        if push.commit != COMMIT {
            return self.deliver(push);
        }
        let mut pushed = self.pushed.lock().unwrap();
        let number = pushed.len();
        if pushed.insert(push.arguments()[..3].join(" ")) {
            drop(pushed);
            return self.deliver(push);
        }
        let push = Push { commit: format!("{number:040x}"), ..push.clone() };
        pushed.insert(push.arguments()[..3].join(" "));
        drop(pushed);
        self.deliver(&push)
    }

    /// Queues just this, be it for the second time.
    pub fn deliver(&self, push: &Push) -> String {
        let output = self.command("queue_build").args(push.arguments()).output().unwrap();
        assert!(output.status.success(), "queue_build: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        said.trim_end().strip_prefix("queued build-").expect("it says what it queued").to_string()
    }

    /// What `queue_build` does with these arguments.
    pub fn queue_build<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command("queue_build").args(arguments).output().unwrap()
    }

    /// A line for a chunk: shows by a file that the build is here, and waits to be let go on.
    pub fn stop_at(&self, place: &str) -> String {
        let home = self.home().display();
        format!(
            "touch {home}/at-{place}; until [ -e {home}/go-{place} ] || [ ! -d {home} ]; do sleep 0.01; done"
        )
    }

    /// Waits until a build is at this place.
    pub fn wait_at(&self, place: &str) -> &Self {
        wait_until(&format!("a build is at {place}"), || self.path(&format!("at-{place}")).exists());
        self
    }

    pub fn let_go(&self, place: &str) -> &Self {
        fs::write(self.path(&format!("go-{place}")), "").unwrap();
        self
    }

    /// Puts an entry in place by hand.
    pub fn entry(&self, id: &str, text: &str) -> &Self {
        let hidden = self.path("queue/.by-hand");
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.path("queue").join(format!("build-{id}"))).unwrap();
        self
    }

    /// Runs `build` to its end; it has to leave with 0 and print nothing.
    pub fn build(&self, threads: usize) {
        let output = self.build_with(&["--threads", &threads.to_string()]);
        assert_eq!(output.status.code(), Some(0), "build.log:\n{}", self.log());
    }

    /// Runs `build` with these arguments to its end; nothing may be printed, as cron would mail it.
    pub fn build_with(&self, arguments: &[&str]) -> Output {
        let mut command = self.command("build");
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut build = Running::start(&mut command);
        let status = until("build ends", || build.0.try_wait().unwrap());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        build.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        build.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let said = [&stdout[..], &stderr[..]].concat();
        assert!(said.is_empty(), "build said: {}", String::from_utf8_lossy(&said));
        Output { status, stdout, stderr }
    }

    /// Starts `build` and returns at once.
    pub fn start_build(&self, threads: usize) -> Running {
        let mut command = self.command("build");
        command.args(["--threads", &threads.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(&mut command)
    }

    /// Runs `build` to its end, within a deadline: exit code, or minus the signal.
    pub fn build_to_its_end(&self, threads: usize) -> i32 {
        self.start_build(threads).wait()
    }

    /// Processes, zombies apart, whose command line names this installation: its scripts, and whatever a chunk
    /// has given a name below its home.
    pub fn living(&self) -> Vec<String> {
        let home = self.home().display().to_string();
        processes(|line| line.contains(&home))
    }

    /// Nothing waits or is claimed, no process and no workspace is left, no letter unsent.
    pub fn assert_all_over(&self) {
        assert_eq!(self.entries(), [""; 0], "nothing waits; build.log:\n{}", self.log());
        assert_eq!(self.living(), [""; 0], "no process is left");
        assert_eq!(names(&self.path("work")), [""; 0], "no workspace is left");
        // What a writer that died left under a temporary name goes after an hour.
        let letters = names(&self.path("outbox")).into_iter().filter(|name| !name.starts_with(".new-"));
        assert_eq!(letters.collect::<Vec<_>>(), [""; 0], "no letter is left");
    }

    /// Pushes to the main branch of this repository and starts a `build` with two slots.
    pub fn push_and_start(&self, repository: &str) -> Running {
        self.push(&Push::to(repository, "main"));
        self.start_build(2)
    }

    /// The names of all files directly in `queue/` that are entries, waiting or claimed, sorted.
    pub fn entries(&self) -> Vec<String> {
        let is_entry = |name: &String| name.starts_with("build-") && !name.ends_with(".retry");
        names(&self.path("queue")).into_iter().filter(is_entry).collect()
    }

    /// All final records, oldest first by name.
    pub fn records(&self) -> Vec<Record> {
        // Whatever a build has made of it: nobody waits for a FIFO.
        let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let read = |path: PathBuf| serde_json::from_slice(&fs::read(Some(path).filter(is_file)?).ok()?).ok();
        names(&self.path("builds"))
            .into_iter()
            .filter_map(|id| {
                let dir = self.path("builds").join(&id);
                Some(Record {
                    request: read(dir.join("request.json"))?,
                    result: read(dir.join("result.json"))?,
                    id,
                    dir,
                })
            })
            .collect()
    }

    /// The only record there is.
    pub fn record(&self) -> Record {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one record; build.log:\n{}", self.log());
        records.remove(0)
    }

    /// Whatever was put back and pauses goes on with the next build.
    pub fn end_pauses(&self) {
        for name in names(&self.path("queue")).iter().filter(|name| name.ends_with(".retry")) {
            fs::remove_file(self.path("queue").join(name)).unwrap();
        }
    }

    /// The pauses of all that was put back are over; how often that was stays on record.
    pub fn pass_pauses(&self) {
        for name in names(&self.path("queue")).iter().filter(|name| name.ends_with(".retry")) {
            let path = self.path("queue").join(name);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"until\":\"2", "\"until\":\"1")).unwrap();
        }
    }

    /// What waits in the outbox is tried again by the next pass.
    pub fn touch_outbox(&self) {
        for name in names(&self.path("outbox")) {
            // It may have been sent meanwhile.
            let Ok(file) = fs::File::open(self.path("outbox").join(name)) else { continue };
            file.set_modified(SystemTime::now()).unwrap();
        }
    }

    /// Makes a letter that waits so many days old.
    pub fn age_letter(&self, name: &str, days: u64) {
        let path = self.path("outbox").join(name);
        let text = fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once("Date: ").unwrap();
        let (_, rest) = rest.split_once("\r\n").unwrap();
        let time = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        let time = jiff::Timestamp::try_from(time).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        let date = jiff::fmt::rfc2822::to_string(&time).unwrap();
        fs::write(&path, format!("{head}Date: {date}\r\n{rest}")).unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("build.log")).unwrap_or_default()
    }

    /// The only letter there is.
    pub fn letter(&self) -> Letter {
        let mut letters = self.letters();
        assert_eq!(letters.len(), 1, "one letter; build.log:\n{}", self.log());
        letters.remove(0)
    }

    /// Those of them that are not about a trouble of the machine.
    pub fn letters_about_builds(&self) -> Vec<Letter> {
        self.letters().into_iter().filter(|letter| !letter.stem.starts_with("trouble-")).collect()
    }

    /// The letters that were sent, by name.
    pub fn letters(&self) -> Vec<Letter> {
        names(&self.path("mail"))
            .into_iter()
            .filter_map(|name| {
                let raw = fs::read(self.path("mail").join(&name)).unwrap();
                Some(Letter::read(name.strip_suffix(".eml")?, &raw))
            })
            .collect()
    }
}

impl Letter {
    pub fn read(stem: &str, raw: &[u8]) -> Self {
        let message = mail_parser::MessageParser::default().parse(raw).expect("a letter");
        let address = |header: Option<&mail_parser::Address>| {
            header.and_then(|list| list.first()?.address()).unwrap_or_default().to_string()
        };
        Self {
            stem: stem.to_string(),
            to: address(message.to()),
            from: address(message.from()),
            subject: message.subject().unwrap_or_default().to_string(),
            text: message.body_text(0).unwrap_or_default().replace("\r\n", "\n"),
            raw: String::from_utf8(raw.to_vec()).expect("letters are ASCII"),
        }
    }
}

impl Record {
    pub fn outcome(&self) -> &str {
        self.result["outcome"].as_str().unwrap()
    }

    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("output.log")).unwrap_or_default()).into_owned()
    }
}
