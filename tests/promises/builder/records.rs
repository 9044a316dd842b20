//! Records: what is found in `builds/<id>/` while a build runs and when it is over, and for how long.

use std::{
    fs,
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::support::{
    files::names,
    installation::{Installation, Push},
    wait::wait_until,
};

/// `2026-11-22T11:14:05.596Z`
fn is_time(value: &Value) -> bool {
    let shape: String =
        value.as_str().unwrap().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

#[test]
fn a_finished_build_leaves_four_files_and_an_exact_result() {
    let ci = Installation::building("exit 3");
    let push = Push::to("r", "main");
    let id = ci.push(&push);
    let entry = fs::read(ci.path(&format!("queue/build-{id}"))).unwrap();
    ci.build(1);

    let record = ci.record();
    assert_eq!(names(&record.dir), ["build.sh", "output.log", "request.json", "result.json"]);
    assert_eq!(fs::read(record.dir.join("request.json")).unwrap(), entry, "byte for byte");
    let text = fs::read_to_string(record.dir.join("result.json")).unwrap();
    let keys: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
    let host = record.result["host"].as_str().unwrap();
    let [started, finished] = [&record.result["started"], &record.result["finished"]];
    assert_eq!(
        keys,
        [
            "outcome",
            "failed",
            "rc",
            "reason",
            "started",
            started.as_str().unwrap(),
            "finished",
            finished.as_str().unwrap(),
            "seconds",
            "attempts",
            "host",
            host,
            "red_since",
            &id
        ]
    );
    assert!(text.starts_with(r#"{"outcome":"failed","rc":3,"reason":null,"started":""#), "{text}");
    assert!(is_time(started) && is_time(finished) && started.as_str() <= finished.as_str(), "{text}");
    assert!(record.result["seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(record.result["attempts"], 1);
}

#[test]
fn while_a_build_runs_its_record_says_so_and_its_output_can_be_followed() {
    let ci = Installation::building("true");
    ci.chunk(
        "checkout_repos",
        &format!("echo first words; pwd >{}/where; {}", ci.home().display(), ci.stop_at("here")),
    );
    let id = ci.push(&Push::to("r", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("here");
    let dir = ci.path("builds").join(&id);
    wait_until("its first words are in output.log", || {
        fs::read_to_string(dir.join("output.log")).is_ok_and(|output| output.contains("\nfirst words\n"))
    });
    let running: Value = serde_json::from_slice(&fs::read(dir.join("running.json")).unwrap()).unwrap();
    assert_eq!(running["attempt"], 1);
    assert_eq!(running["pid"], build.pid());
    assert!(is_time(&running["started"]) && running["host"].is_string(), "{running}");
    assert_eq!(running["workspace"], fs::read_to_string(ci.path("where")).unwrap().trim_end());
    let script = running["script_pid"].as_i64().expect("the process of the script");
    let command = fs::read_to_string(format!("/proc/{script}/cmdline")).unwrap();
    assert_eq!(command, format!("/bin/bash\0{}\0", dir.join("build.sh").canonicalize().unwrap().display()));
    assert!(!dir.join("result.json").exists());

    ci.let_go("here");
    assert_eq!(build.wait(), 0);
    assert!(!dir.join("running.json").exists());
}

#[test]
fn output_is_kept_byte_for_byte() {
    let ci = Installation::building(
        "{ set +x; } 2>/dev/null; printf 'a\\r\\n\\0\\xff\\x1b[31mb\\tno newline'; exit 1",
    );
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let output = fs::read(ci.record().dir.join("output.log")).unwrap();
    assert!(output.ends_with(b"a\r\n\0\xff\x1b[31mb\tno newline"), "{}", String::from_utf8_lossy(&output));
}

#[test]
fn past_its_limit_the_output_keeps_its_head_and_its_tail_around_a_line_that_counts() {
    let mut ci = Installation::building("{ set +x; } 2>/dev/null; seq 1000000");
    ci.set("AMP_CI_LOG_LIMIT", "64K").push(&Push::to("r", "main"));
    ci.build(1);
    let output = fs::read(ci.record().dir.join("output.log")).unwrap();
    assert!(output.len() <= 64 << 10, "{}", output.len());
    let (head, rest) = output.split_at(16 << 10);
    assert!(
        head.starts_with(b"+ echo") || head.starts_with(b"++ date"),
        "{}",
        String::from_utf8_lossy(&head[..40])
    );
    let rest = std::str::from_utf8(rest).unwrap();
    let (line, tail) = rest.strip_prefix('\n').expect(&rest[..60]).split_once('\n').unwrap();
    let left_out: usize = line
        .strip_prefix("[amp_ci: ")
        .and_then(|line| line.strip_suffix(" bytes of output are left out here]"))
        .expect(line)
        .parse()
        .unwrap();
    assert!(tail.contains("\n999999\n1000000\n") && tail.contains("\nSuccessful at "));
    let numbers: usize = (1..=1_000_000).map(|n: u32| n.to_string().len() + 1).sum();
    let all = head.len() + left_out + tail.len();
    assert!((numbers..numbers + 300).contains(&all), "{all} of {numbers} and a few lines");
}

#[test]
fn output_beyond_the_limit_takes_no_more_space_while_it_comes() {
    let mut ci = Installation::new();
    ci.set("AMP_CI_LOG_LIMIT", "64K");
    ci.chunk("checkout_repos", &format!("{{ set +x; }} 2>/dev/null; seq 1000000; {}", ci.stop_at("here")));
    ci.chunk("build_packages", "true");
    let id = ci.push(&Push::to("r", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("here");
    let path = ci.path("builds").join(id).join("output.log");
    wait_until("the last lines are there", || {
        fs::read(&path).is_ok_and(|output| output.ends_with(b"\n1000000\n"))
    });
    assert!(path.metadata().unwrap().len() < 1 << 20, "{}", path.metadata().unwrap().len());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\n[amp_ci: ") && text.contains("\n999\n"));
    ci.let_go("here");
    assert_eq!(build.wait(), 0);
}

#[test]
fn the_newest_are_kept_and_each_branch_s_last_success_and_last_failure() {
    let mut ci = Installation::building("[ \"$AMP_CI_COMMITTER_NAME\" = good ]");
    ci.set("AMP_CI_KEEP", "2");
    let push = |branch: &str, name: &str| ci.push(&Push::to("r", branch).by(name, ""));
    let mut ids: Vec<String> = Vec::new();
    for (branch, name) in [
        ("x", "good"),
        ("x", "good"),
        ("x", "bad"),
        ("x", "bad"),
        ("y", "good"),
        ("x", "good"),
        ("y", "good"),
        ("z", "good"),
    ] {
        ids.push(push(branch, name));
    }
    ci.build(1);
    let kept: Vec<String> = ci.records().into_iter().map(|record| record.id).collect();
    assert_eq!(
        kept,
        [&*ids[3], &ids[5], &ids[6], &ids[7]],
        "of x the last failure and success, the last of y, and z"
    );
    assert_eq!(names(&ci.path("builds")), kept, "of the others nothing");
}

#[test]
fn after_ninety_days_the_last_of_a_branch_go_too() {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_KEEP", "1");
    let old = ci.push(&Push::to("r", "old"));
    ci.build(1);
    let path = ci.path("builds").join(&old).join("result.json");
    let finished = ci.record().result["finished"].as_str().unwrap().to_string();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&finished, "2020-01-01T00:00:00.000Z")).unwrap();
    let new = ci.push(&Push::to("r", "new"));
    ci.build(1);
    assert_eq!(ci.record().id, new);
}

#[test]
fn what_cannot_be_removed_is_told_of_and_passed_and_what_was_put_aside_goes_after_ninety_days() {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_KEEP", "1");
    fs::create_dir(ci.path("builds")).unwrap();
    fs::write(ci.path("builds/.removed-1.1"), "no directory").unwrap();
    for (name, day) in [(".broken-2.2", "2020-01-01"), (".broken-3.3", "now")] {
        let dir = ci.path("builds").join(name);
        fs::create_dir_all(dir.join("result.json")).unwrap();
        assert!(Command::new("touch").args(["-d", day]).arg(dir).status().unwrap().success());
    }
    for _ in 0..3 {
        ci.push(&Push::to("r", "main"));
    }
    ci.build(1);
    let id = ci.record().id;
    assert_eq!(names(&ci.path("builds")), [".broken-3.3", ".removed-1.1", &*id]);
    assert!(ci.log().contains("an old record stays: "), "{}", ci.log());
}

#[test]
fn what_waits_or_runs_is_no_finished_build_and_stays() {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_KEEP", "0");
    fs::create_dir_all(ci.path("builds/5.5")).unwrap();
    fs::write(ci.path("builds/5.5/request.json"), Push::to("r", "main").json()).unwrap();
    fs::create_dir_all(ci.path("builds/mine")).unwrap();
    ci.chunk("checkout_repos_skipped", "true").push(&Push::to("r", "main"));
    ci.build(1);
    assert!(ci.path("builds/5.5").exists() && ci.path("builds/mine").exists());
}

#[test]
fn what_was_left_undone_after_the_result_was_recorded_is_done_by_the_next_build() {
    let ci = Installation::building("echo built >>$HOME_OF_TEST; exit 7");
    let mut ci = ci;
    let built = ci.path("built").display().to_string();
    ci.set("HOME_OF_TEST", &built);
    let id = ci.push(&Push::to("r", "main"));
    ci.build(1);
    let letter = ci.letter();

    // As if `build` had died right after it had written result.json.
    let record = ci.record();
    fs::copy(record.dir.join("request.json"), ci.path(&format!("queue/build-{id}.lock"))).unwrap();
    fs::write(record.dir.join("running.json"), "{}").unwrap();
    fs::remove_file(ci.path("mail").join(format!("{id}.eml"))).unwrap();
    ci.build(1);
    assert_eq!(fs::read_to_string(&built).unwrap(), "built\n", "it is not built again");
    assert_eq!(ci.letter().raw, letter.raw, "the letter is a function of the record");
    assert!(ci.entries().is_empty() && !record.dir.join("running.json").exists());
}

#[test]
fn a_build_that_takes_build_down_three_times_is_given_up_and_mailed() {
    let ci = Installation::building("true");
    ci.chunk("checkout_repos", &format!(
            "echo words; until grep -qx words {}/builds/$AMP_CI_BUILD_ID/output.log; do sleep 0.01; done\nkill -KILL $PPID; {}",
            ci.home().display(),
            ci.stop_at("never")
        ));
    let id = ci.push(&Push::to("r", "main"));
    for attempt in 1..=3 {
        assert_eq!(ci.start_build(1).wait(), -9);
        let running = fs::read(ci.path(&format!("builds/{id}/running.json"))).unwrap();
        let running: Value = serde_json::from_slice(&running).unwrap();
        assert_eq!(running["attempt"], attempt);
    }
    ci.build(1);
    let record = ci.record();
    assert_eq!((record.outcome(), &record.result["attempts"]), ("error", &3.into()));
    let stems: Vec<String> = ci.letters().into_iter().map(|letter| letter.stem).collect();
    assert_eq!(stems, [format!("{id}.ci"), id]);
    assert!(record.output().contains("\nwords\n"));
    assert!(names(&ci.path("work")).is_empty() && ci.entries().is_empty());
}

#[test]
fn leftover_workspaces_of_this_home_are_swept_and_others_are_not() {
    let ci = Installation::building("pwd");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let output = ci.record().output();
    let ours = output.lines().find(|line| line.contains("/amp_ci-")).unwrap();
    fs::create_dir_all(format!("{ours}/sub")).unwrap();
    let other = ci.path("work/amp_ci-00000000-5.5-abcdefgh");
    fs::create_dir_all(&other).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&other).unwrap().set_modified(hour_ago).unwrap();
    ci.build(1);
    assert_eq!(names(&ci.path("work")), ["amp_ci-00000000-5.5-abcdefgh"]);
}
