//! Builds on Slurm: a real controller and two real nodes, simulated on this machine, and all that can happen to them.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push},
    need::skip,
    process::{Running, signal_to},
    repositories::{Repositories, shipped_chunks},
    wait::{until, wait_until},
};

/// As docs/scaling.md has it, and in front of the build what makes the simulation honest: the nodes are processes of
/// this machine, and by its mark `build` would find its job there too.
const LAUNCHER: &str =
    "srun --quiet -N1 -n1 --job-name={name} --dependency=singleton --time=10 env -u AMP_CI_MARK";

/// The line that docs/scaling.md tells people to put into environment.sh, as bash reads it there.
fn documented_cancel() -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scaling.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, line) = document.split_once(" AMP_CI_LAUNCHER_CANCEL='").expect("the document has it");
    line.split_once('\'').unwrap().0.to_string()
}

/// A cluster of its own for each test: it starts within a second, and nothing that happens to it disturbs another.
struct Cluster(TempDir);

impl Cluster {
    fn start() -> Option<Self> {
        let is_missing = |program: &&str| {
            let path = env::var_os("PATH").unwrap_or_default();
            !env::split_paths(&path).chain(["/usr/sbin".into()]).any(|dir| dir.join(program).is_file())
        };
        if let Some(program) =
            ["slurmctld", "slurmd", "srun", "scancel", "munged"].into_iter().find(is_missing)
        {
            let packages = "slurmctld slurmd slurm-client munge";
            skip("AMP_CI_REQUIRE_SLURM", &format!("there is no {program}: apt-get install {packages}"));
            return None;
        }
        let cluster = Self(temp_dir());
        cluster.does("start", None);
        Some(cluster)
    }

