//! `scripts/after`: what the site does when a build is over.

use std::fs;

use crate::support::{
    files::{names, pid_in},
    installation::{Installation, Push},
    process::processes,
    wait::wait_until,
};

/// An installation with this script beside its chunks.
fn installation(build_packages: &str, after: &str) -> Installation {
    let ci = Installation::building(build_packages);
    ci.chunk("after", after);
    ci
}

fn intended(ci: &Installation) -> Vec<String> {
    names(&ci.path("outbox")).into_iter().filter(|name| name.ends_with(".after")).collect()
}

#[test]
fn it_is_told_what_came_of_each_build_and_runs_for_nothing_that_was_skipped() {
    let mut ci = installation(
        "[ $AMP_CI_BRANCH = main ]",
        "echo \"$AMP_CI_BUILD_ID $AMP_CI_REPOSITORY $AMP_CI_REF $AMP_CI_COMMITTER_EMAIL $AMP_CI_OUTCOME,$AMP_CI_RC $AMP_CI_BUILD_URL\" >>$TOLD
        [[ $AMP_CI_SECONDS =~ ^[0-9]+$ && -s $AMP_CI_LOG ]] && echo in $PWD: $(ls -A) && echo '{repository}'",
    );
    let told = ci.path("told").display().to_string();
    ci.set("TOLD", &told).set("AMP_CI_PAGE_URL", "https://ci.example.org");
    let good = ci.push(&Push::to("amp_mgms", "main"));
    let bad = ci.push(&Push::to("amp_mgms", "dev"));
    ci.build(1);
    fs::remove_file(ci.path("scripts/checkout_repos")).unwrap();
    fs::remove_file(ci.path("scripts/build_packages")).unwrap();
    ci.push(&Push::to("amp_mgms", "other"));
    ci.build(1);

    let line = |id: &str, branch: &str, came: &str| {
        format!(
            "{id} amp_mgms refs/heads/{branch} bdwheele@example.org {came} https://ci.example.org/builds/{id}\n"
        )
    };
    let expected = line(&good, "main", "succeeded,0") + &line(&bad, "dev", "failed,1");
    assert_eq!(fs::read_to_string(told).unwrap(), expected, "{}", ci.log());
    let said = fs::read_to_string(ci.path("builds").join(&good).join("after.log")).unwrap();
    assert!(said.starts_with(&format!("in {}/work/", ci.home().display())), "{said}");
    assert!(said.ends_with(": \n{repository}\n") || said.ends_with(":\n{repository}\n"), "{said}");
    assert!(!ci.log().contains("scripts/after"), "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn its_failure_is_a_line_in_the_log_and_its_output_is_masked() {
    let mut ci = installation("true", "set -x; curl --header \"Bearer $NTFY_TOKEN\" || exit 7");
    ci.set("NTFY_TOKEN", "tk_0123456789");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    assert_eq!(ci.record().outcome(), "succeeded");
    let log = ci.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("scripts/after")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].ends_with(&format!(
            "scripts/after of {id} failed with exit status: 7: see builds/{id}/after.log"
        ))
    );
    let said = fs::read_to_string(ci.record().dir.join("after.log")).unwrap();
    assert!(said.contains("'Bearer ***'") && !said.contains("tk_0123456789"), "{said}");
    assert!(ci.letters().is_empty());
    ci.assert_all_over();
}

#[test]
fn it_runs_for_one_build_at_a_time_and_what_it_leaves_is_ended() {
    let mut ci = installation(
        "true",
        "echo begin $AMP_CI_BUILD_ID >>$TOLD; setsid sleep 7774.5 & sleep 0.05; echo end $AMP_CI_BUILD_ID >>$TOLD",
    );
    let told = ci.path("told").display().to_string();
    ci.set("TOLD", &told);
    let ids: Vec<String> =
        ["a", "b", "c", "d"].iter().map(|branch| ci.push(&Push::to("amp_mgms", branch))).collect();
    ci.build(4);
    let told = fs::read_to_string(told).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2 * ids.len(), "{told}");
    for pair in lines.chunks(2) {
        assert_eq!(pair[0].strip_prefix("begin "), pair[1].strip_prefix("end "), "{told}");
    }
    assert_eq!(processes(|line| line.contains("7774.5")), [""; 0]);
}

