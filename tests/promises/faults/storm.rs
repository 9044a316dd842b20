//! A storm of SIGKILL over the whole installation, until everything has drained.
//!
//! Seeded: `AMP_CI_STORM_SEED=7 AMP_CI_STORM_SECONDS=600 cargo test faults::storm -- --ignored` makes the same
//! choices for longer. Cron is played by the test: it starts `build` whenever none runs.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    files::names,
    github::{SECRET, signature},
    http::raw_request,
    installation::{Installation, Push},
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
}

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

const REPOSITORIES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const BRANCHES: [&str; 3] = ["main", "master", "feature/x"];

/// Marks begin and end in the lane's own file, which two builds that overlap would interleave; leaves things behind; fails
/// now and then.
fn chunk(ci: &Installation) -> String {
    let home = ci.home().display();
    format!(
        "lane={home}/lanes/$AMP_CI_REPOSITORY-${{AMP_CI_BRANCH##*/}}; lane=${{lane/%-master/-main}}\n\
         echo begin $AMP_CI_BUILD_ID >> $lane\n\
         (setsid bash -c 'exec -a {home}/left sleep 1000' &)\n\
         bash -c 'exec -a {home}/child sleep 0.0'$((RANDOM % 9 + 1)) & wait $!\n\
         for n in 1 2 3; do bash -c 'exec -a {home}/grandchild sleep 0.01'; done\n\
         echo end $AMP_CI_BUILD_ID >> $lane\n\
         [[ $AMP_CI_BUILD_ID != *[05] ]]\n"
    )
}

fn kill(pid: &str) {
    let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
}

/// The numbers of the processes that `is_meant` picks by command line, all of this installation.
fn pids(is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let pid = |line: String| line.split(' ').next().unwrap().to_string();
    processes(is_meant).into_iter().map(pid).collect()
}

/// One of this many kills hits `build` itself: it has to live long enough to get something done.
const OF_BUILD: usize = 16;

struct Storm {
    ci: Installation,
    dice: Dice,
    build: Option<Running>,
    webhookd: Option<Running>,
    port: u16,
    /// Pushes that were answered, by lane, in order.
    queued: BTreeMap<String, Vec<String>>,
    kills: HashMap<&'static str, usize>,
    /// Each push brings a commit of its own.
    commits: usize,
}

impl Storm {
    /// A push, straight or through the daemon.
    fn push(&mut self) {
        let repository = *self.dice.pick(&REPOSITORIES).unwrap();
        let branch = *self.dice.pick(&BRANCHES).unwrap();
        let said = if self.dice.roll(2) == 0 {
            self.queue_build(repository, branch)
        } else {
            self.post(repository, branch)
        };
        let words = said.split_ascii_whitespace().collect::<Vec<_>>();
        if let ["queued", name] = words[words.len().saturating_sub(2)..] {
            let lane =
                format!("{repository}-{}", branch.rsplit('/').next().unwrap().replace("master", "main"));
            self.queued.entry(lane).or_default().push(name.strip_prefix("build-").unwrap().to_string());
        }
    }

