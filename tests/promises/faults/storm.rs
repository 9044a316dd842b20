//! A storm over a whole installation until everything has drained, and then an account of every push.
//!
//! In its short form everything is killed at random, and builds do what builds do to themselves and to `build`. In its long
//! form (`tests/soak`) the disk, the mail server and the forge fail as well, programs and settings are replaced, and
//! people hold and cancel.
//!
//! Seeded: `AMP_CI_STORM_SEED=7 AMP_CI_STORM_SECONDS=600 cargo test faults::storm -- --ignored` makes the same
//! choices for longer. Cron is played by the test: it starts `build` whenever none runs.

mod account;
mod bad_builds;
mod weather;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub use self::account::judge_lane;
use self::{bad_builds::BAD_BUILDS, weather::Weather};
use crate::support::{
    faulty_mail_server::{Does, Server},
    files::{names, temp_dir},
    forge::{Forge, Kind, TOKEN},
    github::{SECRET, signature},
    http::raw_request,
    installation::{Installation, Push},
    mount::Mount,
    process::{Running, processes},
    wait::wait_until,
};

/// Xorshift: reproducible, and nothing more is asked of it.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.roll(of.len())])
    }

    /// Up to so many milliseconds.
    fn moment(&mut self, longest: usize) -> Duration {
        Duration::from_millis(u64::try_from(self.roll(longest)).unwrap())
    }
}

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

const REPOSITORIES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const BRANCHES: [&str; 3] = ["main", "master", "feature/x"];
const COMMITTER: &str = "bdwheele@example.org";
const OPERATOR: &str = "operator@example.org";
const THREADS: usize = 4;

/// What strikes.
#[derive(Clone, Copy, PartialEq)]
enum Strike {
    /// SIGKILL, now and then to `build` itself: it has to live long enough to get something done.
    Kill,
    /// Somebody does not want a build.
    Cancel,
    /// Somebody wants one again.
    Rerun,
    /// Something that is no request lies in the queue.
    Garbage,
    /// `build` is told to end.
    Stop,
    /// Other programs lie where ours lay, and environment.sh is another.
    Upgrade,
    /// What lasts for a while.
    Begins(Weather),
}

/// How often each, of a thousand.
const SHORT: [(usize, Strike); 4] =
    [(970, Strike::Kill), (10, Strike::Cancel), (15, Strike::Rerun), (5, Strike::Garbage)];
const LONG: [(usize, Strike); 10] = [
    (860, Strike::Kill),
    (25, Strike::Cancel),
    (25, Strike::Rerun),
    (5, Strike::Garbage),
    (25, Strike::Stop),
    (10, Strike::Upgrade),
    (10, Strike::Begins(Weather::Hold)),
    (10, Strike::Begins(Weather::FullDisk)),
    (15, Strike::Begins(Weather::Mail)),
    (15, Strike::Begins(Weather::Forge)),
];

/// One of this many kills hits `build` itself.
const OF_BUILD: usize = 16;

/// Nothing was begun for so long though something waits: only a hang takes so long.
const STANDSTILL: Duration = Duration::from_secs(300);

/// The numbers of the processes that `is_meant` picks by command line, all of this installation.
fn pids(is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let pid = |line: String| line.split(' ').next().unwrap().to_string();
    processes(is_meant).into_iter().map(pid).collect()
}

fn kill(pid: &str) {
    let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
}

fn lane(push: &Push) -> String {
    let last = push.git_ref.rsplit('/').next().unwrap().replace("master", "main");
    format!("{}-{last}", push.repository)
}

/// A push that was answered.
struct Accepted {
    id: String,
    push: Push,
}