#[test]
fn it_holds_up_no_build() {
    let ci = installation("true", "");
    ci.chunk("after", &format!("[ $AMP_CI_BRANCH = one ] || exit 0; {}", ci.stop_at("after")));
    ci.push(&Push::to("amp_mgms", "one"));
    let mut build = ci.start_build(1);
    ci.wait_at("after");
    ci.push(&Push::to("amp_mgms", "two"));
    wait_until("the other is built", || ci.records().len() == 2);
    ci.let_go("after");
    assert_eq!(build.wait(), 0);
    ci.assert_all_over();
}

#[test]
fn when_build_dies_the_next_one_ends_it_and_runs_it_again() {
    for signal in ["KILL", "TERM"] {
        let mut ci = installation("true", "echo $$ >>$TOLD; [ -e $TOLD.again ] || sleep 7775.5");
        let told = ci.path("told").display().to_string();
        ci.set("TOLD", &told);
        let id = ci.push(&Push::to("amp_mgms", "main"));
        let mut build = ci.start_build(1);
        pid_in(&ci.path("told"));
        build.signal(signal);
        assert_eq!(build.wait(), if signal == "KILL" { -9 } else { 143 });
        assert_eq!(intended(&ci), [format!("{id}.after")], "{signal}");
        assert_eq!(ci.record().outcome(), "succeeded");

        fs::write(ci.path("told.again"), "").unwrap();
        ci.build(1);
        let pids = fs::read_to_string(&told).unwrap();
        assert_eq!(pids.lines().count(), 2, "{signal}: {pids}");
        assert_eq!(processes(|line| line.contains("7775.5")), [""; 0], "{signal}: its first try is ended");
        ci.assert_all_over();
    }
}

#[test]
fn one_that_kills_build_is_begun_three_times_and_then_the_fallback_hears() {
    let ci = installation(
        "[ {repository} != bad ] || exit 3",
        "[ $AMP_CI_OUTCOME = succeeded ] || kill -9 $PPID; sleep 0.1",
    );
    let bad = ci.push(&Push::to("bad", "main").by("Ana", "ana@example.org"));
    for n in 0..3 {
        assert_eq!(ci.start_build(1).wait(), -9);
        assert!(intended(&ci).contains(&format!("{bad}.after")));
        // What comes meanwhile is built before it is begun again.
        ci.push(&Push::to(&format!("good{n}"), "main"));
    }
    ci.build(1);
    assert_eq!(intended(&ci), [""; 0]);
    let mut to: Vec<_> = ci.letters().into_iter().map(|letter| letter.to).collect();
    to.sort();
    assert_eq!(to, ["ana@example.org", "operator@example.org"], "{}", ci.log());
    assert_eq!(ci.records().len(), 4);
    assert!(ci.records().iter().all(|record| record.result["attempts"] == 1));
}

#[test]
#[ignore = "second tier"]
fn after_a_minute_it_is_ended() {
    let ci = installation("true", "sleep 7776.5");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    while build.is_over().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(ci.log().contains(&format!("scripts/after of {id} was ended after 60 s")), "{}", ci.log());
    ci.assert_all_over();
}

#[test]
fn what_a_build_makes_of_its_record_or_the_outbox_holds_keeps_no_other_from_being_told_of() {
    let mut ci = installation(
        "[ $AMP_CI_BRANCH = good ] || rm -rf $BUILDS/$AMP_CI_BUILD_ID",
        "echo $AMP_CI_BRANCH >>$TOLD",
    );
    let told = ci.path("told").display().to_string();
    let builds = ci.path("builds").display().to_string();
    ci.set("TOLD", &told).set("BUILDS", &builds);
    fs::create_dir_all(ci.path("outbox/1.000000001.after")).unwrap();
    fs::write(ci.path("outbox/1.000000002.after"), "no JSON").unwrap();
    ci.push(&Push::to("amp_mgms", "good"));
    ci.build_to_its_end(1);
    assert_eq!(fs::read_to_string(told).unwrap(), "good\n", "{}", ci.log());
    assert_eq!(intended(&ci), ["1.000000001.after"]);
}