    /// What `queue_build` says, which it may not survive.
    fn queue_build(&mut self, repository: &str, branch: &str) -> String {
        let mut command = self.ci.command("queue_build");
        self.commits += 1;
        let child = command
            .args(Push::to(repository, branch).commit(self.commits).arguments())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if self.dice.roll(4) == 0 {
            thread::sleep(Duration::from_micros(u64::try_from(self.dice.roll(6000)).unwrap()));
            kill(&child.id().to_string());
            *self.kills.entry("queue_build").or_default() += 1;
        }
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    /// What GitHub would be told, if anything: the daemon or its command may not survive it.
    fn post(&mut self, repository: &str, branch: &str) -> String {
        self.commits += 1;
        let commit = Push::to(repository, branch).commit(self.commits).commit;
        // By this name the command of the daemon is found.
        let pusher = format!("{}/pusher", self.ci.home().display());
        let body = serde_json::json!({
            "ref": format!("refs/heads/{branch}"),
            "deleted": false,
            "repository": {"name": repository},
            "head_commit": {"id": commit},
            "pusher": {"name": pusher, "email": "bdwheele@example.org"},
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
            thread::sleep(Duration::from_micros(u64::try_from(self.dice.roll(20_000)).unwrap()));
            let (what, victims) = if self.dice.roll(2) == 0 {
                ("webhookd", self.webhookd.iter().map(|daemon| daemon.pid().to_string()).collect())
            } else {
                ("its queue_build", pids(|line| line.contains(&pusher)))
            };
            if let Some(pid) = victims.first() {
                kill(pid);
                *self.kills.entry(what).or_default() += 1;
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
        let programs = Path::new(env!("CARGO_BIN_EXE_queue_build")).parent().unwrap();
        let mut command = self.ci.command("webhookd");
        command.args([
            "-ip",
            "127.0.0.1",
            "-urlprefix",
            "webhook",
            "-template",
            "-port",
            &self.port.to_string(),
        ]);
        command.arg("-hooks").arg(hooks).env("SECRET", SECRET).env("SECRET_OLD", "");
        command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
        let port = self.port;
        self.webhookd = Some(Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        wait_until("webhookd serves", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// Kills one of what runs.
    fn strike(&mut self) {
        let home = self.ci.home().display().to_string();
        let (what, victims) = match self.dice.roll(OF_BUILD) {
            0 => ("build", self.build.iter().map(|build| build.pid().to_string()).collect()),
            1..=4 => ("bash", pids(|line| line.starts_with(&format!("/bin/bash {home}/builds/")))),
            _ => (
                "grandchild",
                pids(|line| line.contains(&format!("{home}/")) && !line.starts_with("/bin/bash ")),
            ),
        };
        if let Some(pid) = self.dice.pick(&victims) {
            kill(pid);
            *self.kills.entry(what).or_default() += 1;
        }
    }

    /// Cron: starts `build` if none runs. Says whether one that was left in peace found nothing more to do.
    fn cron(&mut self) -> bool {
        self.look_after_webhookd();
        if let Some(build) = &mut self.build {
            let Some(code) = build.is_over() else { return false };
            assert!([0, -9].contains(&code), "build left with {code}: {}", self.ci.log());
            if code == 0 && self.ci.entries().is_empty() {
                return true;
            }
        }
        self.build = Some(self.ci.start_build(4));
        false
    }
}

#[test]
#[ignore = "second tier"]
fn whatever_is_killed_every_push_ends_in_one_record_in_order_and_nothing_is_left() {
    let seed = setting("AMP_CI_STORM_SEED", 20_261_122);
    let seconds = setting("AMP_CI_STORM_SECONDS", 10);
    eprintln!("AMP_CI_STORM_SEED={seed} AMP_CI_STORM_SECONDS={seconds}");
    let mut ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.set("AMP_CI_KEEP", "1000000");
    ci.chunk("build_packages", &chunk(&ci));
    fs::create_dir(ci.path("lanes")).unwrap();
    let mut storm = Storm {
        ci,
        dice: Dice(seed),
        build: None,
        webhookd: None,
        // Free now; nobody else of this machine is given it so soon.
        port: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
        queued: BTreeMap::new(),
        kills: HashMap::new(),
        commits: 0,
    };
    storm.look_after_webhookd();

    // A backlog, and then pushes and kills together, and then kills until nothing waits.
    for _ in 0..150 {
        storm.push();
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let give_up = until + Duration::from_secs(240 + 20 * seconds);
    loop {
        let drained = storm.cron();
        if Instant::now() < until {
            if storm.dice.roll(3) == 0 {
                storm.push();
            }
        } else if drained {
            break;
        }
        assert!(Instant::now() < give_up, "it drains: {}", storm.ci.log());
        storm.strike();
        thread::sleep(Duration::from_millis(10 + u64::try_from(storm.dice.roll(50)).unwrap()));
    }
    // What a last kill left is taken up by a build in peace.
    assert_eq!(storm.ci.build_to_its_end(4), 0);
    judge(&storm);
}

fn judge(storm: &Storm) {
    let ci = &storm.ci;
    ci.assert_all_over();
    assert!(names(&ci.path("queue/bad")).is_empty(), "{}", ci.log());
    let records = ci.records();
    assert_eq!(records.len(), names(&ci.path("builds")).len(), "every record is final");
    let by_id: HashMap<&str, _> = records.iter().map(|record| (record.id.as_str(), record)).collect();
    let mut counts = HashMap::new();
    for record in &records {
        let attempts = record.result["attempts"].as_u64().unwrap();
        assert!((1..=3).contains(&attempts), "{}: {:?}", record.id, record.result);
        assert!(!record.dir.join("running.json").exists());
        *counts.entry((record.outcome().to_string(), attempts)).or_insert(0) += 1;
    }
    // What was answered is on record; what died before it answered may be.
    let answered: Vec<&String> = storm.queued.values().flatten().collect();
    for id in &answered {
        assert!(by_id.contains_key(id.as_str()), "{id} was answered and has no record");
    }
    // Exactly the failed ones are told of.
    let mut told: Vec<String> = ci.letters().into_iter().map(|letter| letter.stem).collect();
    let mut failed: Vec<String> = Vec::new();
    for record in &records {
        match record.outcome() {
            "failed" => failed.push(record.id.clone()),
            "error" => failed.extend([record.id.clone(), format!("{}.ci", record.id)]),
            _ => {}
        }
    }
    told.sort();
    failed.sort();
    assert_eq!(told, failed);
    for (lane, ids) in &storm.queued {
        judge_lane(&ci.path("lanes"), lane, ids);
    }
    eprintln!("{} answered, {} records {counts:?}; killed {:?}", answered.len(), records.len(), storm.kills);
}

/// One at a time, and in the order in which the pushes were accepted: a build that was begun may be begun again, but
/// none is begun that is older than one before it.
pub fn judge_lane(lanes: &Path, lane: &str, accepted: &[String]) {
    let marks = fs::read_to_string(lanes.join(lane)).unwrap_or_default();
    let marks: Vec<(&str, &str)> = marks.lines().map(|line| line.split_once(' ').unwrap()).collect();
    for pair in marks.windows(2) {
        let [(_, before), (mark, id)] = pair else { unreachable!() };
        assert!(before <= id, "{lane}: {before} before {id}");
        assert!(*mark == "begin" || before == id, "{lane}: {id} ended while {before} ran");
    }
    assert!(accepted.is_sorted(), "{lane}: accepted in the order of the names");
}