    fn script(&self, verb: &str, node: Option<&str>) -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slurm/cluster");
        Command::new(script).arg(verb).arg(self.0.path()).args(node).output().unwrap()
    }

    fn does(&self, verb: &str, node: Option<&str>) {
        let output = self.script(verb, node);
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What a client of Slurm prints.
    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("SLURM_CONF", self.path("slurm.conf"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// The names of all jobs in this state, or in any.
    fn jobs(&self, states: &str) -> Vec<String> {
        let names = self.ask("squeue", &["--noheader", "--format=%j", "--states", states]);
        names.lines().map(str::to_string).collect()
    }

    fn node_of(&self, job: &str) -> String {
        self.ask("squeue", &["--noheader", "--format=%N", "--states=RUNNING", "--name", job])
    }

    /// An installation whose builds run here. Its chunks can leave notes for each other in `$NOTES`.
    fn installation(&self, build_packages: &str) -> Installation {
        let mut ci = Installation::building(build_packages);
        let (work, notes) = (self.path("shared/work"), self.path("notes"));
        for dir in [&work, &notes] {
            fs::create_dir_all(dir).unwrap();
        }
        ci.set("SLURM_CONF", &self.path("slurm.conf").display().to_string());
        ci.set("AMP_CI_WORK_DIR", &work.display().to_string());
        ci.set("NOTES", &notes.display().to_string());
        ci.set("AMP_CI_LAUNCHER", LAUNCHER);
        ci.set("AMP_CI_LAUNCHER_CANCEL", &documented_cancel());
        ci
    }

    fn note(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path("notes").join(name)).ok()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("stop", None);
    }
}

/// The first try of a build with this chunk stays where it is; later ones succeed. Two at once leave a note.
const FIRST_TRY_HANGS: &str = "exec 9>>$NOTES/lock
flock --nonblock 9 || echo two at once >$NOTES/twice
[ -e $NOTES/first ] || { echo $$ >$NOTES/first; exec sleep 1000; }
exit 0";

/// Runs `build` to its end and returns its exit code.
/// A build of this script, which has noted that it runs.
fn running(cluster: &Cluster, script: &str) -> (Installation, String, Running) {
    let ci = cluster.installation(script);
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let build = ci.start_build(1);
    wait_until("it runs", || cluster.note("first").is_some());
    (ci, id, build)
}

fn code(ci: &Installation, threads: usize) -> i32 {
    ci.build_with(&["--threads", &threads.to_string()]).status.code().expect("it is not killed")
}

/// Kills `build` and all of srun at once, as a crash of their host does: nobody is left to cancel anything.
fn crash(ci: &Installation, build: &mut Running, id: &str) {
    let running = fs::read(ci.path("builds").join(id).join("running.json")).unwrap();
    let running: serde_json::Value = serde_json::from_slice(&running).unwrap();
    let srun = i32::try_from(running["script_pid"].as_i64().unwrap()).unwrap();
    build.signal("STOP");
    signal_to("KILL", -srun);
    build.signal("KILL");
    build.wait();
}

/// Who got letters, sorted.
fn told(ci: &Installation) -> Vec<String> {
    let mut told: Vec<String> = ci.letters().into_iter().map(|letter| letter.to).collect();
    told.sort();
    told
}

/// After a failure of the engine: it waits, the operator alone has heard, and the next `build` builds it.
fn is_put_back_and_built(cluster: &Cluster, ci: &Installation, id: &str) {
    assert_eq!(ci.entries(), [format!("build-{id}")], "{}", ci.log());
    assert!(ci.records().is_empty(), "{}", ci.log());
    assert_eq!(told(ci), ["operator@example.org"]);
    assert_eq!(code(ci, 1), 0, "{}", ci.log());
    assert_eq!(ci.record().outcome(), "succeeded", "{}", ci.log());
    assert_eq!(told(ci), ["operator@example.org"]);
    assert_eq!(cluster.note("twice"), None, "never two at once");
    assert_eq!(names(&cluster.path("shared/work")), [""; 0], "no workspace is left");
}

#[test]
#[ignore = "second tier"]
fn exit_codes_and_a_death_by_signal_come_back_as_they_are() {
    let Some(cluster) = Cluster::start() else { return };
    let ci = cluster.installation(
        "case {repository} in one) exit 1 ;; seven) exit 7 ;; last) exit 255 ;; killed) kill -9 $$ ;; esac",
    );
    let expected = [("zero", 0), ("one", 1), ("seven", 7), ("last", 255), ("killed", -9)];
    for (repository, _) in expected {
        ci.push(&Push::to(repository, "main"));
    }
    assert_eq!(code(&ci, 5), 0, "{}", ci.log());

    for record in ci.records() {
        let (repository, rc) =
            expected.iter().find(|(name, _)| record.request["repository"] == *name).unwrap();
        assert_eq!(record.result["rc"], *rc, "{repository}");
        assert_eq!(record.result["attempts"], 1, "{repository}");
    }
    assert_eq!(told(&ci), ["bdwheele@example.org"; 4]);
    // What the engine says of a failed job is on record and no output.
    let failed = ci.records().into_iter().find(|record| record.result["rc"] == 7).unwrap();
    let words = fs::read_to_string(failed.dir.join("launcher.log")).unwrap();
    assert!(words.contains("Exited with exit code 7"), "{words}");
    assert!(
        ci.log().contains("Exited with exit code 7") && !failed.output().contains("srun"),
        "{}",
        ci.log()
    );
}

#[test]
#[ignore = "second tier"]
fn the_output_of_both_streams_is_what_it_would_be_here_byte_for_byte() {
    let Some(cluster) = Cluster::start() else { return };
    // set -x makes every line of stdout stand between lines of stderr.
    let chunk = "for i in $(seq 1000); do echo out $i; echo err $i >&2; done
        cat $BYTES; cat $BYTES >&2; head -c 3000000 $BYTES.many; printf 'no newline at the end'";
    let bytes = cluster.path("bytes");
    let all: Vec<u8> = (0..=255).chain([0, 0, b'\n', b'\n', 0xff, 0xc3, b'\n']).collect();
    fs::write(&bytes, &all).unwrap();
    fs::write(cluster.path("bytes.many"), all.repeat(20_000)).unwrap();
    let mut there = cluster.installation(chunk);
    let mut here = Installation::building(chunk);
    for ci in [&mut there, &mut here] {
        ci.set("BYTES", &bytes.display().to_string());
        ci.push(&Push::to("amp_mgms", "main"));
        assert_eq!(code(ci, 1), 0, "{}", ci.log());
    }
    let output = |ci: &Installation| {
        let bytes = fs::read(ci.record().dir.join("output.log")).unwrap();
        let is_dated = |line: &[u8]| line.windows(4).any(|word| word == b" at ");
        bytes.split(|byte| *byte == b'\n').filter(|line| !is_dated(line)).collect::<Vec<_>>().join(&b'\n')
    };
    let (there, here) = (output(&there), output(&here));
    assert!(there.len() > 3_000_000);
    let differ = there.iter().zip(&here).position(|(there, here)| there != here);
    assert!(there == here, "they differ from byte {differ:?} on; {} and {} bytes", there.len(), here.len());
}

#[test]
#[ignore = "second tier"]
fn the_time_limit_is_the_committer_s_business_and_ends_the_job() {
    let Some(cluster) = Cluster::start() else { return };
    let mut ci = cluster.installation("echo begun; sleep 1000");
    ci.set("AMP_CI_TIMEOUT", "2s");
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci, 1), 0, "{}", ci.log());

    assert_eq!(ci.record().outcome(), "timed_out", "{}", ci.log());
    assert_eq!(ci.record().result["rc"], -15);
    assert_eq!(told(&ci), ["bdwheele@example.org"]);
    wait_until("no job is left", || {
        cluster.jobs("all").is_empty() || cluster.jobs("RUNNING,COMPLETING").is_empty()
    });
}