struct Storm {
    build: Option<Running>,
    webhookd: Option<Running>,
    /// The small disk that the home is on: it goes first.
    disk: Option<Mount>,
    ci: Installation,
    /// Where there is always space: workspaces, programs, the lanes' marks.
    elsewhere: TempDir,
    mail: Server,
    forge: Option<Forge>,
    seed: u64,
    dice: Dice,
    port: u16,
    is_long: bool,
    accepted: Vec<Accepted>,
    /// All that were made, answered or not.
    delivered: Vec<Push>,
    cancelled: HashSet<String>,
    garbage: HashSet<String>,
    weather: Vec<(Weather, Instant)>,
    /// What has struck, how often.
    struck: BTreeMap<&'static str, usize>,
    /// How `build` ended, how often.
    ends: BTreeMap<i32, usize>,
    /// `build` was told to end.
    is_stopped: bool,
    /// Tries that were taken back because `build` was told to end, as many as they can be.
    taken_back: HashMap<String, usize>,
    /// Each push brings a commit of its own.
    commits: usize,
    /// How many records there were, and since when.
    begun: (usize, Instant),
}

impl Storm {
    fn new(seed: u64, seconds: u64, is_long: bool) -> Self {
        let mut ci = Installation::new();
        let elsewhere = temp_dir();
        let space = 128 + seconds / 30;
        let disk = is_long.then(|| Mount::tmpfs(ci.home(), &format!("size={space}M"))).flatten();
        for dir in ["queue", "scripts"] {
            fs::create_dir_all(ci.path(dir)).unwrap();
        }
        for dir in ["lanes", "work", "bin"] {
            fs::create_dir(elsewhere.path().join(dir)).unwrap();
        }
        let mail = Server::start(|_| Does::Accept);
        if is_long && disk.is_none() {
            eprintln!("nothing can be mounted here: the disk never fills up");
        }
        let forge = is_long.then(|| Forge::start(Kind::GitHub));
        ci.chunk("checkout_repos", "true");
        ci.chunk("build_packages", &bad_builds::chunk(ci.home(), &elsewhere.path().join("lanes")));
        ci.set("AMP_CI_KEEP", "1000000").set("AMP_CI_TIMEOUT", "30").set("AMP_CI_LOG_LIMIT", "64K");
        ci.set("AMP_CI_MIN_FREE", "1M").set("AMP_CI_SMTP_URL", &mail.url());
        ci.set("AMP_CI_WORK_DIR", elsewhere.path().join("work").to_str().unwrap());
        ci.set("AMP_CI_GIT_BASE", "https://git.example.org/some/Org");
        if let Some(forge) = &forge {
            ci.set("AMP_CI_FORGE_API", &forge.url());
            give_token(&ci);
        }
        // Below those that the kernel gives to whoever asks for any: it is free again whenever webhookd is dead.
        let mut ports = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap()..;
        let port = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
        let storm = Self {
            build: None,
            webhookd: None,
            ci,
            disk,
            elsewhere,
            mail,
            forge,
            seed,
            dice: Dice(seed),
            port,
            is_long,
            accepted: Vec::new(),
            delivered: Vec::new(),
            cancelled: HashSet::new(),
            garbage: HashSet::new(),
            weather: Vec::new(),
            struck: BTreeMap::new(),
            ends: BTreeMap::new(),
            is_stopped: false,
            taken_back: HashMap::new(),
            commits: 0,
            begun: (0, Instant::now()),
        };
        storm.install();
        storm
    }

