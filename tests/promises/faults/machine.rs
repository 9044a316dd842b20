//! Faults of the machine: no entry is dropped or burnt, somebody hears of it once, and all goes on when it is mended.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{
    files::{fill, names, temp_dir},
    installation::{Installation, Push},
    mount::Mount,
    need::or_skip,
    wait::wait_until,
};

/// An installation whose home has little space; letters and workspaces have theirs elsewhere.
struct SmallDisk {
    mount: Mount,
    ci: Installation,
    #[expect(dead_code, reason = "removed when dropped")]
    elsewhere: TempDir,
}

impl SmallDisk {
    fn new(build_packages: &str) -> Option<Self> {
        let mut ci = Installation::new();
        ci.set("AMP_CI_MIN_FREE", "1");
        let elsewhere = temp_dir();
        let mount = Mount::tmpfs(ci.home(), "size=3M")?;
        for dir in ["queue", "scripts"] {
            fs::create_dir(ci.path(dir)).unwrap();
        }
        for dir in ["mail", "work"] {
            fs::create_dir(elsewhere.path().join(dir)).unwrap();
            symlink(elsewhere.path().join(dir), ci.path(dir)).unwrap();
        }
        ci.chunk("checkout_repos", "true");
        ci.chunk("build_packages", build_packages);
        Some(Self { mount, ci, elsewhere })
    }

    /// Leaves no byte.
    fn fill(&self) {
        fill(&self.ci.path("fill"));
    }

    fn free(&self) {
        fs::remove_file(self.ci.path("fill")).unwrap();
    }
}

/// What an operator gets to see of a trouble.
struct Seen {
    codes: Vec<i32>,
    stderr: Vec<String>,
}

/// Cron's minutes.
fn start(ci: &Installation, times: usize) -> Seen {
    start_with(times, || {
        // An hour has passed.
        ci.end_pauses();
        ci.command("build")
    })
}

fn start_with(times: usize, command: impl Fn() -> Command) -> Seen {
    let outputs: Vec<Output> =
        (0..times).map(|_| command().args(["--threads", "3"]).output().unwrap()).collect();
    Seen {
        codes: outputs.iter().map(|output| output.status.code().unwrap()).collect(),
        stderr: outputs
            .iter()
            .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
            .filter(|text| !text.is_empty())
            .collect(),
    }
}

/// Letters about troubles; all go to the fallback.
fn troubles(ci: &Installation) -> Vec<String> {
    let letters = ci.letters().into_iter().filter(|letter| letter.stem.starts_with("trouble-"));
    letters
        .map(|letter| {
            assert_eq!(letter.to, "operator@example.org");
            letter.subject
        })
        .collect()
}

fn thirty(ci: &Installation) -> Vec<String> {
    let push = |n: usize| Push::to(&format!("r{}", n % 5), "main").commit(n);
    (0..30).map(|n| ci.push(&push(n))).collect()
}

/// Every push has been built once, and no try was lost to the fault.
fn assert_built(ci: &Installation, ids: &[String]) {
    let records = ci.records();
    assert_eq!(records.iter().map(|record| record.id.clone()).collect::<Vec<_>>(), ids, "{}", ci.log());
    for record in records {
        assert_eq!(record.result["attempts"], 1, "{:?}", record.result);
    }
    ci.assert_all_over();
    assert!(!ci.path("queue/lock").exists());
}

fn said(ci: &Installation, what: &str) -> usize {
    ci.log().lines().filter(|line| line.contains("[ERROR") && line.contains(what)).count()
}

#[test]
#[ignore = "second tier"]
fn a_work_directory_that_is_gone_or_refused_is_said_once_and_thirty_pushes_wait_for_it() {
    for refused in [false, true] {
        let ci = Installation::building("true");
        let ids = thirty(&ci);
        let mode = |mode| fs::set_permissions(ci.path("work"), fs::Permissions::from_mode(mode)).unwrap();
        if refused {
            mode(0o777);
        } else {
            fs::remove_dir(ci.path("work")).unwrap();
        }
        let seen = start(&ci, 5);
        assert_eq!((seen.codes, seen.stderr), (vec![1; 5], vec![]));
        assert_eq!(ci.entries().len(), 30);
        assert_eq!(said(&ci, "there is no work directory"), 1, "{}", ci.log());
        assert_eq!(troubles(&ci).len(), 1);
        let lock = fs::read_to_string(ci.path("queue/lock")).unwrap();
        assert!(lock.lines().nth(1).unwrap().starts_with("there is no work directory"), "{lock}");

        if refused {
            mode(0o755);
        } else {
            fs::create_dir(ci.path("work")).unwrap();
        }
        ci.build(3);
        assert_built(&ci, &ids);
        assert!(ci.log().contains("over: there is no work directory"));

        // It is said again when it comes again.
        mode(0o777);
        start(&ci, 2);
        assert_eq!((troubles(&ci).len(), said(&ci, "there is no work directory")), (2, 2));
    }
}

