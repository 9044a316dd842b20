//! The whole tree of a build ends with it, wherever its processes went.

use std::fs;

use crate::support::{
    files::names,
    installation::{Installation, Push},
    wait::wait_until,
};

/// A function for chunks: becomes a process that sleeps for long under a name that the test finds.
fn sleeper(ci: &Installation) -> String {
    format!("sleeper() {{ exec -a {}/$1 sleep 1000; }}; export -f sleeper\n", ci.home().display())
}

/// An installation whose chunk `build_packages` is `text` after the definition of `sleeper`.
fn installation(text: &str) -> Installation {
    let ci = Installation::new();
    ci.chunk("checkout_repos", &sleeper(&ci));
    ci.chunk("build_packages", text);
    ci
}

/// Writes a program beside the home's files, for what does not fit into one line.
fn program(ci: &Installation, name: &str, text: &str) -> String {
    let path = ci.path(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Ways to leave something behind. `sleeper` is defined.
fn leftovers(ci: &Installation) -> Vec<(&'static str, String)> {
    // A new session at each step, and whoever made it goes: no group and no parent to hold it by.
    let hop = program(ci, "hop.sh", "sleep 0.01; setsid bash $0 & exit");
    // Many short-lived ones, in sessions of their own.
    let forks = program(ci, "forks.sh", "while :; do (setsid sleep 0.05 &) ; sleep 0.005; done");
    vec![
        ("background", "sleeper background & true".to_string()),
        ("session", "setsid bash -c 'sleeper session' & true".to_string()),
        ("double-fork", "(setsid bash -c 'sleeper double-fork' &) ; echo stdout stays open".to_string()),
        (
            "deaf",
            "(trap '' TERM HUP INT; setsid nohup bash -c 'sleeper deaf' > /dev/null 2>&1 &)".to_string(),
        ),
        (
            "tree",
            "setsid bash -c '(setsid bash -c \"sleeper tree-1\" &) ; sleeper tree-2 & wait' & true"
                .to_string(),
        ),
        (
            "no-environment",
            "setsid bash -c 'env -i bash -c \"exec -a $0/shed sleep 1000\" & wait' ".to_string()
                + &format!("{} & true", ci.home().display()),
        ),
        (
            "no-environment-no-parent",
            format!("(setsid env -i bash -c 'exec -a {}/bare sleep 1000' &) ; true", ci.home().display()),
        ),
        ("hop", format!("bash {hop} & true")),
        ("hop-bare", format!("(env -i PATH=$PATH bash {hop} &) ; true")),
        ("forks", format!("(setsid bash {forks} &) ; true")),
        ("forks-bare", format!("(setsid env -i PATH=$PATH bash {forks} &) ; true")),
        ("stopped", "(setsid bash -c 'kill -STOP $$; sleeper stopped' &) ; true".to_string()),
    ]
}

#[test]
fn a_build_is_over_when_its_script_ends_and_what_it_left_is_ended() {
    for threads in [1, 4] {
        let ci = installation("");
        let left = leftovers(&ci);
        ci.chunk(
            "build_packages",
            &format!("source {}/$AMP_CI_REPOSITORY.left; sleep 0.1", ci.home().display()),
        );
        for (name, text) in &left {
            fs::write(ci.path(&format!("{name}.left")), text).unwrap();
            ci.push(&Push::to(name, "main"));
        }
        assert_eq!(ci.build_to_its_end(threads), 0, "{}", ci.log());
        for record in ci.records() {
            assert_eq!(
                record.outcome(),
                "succeeded",
                "{}: {}",
                record.request["repository"],
                record.output()
            );
        }
        assert_eq!(ci.records().len(), left.len());
        ci.assert_all_over();
    }
}

#[test]
fn what_shed_its_mark_and_its_parent_does_not_outlive_the_builds_that_run() {
    let ci = installation("");
    let home = ci.home().display().to_string();
    ci.chunk(
        "build_packages",
        &format!(
            "if [ $AMP_CI_REPOSITORY = first ]; then\n\
               (setsid env -i bash -c 'echo $$ > {home}/pid.new; mv {home}/pid.new {home}/pid; exec -a {home}/bare sleep 1000' &)\n\
               until [ -e {home}/pid ]; do sleep 0.01; done\n\
             else\n\
               ! kill -0 $(cat {home}/pid)\n\
             fi"
        ),
    );
    ci.push(&Push::to("first", "main"));
    ci.push(&Push::to("second", "main"));
    assert_eq!(ci.build_to_its_end(1), 0);
    for record in ci.records() {
        assert_eq!(record.outcome(), "succeeded", "{}", record.output());
    }
    ci.assert_all_over();
}

#[test]
fn a_build_past_its_limit_is_ended_with_all_that_is_deaf_to_sigterm() {
    let mut ci = installation(
        "case $AMP_CI_REPOSITORY in\n\
         obedient) setsid sleep 1000 & sleep 1000;;\n\
         deaf) trap '' TERM; (setsid bash -c 'sleeper deaf' &); while :; do sleep 1; done;;\n\
         deaf-child) (trap '' TERM; sleeper deaf-child) & sleep 1000;;\n\
         session) setsid bash -c \"trap '' TERM; setsid bash -c 'sleeper session' & wait; sleep 1000\" & wait;;\n\
         last-words) trap 'echo last words; exit 7' TERM; sleep 1000 & wait;;\n\
         esac",
    );
    ci.set("AMP_CI_TIMEOUT", "1");
    for repository in ["obedient", "deaf", "deaf-child", "session", "last-words"] {
        ci.push(&Push::to(repository, "main"));
    }
    assert_eq!(ci.build_to_its_end(5), 0);
    let mut rcs = Vec::new();
    for record in ci.records() {
        let repository = record.request["repository"].as_str().unwrap().to_string();
        assert_eq!(record.outcome(), "timed_out", "{repository}");
        assert_eq!(record.result["reason"], "ended after its limit of 1s");
        if repository == "last-words" {
            assert!(record.output().contains("\nlast words\n"), "{}", record.output());
        }
        rcs.push((repository, record.result["rc"].as_i64().unwrap()));
    }
    let expected =
        [("obedient", -15), ("deaf", -9), ("deaf-child", -15), ("session", -15), ("last-words", 7)];
    assert_eq!(rcs, expected.map(|(name, rc)| (name.to_string(), rc)));
    ci.assert_all_over();
    assert_eq!(ci.letters().len(), 5);
}

#[test]
fn a_build_that_is_told_to_stop_puts_its_builds_back_and_it_costs_no_try() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let ci = installation(
            "setsid bash -c 'sleeper session' & touch ../../ready-$AMP_CI_REPOSITORY; sleep 1000",
        );
        let pushes = ["a", "b", "c"].map(|repository| ci.push(&Push::to(repository, "main")));
        let mut build = ci.start_build(2);
        wait_until("two builds run", || ci.path("ready-a").exists() && ci.path("ready-b").exists());
        build.signal(signal);
        assert_eq!(build.wait(), code);
        assert_eq!(ci.entries(), pushes.clone().map(|id| format!("build-{id}")), "in the queue again");
        assert_eq!(ci.living(), [""; 0]);
        assert_eq!(names(&ci.path("work")), [""; 0]);
        ci.chunk("build_packages", "true");
        ci.build(1);
        assert!(ci.records().iter().all(|record| record.result["attempts"] == 1), "{:?}", ci.records());
        ci.assert_all_over();
    }
}