#[test]
#[ignore = "second tier"]
fn a_lost_node_is_no_verdict_and_the_build_runs_on_another_one() {
    let Some(cluster) = Cluster::start() else { return };
    let (ci, id, mut build) = running(&cluster, FIRST_TRY_HANGS);
    let node = cluster.node_of(&format!("build-{id}"));
    cluster.does("lose", Some(&node));
    assert_eq!(build.wait(), 1, "{}", ci.log());
    assert!(ci.log().contains("srun ended with exit status: 0"), "and that is not believed: {}", ci.log());
    is_put_back_and_built(&cluster, &ci, &id);
}

#[test]
#[ignore = "second tier"]
fn a_killed_slurmstepd_is_no_verdict() {
    let Some(cluster) = Cluster::start() else { return };
    let ci = cluster.installation(FIRST_TRY_HANGS);
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    let script = until("it runs", || cluster.note("first")?.trim().parse::<i32>().ok());
    let stepd = until("it has a keeper", || ancestor_named(script, "slurmstepd"));
    // The out-of-memory killer takes it and what it keeps.
    signal_to("KILL", stepd);
    signal_to("KILL", script);
    // Slurm sees that nobody answers for the job when somebody asks for its end, as at the time limit.
    cluster.ask("scancel", &["--name", &format!("build-{id}")]);
    assert_eq!(build.wait(), 1, "{}", ci.log());
    is_put_back_and_built(&cluster, &ci, &id);
}

#[test]
#[ignore = "second tier"]
fn a_cancelled_job_is_no_verdict() {
    let Some(cluster) = Cluster::start() else { return };
    let (ci, id, mut build) = running(&cluster, FIRST_TRY_HANGS);
    cluster.ask("scancel", &["--name", &format!("build-{id}")]);
    assert_eq!(build.wait(), 1, "{}", ci.log());
    is_put_back_and_built(&cluster, &ci, &id);
}

#[test]
#[ignore = "second tier"]
fn a_cancelled_build_takes_its_job_along_and_the_next_one_runs() {
    let Some(cluster) = Cluster::start() else { return };
    let ci =
        cluster.installation("[ $AMP_CI_BRANCH != main ] || { echo $$ >$NOTES/first; exec sleep 1000; }");
    let runs = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    wait_until("it runs", || cluster.note("first").is_some());
    let next = ci.push(&Push::to("amp_mgms", "dev"));
    assert!(ci.command("build").args(["cancel", &runs]).output().unwrap().status.success());
    assert_eq!(build.wait(), 0, "{}", ci.log());
    let outcomes: Vec<_> =
        ci.records().iter().map(|record| (record.id.clone(), record.outcome().to_string())).collect();
    assert_eq!(outcomes, [(runs, "cancelled".to_string()), (next, "succeeded".to_string())], "{}", ci.log());
    assert_eq!(cluster.jobs("PENDING,RUNNING"), [""; 0]);
    assert!(ci.letters().is_empty(), "{:?}", ci.letters());
    ci.assert_all_over();
}