#[test]
#[ignore = "second tier"]
fn a_work_directory_that_goes_while_builds_run_burns_nothing() {
    let ci =
        Installation::building("touch ../../ran-$AMP_CI_BUILD_ID; [ -e ../../mended ] || rm -rf ../../work");
    let ids = thirty(&ci);
    let seen = start(&ci, 3);
    assert_eq!((seen.codes, seen.stderr), (vec![1; 3], vec![]));
    assert_eq!(ci.entries().len() + ci.records().len(), 30);
    assert!(ci.entries().len() > 20 && ci.entries().iter().all(|name| !name.ends_with(".lock")));
    // One is told of for each thing that `build` was at.
    let mut told = troubles(&ci);
    assert!(told.len() <= 3, "{told:?}");
    told.sort();
    told.dedup();
    assert_eq!(told.len(), troubles(&ci).len(), "each once");
    fs::write(ci.path("mended"), "").unwrap();
    fs::create_dir(ci.path("work")).unwrap();
    ci.end_pauses();
    ci.build(3);
    assert_built(&ci, &ids);
}

#[test]
#[ignore = "second tier"]
fn a_full_disk_before_a_build_is_told_without_space_and_goes_by_itself() {
    let Some(disk) = SmallDisk::new("exit 3") else { return };
    let ci = &disk.ci;
    ci.build(1);
    let ids = thirty(ci);
    disk.fill();
    let seen = start(ci, 5);
    assert_eq!((seen.codes, seen.stderr), (vec![1; 5], vec![]));
    assert_eq!(ci.entries(), ids.iter().map(|id| format!("build-{id}")).collect::<Vec<_>>());
    assert_eq!(troubles(ci).len(), 1, "{:?}", troubles(ci));
    let refused = ci.command("queue_build").args(Push::to("r", "main").arguments()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("No space left on device"));
    assert_eq!(ci.entries().len(), 30);

    disk.free();
    ci.build(3);
    assert_built(ci, &ids);
    assert_eq!(ci.letters().len(), 31, "one about the trouble, one for each build that failed");
}

#[test]
#[ignore = "second tier"]
fn a_build_whose_output_fills_the_disk_is_tried_again_behind_the_others_and_is_given_up_then() {
    let Some(disk) = SmallDisk::new("") else { return };
    let ci = &disk.ci;
    ci.chunk("build_packages", "[ {repository} != full ] || yes | head -c 9000000; exit 3");
    let full = ci.push(&Push::to("full", "main"));
    let other = ci.push(&Push::to("other", "main"));
    // Its own: what it wrote is removed, and then there is space.
    let retry = ci.path(&format!("queue/build-{full}.retry"));
    for times in 1..=3 {
        ci.build(1);
        assert_eq!(retry.exists(), times < 3, "{times}");
        ci.pass_pauses();
    }
    assert_eq!(ci.entries(), [""; 0]);
    let records = ci.records();
    assert_eq!((records[0].id.as_str(), records[0].outcome()), (full.as_str(), "error"));
    assert!(records[0].result["reason"].as_str().unwrap().contains("No space left on device"));
    assert_eq!((records[1].id.as_str(), records[1].outcome()), (other.as_str(), "failed"));
    assert!(troubles(ci).is_empty());
    assert_eq!(ci.letters().len(), 3);
    ci.assert_all_over();
}

#[test]
#[ignore = "second tier"]
fn a_disk_that_is_full_when_a_build_ends_leaves_it_to_be_built_again() {
    let Some(disk) = SmallDisk::new("") else { return };
    let ci = &disk.ci;
    let home = ci.home().display().to_string();
    ci.chunk(
        "build_packages",
        &format!("[ -e {home}/mended ] || for n in 65536 4096 512 1; do cat /dev/zero | head -c 9000000 >> {home}/fill || true; done; exit 3"),
    );
    let id = ci.push(&Push::to("a", "main"));
    let seen = start(ci, 3);
    assert_eq!((seen.codes, seen.stderr), (vec![1; 3], vec![]));
    assert_eq!(ci.entries(), [format!("build-{id}")]);
    assert_eq!(troubles(ci).len(), 1, "{:?}", troubles(ci));
    disk.free();
    fs::write(ci.path("mended"), "").unwrap();
    ci.end_pauses();
    ci.build(1);
    assert_built(ci, std::slice::from_ref(&id));
    assert_eq!(ci.letters().len(), 2);
}

