//! Real power cuts of a real file system, at random, while pushes come and builds run: what was answered is there, what was
//! recorded stays, and all goes on.
//!
//! For longer, or of another file system: `AMP_CI_POWER_CUTS=200 AMP_CI_POWER_CUT_DISK=xfs cargo test power_cut -- --ignored`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use super::storm::judge_lane;
use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push},
    mount::Disk,
    need::skip,
    process::Running,
    wait::wait_until,
};

const BRANCHES: [&str; 3] = ["main", "master", "feature/x"];

/// The lane's file is on a disk that keeps its power.
fn chunk(lanes: &Path) -> String {
    format!(
        "lane={}/$AMP_CI_REPOSITORY-${{AMP_CI_BRANCH##*/}}; lane=${{lane/%-master/-main}}\n\
         echo begin $AMP_CI_BUILD_ID >> $lane; sleep 0.0$((RANDOM % 9)); echo end $AMP_CI_BUILD_ID >> $lane\n\
         [[ $AMP_CI_BUILD_ID != *[05] ]]\n",
        lanes.display()
    )
}

struct Site {
    ci: Installation,
    disk: Disk,
    /// What was answered, by lane, in order.
    answered: Mutex<BTreeMap<String, Vec<String>>>,
    commits: AtomicUsize,
}

impl Site {
    /// Pushes to a repository of its own until the power is gone.
    fn push_until(&self, repository: &str, is_gone: &AtomicBool) {
        let mut branches = BRANCHES.iter().cycle();
        while !is_gone.load(Ordering::SeqCst) {
            let branch = branches.next().unwrap();
            let push = Push::to(repository, branch).commit(self.commits.fetch_add(1, Ordering::Relaxed));
            let said = self.ci.queue_build(&push.arguments()).stdout;
            // An answer that a power cut overtakes is none: who has no power says nothing more. (Here they may, and xfs lets an
            // fsync succeed whose changes the cut has thrown away.)
            if let Some(id) = String::from_utf8_lossy(&said).trim_end().strip_prefix("queued build-")
                && !is_gone.load(Ordering::SeqCst)
            {
                let last = branch.rsplit('/').next().unwrap().replace("master", "main");
                let mut answered = self.answered.lock().unwrap();
                answered.entry(format!("{repository}-{last}")).or_default().push(id.to_string());
            }
        }
    }

    fn run_until_the_power_is_cut(&self, after: Duration) {
        let is_gone = AtomicBool::new(false);
        let mut build = Running::start(self.ci.command("build").args(["--threads", "3", "--stay"]));
        thread::scope(|scope| {
            for repository in ["alpha", "beta"] {
                scope.spawn(|| self.push_until(repository, &is_gone));
            }
            thread::sleep(after);
            is_gone.store(true, Ordering::SeqCst);
            self.disk.cut();
        });
        build.signal("KILL");
        build.wait();
        wait_until("what it had started is gone", || {
            for line in self.ci.living() {
                let _ = std::process::Command::new("kill")
                    .args(["-KILL", line.split(' ').next().unwrap()])
                    .output();
            }
            self.ci.living().is_empty()
        });
        let sent = self.told_of();
        self.disk.power_up();
        self.look(&sent);
    }

    /// The builds that somebody has had a letter about: those about a disk that is gone apart.
    fn told_of(&self) -> BTreeSet<String> {
        self.ci.letters_about_builds().into_iter().map(|letter| letter.stem).collect()
    }

    /// Everything answered is there, and what was told of is on record.
    fn look(&self, sent: &BTreeSet<String>) {
        let queue = names(&self.ci.path("queue"));
        let records: BTreeSet<String> = self.ci.records().into_iter().map(|record| record.id).collect();
        for id in self.answered.lock().unwrap().values().flatten() {
            let is_queued =
                [format!("build-{id}"), format!("build-{id}.lock")].iter().any(|name| queue.contains(name));
            let record = names(&self.ci.path("builds").join(id));
            assert!(is_queued || records.contains(id), "{id} was answered and is gone: {record:?}");
        }
        for id in sent {
            assert!(records.contains(id), "{id} was told of and has no result");
        }
    }
}

#[test]
#[ignore = "second tier"]
fn whenever_the_power_is_cut_what_was_answered_is_built_in_order_and_what_was_told_of_is_on_record() {
    let cuts: u32 = env::var("AMP_CI_POWER_CUTS").map_or(6, |cuts| cuts.parse().unwrap());
    let kind = env::var("AMP_CI_POWER_CUT_DISK").unwrap_or("ext4".to_string());
    let elsewhere = temp_dir();
    let mut ci = Installation::new();
    let disk = match Disk::new(elsewhere.path().join("image"), ci.home(), &kind) {
        Ok(disk) => disk,
        Err(why) => return skip("AMP_CI_REQUIRE_POWER_CUTS", &why),
    };
    for dir in ["queue", "scripts", "work"] {
        fs::create_dir(ci.path(dir)).unwrap();
    }
    for dir in ["mail", "lanes"] {
        fs::create_dir(elsewhere.path().join(dir)).unwrap();
    }
    std::os::unix::fs::symlink(elsewhere.path().join("mail"), ci.path("mail")).unwrap();
    ci.set("AMP_CI_SMTP_URL", &format!("file://{}/mail", elsewhere.path().display()));
    ci.set("AMP_CI_KEEP", "1000000").set("AMP_CI_MIN_FREE", "1");
    ci.chunk("checkout_repos", "true");
    ci.chunk("build_packages", &chunk(&elsewhere.path().join("lanes")));
    // The installation itself was there long before.
    let _ = std::process::Command::new("sync").arg("-f").arg(ci.home()).status();

    let site = Site { ci, disk, answered: Mutex::default(), commits: AtomicUsize::new(0) };
    for _ in 0..cuts {
        let random = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_micros();
        site.run_until_the_power_is_cut(Duration::from_millis(u64::from(random % 700)));
    }
    let ci = &site.ci;
    assert_eq!(ci.build_to_its_end(3), 0, "{}", ci.log());
    ci.assert_all_over();
    assert!(names(&ci.path("queue/bad")).is_empty(), "{}", ci.log());
    let records = ci.records();
    let failed = records.iter().filter(|record| record.outcome() == "failed");
    let failed: BTreeSet<String> = failed.map(|record| record.id.clone()).collect();
    assert_eq!(site.told_of(), failed, "exactly what failed is told of");
    let answered = site.answered.lock().unwrap();
    let recorded: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    for (lane, ids) in &*answered {
        assert!(ids.iter().all(|id| recorded.contains(id.as_str())), "{lane}");
        judge_lane(&elsewhere.path().join("lanes"), lane, ids);
    }
    let pushes: usize = answered.values().map(Vec::len).sum();
    eprintln!(
        "{cuts} power cuts of {kind}: {pushes} answered, {} records, {} failed",
        records.len(),
        failed.len()
    );
}