#[test]
#[ignore = "second tier"]
fn a_partition_that_does_not_exist_is_an_error_after_three_tries() {
    let Some(cluster) = Cluster::start() else { return };
    let mut ci = cluster.installation("true");
    ci.set("AMP_CI_LAUNCHER", &LAUNCHER.replace("srun ", "srun --partition=nowhere "));
    let id = ci.push(&Push::to("amp_mgms", "main"));
    for _ in 0..2 {
        assert_eq!(code(&ci, 1), 1, "{}", ci.log());
        assert_eq!(ci.entries(), [format!("build-{id}")]);
        assert_eq!(told(&ci), ["operator@example.org"]);
    }
    assert!(ci.letters()[0].text.contains("invalid partition"), "{}", ci.letters()[0].text);
    assert_eq!(code(&ci, 1), 0, "{}", ci.log());
    let record = ci.record();
    assert_eq!(record.outcome(), "error");
    assert!(record.result["reason"].as_str().unwrap().contains("srun: error"), "{:?}", record.result);
    assert_eq!(told(&ci), ["bdwheele@example.org", "operator@example.org"]);
}

#[test]
#[ignore = "second tier"]
fn a_controller_restarted_in_mid_job_does_no_harm() {
    let Some(cluster) = Cluster::start() else { return };
    let (ci, _, mut build) =
        running(&cluster, "touch $NOTES/first; until [ -e $NOTES/go ]; do sleep 0.1; done; exit 7");
    cluster.does("halt", None);
    cluster.does("resume", None);
    wait_until("the controller answers", || !cluster.ask("sinfo", &["--noheader"]).is_empty());
    fs::write(cluster.path("notes/go"), "").unwrap();
    assert_eq!(build.wait(), 0, "{}", ci.log());
    assert_eq!(ci.record().result["rc"], 7);
    assert_eq!(ci.record().result["attempts"], 1);
}

#[test]
#[ignore = "second tier"]
fn a_verdict_comes_from_a_build_that_ends_while_the_controller_is_away() {
    let Some(cluster) = Cluster::start() else { return };
    let (ci, _, mut build) =
        running(&cluster, "touch $NOTES/first; until [ -e $NOTES/go ]; do sleep 0.1; done; exit 7");
    cluster.does("halt", None);
    fs::write(cluster.path("notes/go"), "").unwrap();
    assert_eq!(build.wait(), 0, "{}", ci.log());
    assert_eq!(ci.record().result["rc"], 7);
    assert_eq!(told(&ci), ["bdwheele@example.org"], "{}", ci.log());
}

#[test]
#[ignore = "second tier"]
fn a_controller_that_is_away_at_the_start_is_waited_for_by_the_next_builds() {
    let Some(cluster) = Cluster::start() else { return };
    let ci = cluster.installation("true");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    cluster.does("halt", None);
    assert_eq!(code(&ci, 1), 1, "{}", ci.log());
    assert_eq!(ci.entries(), [format!("build-{id}")], "{}", ci.log());
    cluster.does("resume", None);
    wait_until("the controller answers", || !cluster.ask("sinfo", &["--noheader"]).is_empty());
    is_put_back_and_built(&cluster, &ci, &id);
}

#[test]
#[ignore = "second tier"]
fn a_killed_build_takes_its_job_along_and_the_next_one_builds_it_again() {
    let Some(cluster) = Cluster::start() else { return };
    let (ci, id, mut build) = running(&cluster, FIRST_TRY_HANGS);
    build.signal("KILL");
    build.wait();
    wait_until("the job is gone", || cluster.jobs("RUNNING,PENDING").is_empty());
    assert_eq!(code(&ci, 1), 0, "{}", ci.log());
    assert_eq!(ci.record().id, id);
    assert_eq!(ci.record().result["attempts"], 2);
    assert_eq!(cluster.note("twice"), None, "never two at once");
    assert!(told(&ci).is_empty(), "the engine has not failed");
}

#[test]
#[ignore = "second tier"]
fn a_job_that_survived_its_host_s_crash_is_cancelled_by_name_before_it_is_built_again() {
    let Some(cluster) = Cluster::start() else { return };
    let (ci, id, mut build) = running(&cluster, FIRST_TRY_HANGS);
    crash(&ci, &mut build, &id);
    assert_eq!(cluster.jobs("RUNNING"), [format!("build-{id}")], "the job runs on");

    assert_eq!(code(&ci, 1), 0, "{}", ci.log());
    assert_eq!(ci.record().outcome(), "succeeded");
    assert_eq!(ci.record().result["attempts"], 2);
    assert_eq!(cluster.note("twice"), None, "never two at once");
    wait_until("no job is left", || cluster.jobs("RUNNING,PENDING,COMPLETING").is_empty());
}