#[test]
#[ignore = "second tier"]
fn a_letter_that_finds_no_room_in_the_outbox_is_written_when_there_is_some() {
    let ci = Installation::building("echo ran >> ../../ran; exit 3");
    fs::create_dir(ci.path("outbox")).unwrap();
    let Some(mount) = Mount::tmpfs(&ci.path("outbox"), "size=4k,nr_inodes=1") else { return };
    let ids = [ci.push(&Push::to("a", "main")), ci.push(&Push::to("b", "main"))];
    let seen = start(&ci, 4);
    assert_eq!((seen.codes, seen.stderr), (vec![1; 4], vec![]));
    assert_eq!(troubles(&ci).len(), 1, "{:?}", troubles(&ci));
    let ran = fs::read_to_string(ci.path("ran")).unwrap().lines().count();
    assert_eq!(ci.records().len(), ran, "what has run is on record and is not run again");
    drop(mount);
    ci.build(1);
    assert_built(&ci, &ids);
    assert_eq!(fs::read_to_string(ci.path("ran")).unwrap().lines().count(), 2);
    assert_eq!(ci.letters().len(), 3);
}

#[test]
#[ignore = "second tier"]
fn a_read_only_home_is_told_once_though_nothing_can_be_remembered_in_it() {
    let Some(mut disk) = SmallDisk::new("true") else { return };
    let shared = temp_dir();
    disk.ci.set("TMPDIR", shared.path().to_str().unwrap());
    let ci = &disk.ci;
    ci.build(1);
    let ids = thirty(ci);
    disk.mount.again("ro");
    let mut seen = start(ci, 1);
    // Somebody else has seen the name, and puts others there.
    let [note] = &names(shared.path())[..] else { panic!("{:?}", names(shared.path())) };
    assert_eq!(note.len(), "amp_ci-trouble-".len() + 8 + 1 + 16, "{note} ends in what nobody can guess");
    for n in 0..9 {
        fs::create_dir(shared.path().join(format!("{}{n}", &note[..note.len() - 16]))).unwrap();
    }
    let later = start(ci, 3);
    seen.codes.extend(later.codes);
    seen.stderr.extend(later.stderr);
    assert_eq!(seen.codes, [1; 4]);
    assert_eq!(seen.stderr.len(), 1, "without a log it is said on stderr, once: {:?}", seen.stderr);
    assert_eq!(troubles(ci).len(), 1);
    let refused = ci.command("queue_build").args(Push::to("r", "main").arguments()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    disk.mount.again("rw");
    ci.build(3);
    assert_built(ci, &ids);
    assert!(!shared.path().join(note).exists());
}

#[test]
#[ignore = "second tier"]
fn a_log_that_cannot_be_written_is_told_once() {
    let ci = Installation::building("true");
    let ids = thirty(&ci);
    fs::create_dir(ci.path("build.log")).unwrap();
    let seen = start(&ci, 3);
    assert_eq!((seen.codes, seen.stderr.len()), (vec![1; 3], 1), "{:?}", seen.stderr);
    assert_eq!((troubles(&ci).len(), ci.entries().len()), (1, 30));
    fs::remove_dir(ci.path("build.log")).unwrap();
    ci.build(3);
    assert_built(&ci, &ids);
}

#[test]
#[ignore = "second tier"]
fn however_few_descriptors_there_are_no_entry_is_dropped_or_burnt() {
    let ci = Installation::building("exit 3");
    let ids = thirty(&ci);
    for limit in 3..40 {
        let seen = start_with(1, || {
            ci.end_pauses();
            let mut command = ci.command("prlimit");
            command.arg(format!("--nofile={limit}")).arg(env!("CARGO_BIN_EXE_amp_build"));
            command
        });
        assert!([0, 1, 127].contains(&seen.codes[0]), "{limit}: {:?} {:?}", seen.codes, seen.stderr);
        let lost = ids.iter().filter(|id| {
            let is = |path: String| ci.path(&path).exists();
            !is(format!("queue/build-{id}"))
                && !is(format!("queue/build-{id}.lock"))
                && !is(format!("builds/{id}/result.json"))
        });
        assert_eq!(lost.count(), 0, "with {limit} descriptors");
    }
    ci.end_pauses();
    // Letters that found no descriptor pause, too.
    ci.touch_outbox();
    ci.build(1);
    assert_built(&ci, &ids);
    assert!(names(&ci.path("queue/bad")).is_empty());
    assert_eq!(ci.letters_about_builds().len(), 30);
    assert!(troubles(&ci).len() <= 3, "{:?}", troubles(&ci));
}

/// The installation belongs to somebody who is not root from here on; returns what starts programs as that user.
fn as_nobody(ci: &Installation) -> Option<[&'static str; 6]> {
    const NOBODY: [&str; 6] =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"];
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(ci.home()).status().unwrap().success();
    let can = owned
        && Command::new(NOBODY[0])
            .args(&NOBODY[1..])
            .arg(env!("CARGO_BIN_EXE_amp_build"))
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success());
    let missing = (!can).then_some("not root, or user nobody cannot reach the programs");
    or_skip("AMP_CI_REQUIRE_MOUNT", missing).then_some(NOBODY)
}