#[test]
fn after_a_sigkill_the_next_build_ends_what_is_left_and_takes_the_entries_up_again() {
    let ci = installation("");
    let left = leftovers(&ci);
    // What shed mark and parent before build was killed is out of reach, as the README says.
    let reachable = left.iter().filter(|(name, _)| !name.ends_with("-bare") && !name.ends_with("-no-parent"));
    let mut pushes = Vec::new();
    for (name, text) in reachable {
        fs::write(ci.path(&format!("{name}.left")), text).unwrap();
        pushes.push(ci.push(&Push::to(name, "main")));
    }
    let home = ci.home().display();
    ci.chunk(
        "build_packages",
        &format!("source {home}/$AMP_CI_REPOSITORY.left\nsleep 0.3; touch {home}/$AMP_CI_REPOSITORY.ready; sleep 1000"),
    );
    let mut build = ci.start_build(pushes.len());
    wait_until("all have left something", || {
        names(ci.home()).iter().filter(|name| name.ends_with(".ready")).count() == pushes.len()
    });
    assert!(!ci.living().is_empty());
    build.signal("KILL");
    assert_eq!(build.wait(), -9);
    assert_eq!(ci.entries(), pushes.iter().map(|id| format!("build-{id}.lock")).collect::<Vec<_>>());

    ci.chunk("build_packages", &format!("ps -eo args | grep -E '^{home}/' && exit 1; true"));
    assert_eq!(ci.build_to_its_end(3), 0);
    for record in ci.records() {
        assert_eq!(record.outcome(), "succeeded", "{}", record.output());
        assert_eq!(record.result["attempts"], 2);
    }
    assert_eq!(
        ci.records().iter().map(|record| &record.id).collect::<Vec<_>>(),
        pushes.iter().collect::<Vec<_>>()
    );
    ci.assert_all_over();
}

#[test]
fn a_build_that_takes_build_down_with_it_is_tried_three_times_and_then_told_of() {
    let ci = installation("kill -KILL $PPID; sleep 1000");
    let id = ci.push(&Push::to("killer", "main"));
    for _ in 0..3 {
        assert_eq!(ci.build_to_its_end(1), -9);
        assert_eq!(ci.entries(), [format!("build-{id}.lock")]);
    }
    assert_eq!(ci.build_to_its_end(1), 0);
    let record = ci.record();
    assert_eq!((record.outcome(), &record.result["attempts"]), ("error", &3.into()));
    let letters: Vec<_> = ci.letters().into_iter().map(|letter| (letter.stem, letter.to)).collect();
    assert_eq!(
        letters,
        [(format!("{id}.ci"), "operator@example.org".to_string()), (id, "bdwheele@example.org".to_string())]
    );
    ci.assert_all_over();
}