#[test]
#[ignore = "second tier"]
fn a_job_on_a_node_that_does_not_answer_is_waited_for_before_it_is_built_again() {
    let Some(cluster) = Cluster::start() else { return };
    let conf = cluster.path("slurm.conf");
    let patient = fs::read_to_string(&conf).unwrap().replace("SlurmdTimeout=5", "SlurmdTimeout=300");
    fs::write(&conf, patient).unwrap();
    cluster.ask("scontrol", &["reconfigure"]);
    let ci = cluster.installation(FIRST_TRY_HANGS);
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let job = format!("build-{id}");
    let mut build = ci.start_build(1);
    wait_until("it runs", || cluster.note("first").is_some());
    crash(&ci, &mut build, &id);
    let node = cluster.node_of(&job);
    let slurmd = fs::read_to_string(cluster.path("run").join(format!("slurmd-{node}.pid"))).unwrap();
    let slurmd = slurmd.trim().parse().unwrap();
    signal_to("STOP", slurmd);

    let mut build = ci.start_build(1);
    wait_until("the job is cancelled", || cluster.jobs("COMPLETING") == [&*job]);
    // On the other node there is room for it meanwhile.
    for _ in 0..5 {
        cluster.ask("srun", &["-N1", "-n1", "true"]);
    }
    assert_eq!(cluster.jobs("RUNNING"), [""; 0], "{}", ci.log());
    signal_to("CONT", slurmd);
    assert_eq!(build.wait(), 0, "{}", ci.log());
    assert_eq!(ci.record().outcome(), "succeeded");
    assert_eq!(cluster.note("twice"), None, "never two at once");
}

#[test]
#[ignore = "second tier"]
fn being_told_to_stop_ends_jobs_that_run_and_jobs_that_wait_for_a_node() {
    let Some(cluster) = Cluster::start() else { return };
    let ci = cluster.installation("touch $NOTES/first; sleep 1000");
    ci.push(&Push::to("runs", "main"));
    ci.push(&Push::to("waits", "main"));
    let mut build = ci.start_build(1);
    wait_until("one runs", || cluster.note("first").is_some());
    build.signal("TERM");
    assert_eq!(build.wait(), 128 + 15);
    wait_until("its job is gone", || cluster.jobs("RUNNING,COMPLETING").is_empty());

    cluster.ask("scontrol", &["update", "NodeName=n1,n2", "State=DRAIN", "Reason=test"]);
    let mut build = ci.start_build(2);
    wait_until("both wait for a node", || cluster.jobs("PENDING").len() == 2);
    build.signal("TERM");
    assert_eq!(build.wait(), 128 + 15);
    wait_until("no job is left", || cluster.jobs("PENDING,RUNNING").is_empty());
    assert_eq!(ci.entries().len(), 2);
    assert!(ci.entries().iter().all(|entry| !entry.ends_with(".lock")), "{:?}", ci.entries());
    assert!(told(&ci).is_empty());
}

#[test]
#[ignore = "second tier"]
fn a_node_that_does_not_see_the_work_directory_is_named() {
    let Some(cluster) = Cluster::start() else { return };
    for node in ["n1", "n2"] {
        cluster.does("blind", Some(node));
    }
    wait_until("both are back", || {
        cluster.ask("sinfo", &["--noheader", "--Node", "--states=idle", "--format=%N"]).lines().count() == 2
    });
    let ci = cluster.installation("true");
    ci.push(&Push::to("amp_mgms", "main"));
    for expected in [1, 1, 0] {
        assert_eq!(code(&ci, 1), expected, "{}", ci.log());
    }
    let record = ci.record();
    assert_eq!(record.outcome(), "error");
    let reason = record.result["reason"].as_str().unwrap();
    assert!(reason.contains("AMP_CI_WORK_DIR has to be on a file system that every node sees"), "{reason}");
    let operators = ci.letters().into_iter().find(|letter| letter.to == "operator@example.org").unwrap();
    assert!(operators.text.contains("AMP_CI_WORK_DIR"), "{}", operators.text);
}