fn build_as(ci: &Installation, prefix: &[&str], limits: &[String]) -> Command {
    let mut command = ci.command(prefix[0]);
    command.args(&prefix[1..]).arg("prlimit").args(limits).arg(env!("CARGO_BIN_EXE_amp_build"));
    command
}

#[test]
#[ignore = "second tier"]
fn however_few_processes_there_are_no_entry_is_dropped_or_burnt() {
    let ci = Installation::building("exit 3");
    let ids = thirty(&ci);
    let Some(nobody) = as_nobody(&ci) else { return };
    // With more, bash starts and waits for the fork that it is not granted: that is its own matter.
    for limit in 1..6 {
        let seen = start_with(2, || build_as(&ci, &nobody, &[format!("--nproc={limit}")]));
        assert!(
            seen.codes.iter().all(|code| [0, 1].contains(code)),
            "{limit}: {:?} {:?}",
            seen.codes,
            seen.stderr
        );
        assert!(seen.stderr.is_empty(), "{limit}: {:?}", seen.stderr);
    }
    ci.end_pauses();
    let seen = start_with(1, || build_as(&ci, &nobody, &["--nproc=100".to_string()]));
    assert_eq!((seen.codes, seen.stderr), (vec![0], vec![]));
    let records = ci.records();
    assert_eq!(records.iter().map(|record| record.id.clone()).collect::<Vec<_>>(), ids);
    ci.assert_all_over();
    // A chunk that cannot fork fails; that is the build's own end, and told as such.
    assert_eq!(ci.letters().len() - troubles(&ci).len(), 30);
    assert!(troubles(&ci).len() <= 3, "{:?}", troubles(&ci));
}

#[test]
#[ignore = "second tier"]
fn an_entry_that_cannot_be_opened_stays_and_holds_up_no_other() {
    let ci = Installation::building("true");
    let ids = thirty(&ci);
    let closed = ci.path(&format!("queue/build-{}", ids[7]));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let Some(nobody) = as_nobody(&ci) else { return };
    let seen = start_with(4, || build_as(&ci, &nobody, &[]));
    assert_eq!((seen.codes, seen.stderr), (vec![1; 4], vec![]));
    assert_eq!((ci.entries().len(), ci.records().len()), (1, 29));
    assert_eq!((troubles(&ci).len(), said(&ci, "cannot be opened")), (1, 1));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    let seen = start_with(1, || build_as(&ci, &nobody, &[]));
    assert_eq!((seen.codes, seen.stderr), (vec![0], vec![]));
    assert_built(&ci, &ids);
}

#[test]
#[ignore = "second tier"]
fn a_running_build_goes_on_when_a_fault_meets_another() {
    let ci = Installation::building("");
    let home = ci.home().display().to_string();
    ci.chunk(
        "build_packages",
        &format!("[ {{repository}} != slow ] || {{{{ mv {home}/work {home}/gone; touch {home}/moved; until [ -e {home}/go ]; do sleep 0.01; done; }}}}"),
    );
    let slow = ci.push(&Push::to("slow", "main"));
    let mut build = ci.start_build(2);
    wait_until("the work directory is gone", || ci.path("moved").exists());
    let other = ci.push(&Push::to("other", "main"));
    wait_until("the fault is said", || said(&ci, "there is no work directory") == 1);
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 1);
    assert_eq!((ci.record().id, ci.record().outcome().to_string()), (slow.clone(), "succeeded".to_string()));
    assert_eq!(ci.entries(), [format!("build-{other}")]);
    fs::rename(ci.path("gone"), ci.path("work")).unwrap();
    ci.end_pauses();
    ci.build(1);
    assert_built(&ci, &[slow, other]);
}