    /// Puts copies of the programs in place, as an upgrade does: those that run keep what they have.
    fn install(&self) {
        for program in ["build", "queue_build", "webhookd"] {
            let to = self.program(program);
            // The same ones, whatever is compiled meanwhile.
            let shipped = || PathBuf::from(self.ci.command(program).get_program());
            let from = if to.exists() { to.clone() } else { shipped() };
            let new = to.with_extension("new");
            assert!(Command::new("cp").arg(from).arg(&new).status().unwrap().success());
            fs::rename(new, to).unwrap();
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        self.elsewhere.path().join("bin").join(name)
    }

    fn command(&self, name: &str) -> Command {
        self.ci.command(self.program(name).to_str().unwrap())
    }

    fn struck(&mut self, what: &'static str) {
        *self.struck.entry(what).or_default() += 1;
    }

    /// A push, straight or through the daemon; now and then one that was delivered before.
    fn push(&mut self) {
        let again = self.delivered.last().filter(|_| self.dice.roll(12) == 0).cloned();
        let push = again.unwrap_or_else(|| self.new_push());
        self.delivered.push(push.clone());
        let said = if self.dice.roll(2) == 0 { self.queue_build(&push) } else { self.post(&push) };
        self.take_answer(&said, &push);
    }

    fn new_push(&mut self) -> Push {
        let repository = *self.dice.pick(&REPOSITORIES).unwrap();
        let branch = *self.dice.pick(&BRANCHES).unwrap();
        let bad = self.dice.pick(&BAD_BUILDS).unwrap().name;
        let email = if self.dice.roll(4) == 0 { format!("{bad}@example.org") } else { COMMITTER.to_string() };
        self.commits += 1;
        // By this name the command of the daemon is found.
        let name = format!("{}/pusher", self.ci.home().display());
        Push::to(repository, branch).commit(self.commits).by(&name, &email)
    }

    /// If it is queued, it has been promised.
    fn take_answer(&mut self, said: &str, push: &Push) {
        let words = said.split_ascii_whitespace().collect::<Vec<_>>();
        let queued = words.windows(2).find(|pair| pair[0] == "queued");
        if let Some(id) = queued.and_then(|pair| pair[1].strip_prefix("build-")) {
            self.accepted.push(Accepted { id: id.trim_end_matches(':').to_string(), push: push.clone() });
        }
    }

    /// What `queue_build` says, which it may not survive.
    fn queue_build(&mut self, push: &Push) -> String {
        let mut command = self.command("queue_build");
        let child =
            command.args(push.arguments()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        if self.dice.roll(4) == 0 {
            thread::sleep(self.dice.moment(7));
            kill(&child.id().to_string());
            self.struck("queue_build");
        }
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    /// What GitHub would be told, if anything: the daemon or its command may not survive it.
    fn post(&mut self, push: &Push) -> String {
        let body = serde_json::json!({
            "ref": push.git_ref,
            "deleted": false,
            "repository": {"name": push.repository},
            "head_commit": {"id": push.commit},
            "pusher": {"name": push.name, "email": push.email},
        })
        .to_string();
        let headers = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", "push"),
            ("X-Hub-Signature-256", &signature(SECRET, &body)),
            ("Connection", "close"),
        ];
        let request = raw_request("POST", "/webhook/amp_main", &headers, body.as_bytes());
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return String::new() };
        if stream.write_all(&request).is_err() {
            return String::new();
        }
        if self.dice.roll(4) == 0 {
            thread::sleep(self.dice.moment(20));
            let (what, victims) = if self.dice.roll(2) == 0 {
                ("webhookd", self.webhookd.iter().map(|daemon| daemon.pid().to_string()).collect())
            } else {
                ("its queue_build", pids(|line| line.contains(&push.name)))
            };
            if let Some(pid) = victims.first() {
                kill(pid);
                self.struck(what);
            }
        }
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Whoever looks after daemons starts it again, at once, and waits until it serves.
    fn look_after_webhookd(&mut self) {
        if self.webhookd.as_mut().is_some_and(|daemon| daemon.is_over().is_none()) {
            return;
        }
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks.json");
        let mut command = self.command("webhookd");
        command.args(["-ip", "127.0.0.1", "-urlprefix", "webhook", "-template"]);
        command.arg("-port").arg(self.port.to_string()).arg("-hooks").arg(hooks);
        command.env("SECRET", SECRET).env("SECRET_OLD", "");
        let programs = self.elsewhere.path().join("bin");
        command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
        let port = self.port;
        self.webhookd = Some(Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        wait_until("webhookd serves", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn strike(&mut self) {
        let strikes: &[_] = if self.is_long { &LONG } else { &SHORT };
        let mut roll = self.dice.roll(strikes.iter().map(|(often, _)| often).sum());
        let strike =
            strikes.iter().find(|(often, _)| roll.checked_sub(*often).map(|rest| roll = rest).is_none());
        match strike.unwrap().1 {
            Strike::Kill => self.kill(),
            Strike::Cancel => self.cancel(),
            Strike::Rerun => self.rerun(),
            Strike::Garbage => self.garbage(),
            Strike::Stop => {
                if let Some(build) = &mut self.build
                    && build.is_over().is_none()
                {
                    build.signal("TERM");
                    self.is_stopped = true;
                    self.struck("stop");
                }
            }
            Strike::Upgrade => self.upgrade(),
            Strike::Begins(weather) => self.begin(weather),
        }
    }

    /// Kills one of what runs.
    fn kill(&mut self) {
        let home = self.ci.home().display().to_string();
        let (what, victims) = match self.dice.roll(OF_BUILD) {
            0 => ("build", self.build.iter().map(|build| build.pid().to_string()).collect()),
            1..=4 => ("bash", pids(|line| line.starts_with(&format!("/bin/bash {home}/builds/")))),
            // What is left of builds is not ended for them.
            _ => {
                let is_left = |line: &str| line.starts_with(&format!("{home}/left"));
                let is_one = |line: &str| {
                    line.contains(&format!("{home}/")) && !line.starts_with("/bin/bash ") && !is_left(line)
                };
                ("grandchild", pids(is_one))
            }
        };
        if let Some(pid) = self.dice.pick(&victims) {
            kill(pid);
            self.struck(what);
        }
    }

    fn cancel(&mut self) {
        let entries = self.ci.entries();
        let Some(entry) = self.dice.pick(&entries) else { return };
        let id = entry.trim_start_matches("build-").trim_end_matches(".lock").to_string();
        if self.command("build").args(["cancel", &id]).output().unwrap().status.success() {
            self.cancelled.insert(id);
            self.struck("cancel");
        }
    }

    fn rerun(&mut self) {
        if self.accepted.is_empty() {
            return;
        }
        let Accepted { id, push } = &self.accepted[self.dice.roll(self.accepted.len())];
        let push = push.clone();
        let said = self.command("build").args(["rerun", id]).output().unwrap().stdout;
        self.take_answer(&String::from_utf8_lossy(&said), &push);
        self.struck("rerun");
    }

    fn garbage(&mut self) {
        let id = format!("1700000000.{:09}", self.garbage.len());
        let (hidden, entry) =
            (self.ci.path("queue/.by-hand"), self.ci.path("queue").join(format!("build-{id}")));
        if fs::write(&hidden, "[]").and_then(|()| fs::rename(hidden, entry)).is_ok() {
            self.garbage.insert(id);
            self.struck("garbage");
        }
    }

    fn upgrade(&mut self) {
        self.install();
        self.touch_environment();
        if let Some(daemon) = &mut self.webhookd
            && daemon.is_over().is_none()
        {
            daemon.signal("TERM");
            daemon.wait();
        }
        self.struck("upgrade");
    }

    /// One that stays ends when it is idle, and the next one takes the settings as they are.
    fn touch_environment(&self) {
        let _ = fs::write(self.ci.path("environment.sh"), format!("# {:?}\n", Instant::now()));
    }

    /// Cron: starts `build` if none runs. Says whether one that was left in peace found nothing more to do.
    fn cron(&mut self, is_ending: bool) -> bool {
        self.look_after_webhookd();
        if let Some(build) = &mut self.build {
            let Some(code) = build.is_over() else { return false };
            self.build = None;
            self.ended(code);
            let outbox = names(&self.ci.path("outbox"));
            let is_unsent = |name: &String| name.ends_with(".eml") || name.ends_with(".status.json");
            if code == 0 && self.ci.entries().is_empty() && !outbox.iter().any(is_unsent) {
                return true;
            }
        }
        if !self.is_long || is_ending || self.dice.roll(8) == 0 {
            self.an_hour_passes();
        }
        let mut command = self.command("build");
        command.args(["--threads", &THREADS.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        if self.is_long && !is_ending && self.dice.roll(2) == 0 {
            command.arg("--stay");
        }
        self.build = Some(Running::start(&mut command));
        false
    }

    fn ended(&mut self, code: i32) {
        let is_stopped = std::mem::take(&mut self.is_stopped);
        // -15: it had only just begun.
        let may_be = [0, 1, -9, 129, 130, 143].contains(&code) || is_stopped && code == -15;
        assert!(may_be, "build left with {code}");
        *self.ends.entry(code).or_default() += 1;
        if is_stopped {
            for entry in self.ci.entries() {
                let id = entry.trim_start_matches("build-").trim_end_matches(".lock").to_string();
                *self.taken_back.entry(id).or_default() += 1;
            }
        }
    }

    /// No pause is longer.
    fn an_hour_passes(&self) {
        if !self.is(Weather::FullDisk) {
            self.ci.pass_pauses();
        }
        self.ci.touch_outbox();
    }

    /// Something is begun as long as something waits that need not.
    fn look_for_standstill(&mut self) {
        let queue = names(&self.ci.path("queue"));
        let need_not = !queue.iter().any(|name| name.starts_with("build-"))
            || queue.iter().any(|name| name.ends_with(".retry"))
            || !self.weather.is_empty();
        let begun = names(&self.ci.path("builds")).len();
        if need_not || begun != self.begun.0 {
            self.begun = (begun, Instant::now());
        }
        assert!(self.begun.1.elapsed() < STANDSTILL, "nothing is begun: {queue:?} {}", self.ci.log());
    }

    fn say_how_it_goes(&self, since: Instant) {
        let waiting = self.ci.entries().len();
        eprintln!(
            "{:>4} min: {} accepted, {waiting} wait or run, {} letters; struck {:?}; build ended {:?}",
            since.elapsed().as_secs() / 60,
            self.accepted.len(),
            self.mail.taken().len(),
            self.struck,
            self.ends
        );
    }
}

/// Nothing outlives a storm, however it ends.
impl Drop for Storm {
    fn drop(&mut self) {
        (self.build, self.webhookd) = (None, None);
        self.ci.living().iter().filter_map(|line| line.split(' ').next()).for_each(kill);
    }
}

fn give_token(ci: &Installation) {
    let path = ci.path("forge-token");
    fs::write(&path, TOKEN).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
#[ignore = "second tier"]
fn whatever_is_killed_every_push_ends_in_one_record_in_order_and_nothing_is_left() {
    let seed = setting("AMP_CI_STORM_SEED", 20_261_122);
    let seconds = setting("AMP_CI_STORM_SECONDS", 10);
    let is_long = setting("AMP_CI_STORM_EVERYTHING", 0) != 0;
    eprintln!("AMP_CI_STORM_SEED={seed} AMP_CI_STORM_SECONDS={seconds}");
    let mut storm = Storm::new(seed, seconds, is_long);
    storm.look_after_webhookd();

    // A backlog, and then pushes and strikes together, and then strikes until nothing waits.
    for _ in 0..if is_long { 30 } else { 150 } {
        storm.push();
    }
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let give_up = until + Duration::from_secs(if is_long { 3600 } else { 240 + 20 * seconds });
    let mut said = begun;
    // A long one is now rough, now calm.
    let (mut pace, mut changes, mut next) = (1, begun, begun);
    loop {
        let is_ending = Instant::now() >= until;
        storm.clear_up(is_ending && is_long);
        let drained = storm.cron(is_ending);
        if !is_ending {
            if storm.dice.roll(if is_long { 60 } else { 3 }) == 0 {
                // Seldom alone.
                let together = if is_long && storm.dice.roll(12) == 0 { 15 } else { 1 };
                (0..together).for_each(|_| storm.push());
            }
        } else if drained {
            break;
        }
        assert!(Instant::now() < give_up, "it drains: {}", storm.ci.log());
        if said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            storm.say_how_it_goes(begun);
        }
        storm.look_for_standstill();
        if is_long && changes <= Instant::now() {
            pace = 50 << (2 * storm.dice.roll(4));
            changes = Instant::now() + Duration::from_secs(5) + storm.dice.moment(40_000);
        }
        if (!is_long || !is_ending) && next <= Instant::now() {
            storm.strike();
            next = Instant::now() + storm.dice.moment(pace);
        }
        thread::sleep(Duration::from_millis(10) + storm.dice.moment(50));
    }
    // What a last kill left is taken up by a build in peace.
    storm.an_hour_passes();
    assert_eq!(storm.ci.build_to_its_end(THREADS), 0);
    account::close(&storm);
}