#[test]
#[ignore = "second tier"]
fn two_hundred_builds_fifty_at_a_time_lose_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let ci = cluster.installation("echo I am {repository}");
    for number in 0..200 {
        ci.push(&Push::to(&format!("repository-{number}"), "main"));
    }
    // On a machine that is short of time Slurm itself fails one now and then; cron's next one tries again.
    for _ in 0..10 {
        if code(&ci, 50) == 0 {
            break;
        }
    }

    let records = ci.records();
    assert_eq!(records.len(), 200, "{}", ci.log());
    for record in records {
        let repository = record.request["repository"].as_str().unwrap();
        assert_eq!(record.outcome(), "succeeded", "{repository}");
        assert!(record.output().contains(&format!("\nI am {repository}\n")), "{}", record.output());
    }
    assert!(ci.entries().is_empty());
    assert!(
        ci.letters().iter().all(|letter| letter.to == "operator@example.org"),
        "no committer hears of a success"
    );
}

#[test]
#[ignore = "second tier"]
fn builds_of_one_branch_run_one_after_the_other_wherever_they_run() {
    let Some(cluster) = Cluster::start() else { return };
    // The first ones of both repositories wait for each other, so that both nodes have work.
    let ci = cluster.installation(
        "touch $NOTES/{repository}; until [ -e $NOTES/left ] && [ -e $NOTES/right ]; do sleep 0.05; done
        exec 9>>$NOTES/lock-{repository}
        flock --nonblock 9 || echo two at once >$NOTES/twice
        echo $AMP_CI_BUILD_ID >>$NOTES/order-{repository}
        echo on $SLURMD_NODENAME",
    );
    for _ in 0..5 {
        ci.push(&Push::to("left", "main"));
        ci.push(&Push::to("right", "main"));
    }
    assert_eq!(code(&ci, 10), 0, "{}", ci.log());

    assert_eq!(cluster.note("twice"), None);
    for repository in ["left", "right"] {
        let order = cluster.note(&format!("order-{repository}")).unwrap();
        let order: Vec<&str> = order.lines().collect();
        assert!(order.is_sorted() && order.len() == 5, "{order:?}");
    }
    let node = |output: &str| output.lines().find_map(|line| line.strip_prefix("on ")).unwrap().to_string();
    let nodes: BTreeSet<String> = ci.records().iter().map(|record| node(&record.output())).collect();
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["n1", "n2"]);
}

#[test]
#[ignore = "second tier"]
fn nothing_secret_reaches_the_node() {
    let Some(cluster) = Cluster::start() else { return };
    let mut ci =
        cluster.installation("env; tr '\\0' '\\n' </proc/$PPID/cmdline; tr '\\0' '\\n' </proc/$PPID/environ");
    ci.set("SECRET", "geheim").set("SECRET_OLD", "geheim").set("JAVA_HOME", "/opt/java");
    ci.set("AMP_CI_MAIL_FALLBACK", "geheim@example.org");
    ci.push(&Push::to("amp_mgms", "main"));
    assert_eq!(code(&ci, 1), 0, "{}", ci.log());
    let output = ci.record().output();
    assert!(output.contains("\nJAVA_HOME=/opt/java\n") && output.contains("\nSLURM_JOB_ID="), "{output}");
    assert!(!output.contains("geheim") && !output.contains("AMP_CI_SMTP_URL"), "{output}");
}

/// The nearest ancestor with this name.
fn ancestor_named(pid: i32, name: &str) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field =
        |field: &str| status.lines().find_map(|line| Some(line.strip_prefix(field)?.trim().to_string()));
    if field("Name:")? == name {
        return Some(pid);
    }
    ancestor_named(field("PPid:")?.parse().ok().filter(|parent| *parent > 1)?, name)
}

#[test]
fn a_build_on_a_node_that_sees_the_mirror_clones_from_it() {
    let Some(cluster) = Cluster::start() else { return };
    let forge = Repositories::new();
    let mut ci = cluster.installation("true");
    ci.set("AMP_CI_GIT_BASE", &forge.base());
    for chunk in ["checkout_repos", "build_packages"] {
        ci.chunk(chunk, &fs::read_to_string(shipped_chunks().join(chunk)).unwrap());
    }
    fs::create_dir(ci.path("mirrors")).unwrap();
    let mut push = Push::to("amp_mgms", "main");
    push.commit = forge.commit("amp_mgms", &[("content", "x")]);
    ci.push(&push);
    assert_eq!(code(&ci, 1), 0, "{}", ci.log());
    let output = ci.record().output();
    assert_eq!(ci.record().outcome(), "succeeded", "{output}");
    assert!(output.contains("\ncontent: x\n"), "{output}");
    assert!(!output.contains("+ from_forge forge_has_all_but_ours"), "{output}");
}
