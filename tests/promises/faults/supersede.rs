//! A storm of pushes where the newest wins, and `build` is killed at random in it.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
};

use super::storm::{Dice, setting};
use crate::support::{
    files::names,
    installation::{Installation, Push},
};

const PUSHES: usize = 200;

#[test]
#[ignore = "second tier"]
fn whenever_build_is_killed_each_branch_builds_forwards_up_to_its_newest_and_every_tag() {
    let seed = setting("AMP_CI_STORM_SEED", 20_261_122);
    eprintln!("AMP_CI_STORM_SEED={seed}");
    let mut dice = Dice(seed);
    let mut ci = Installation::building("echo {ref} $AMP_CI_BUILD_ID >>../../ran; sleep 0.0$((RANDOM % 5))");
    ci.set("AMP_CI_NEWEST_ONLY", "yes");
    let refs: Vec<String> = (0..5)
        .map(|branch| format!("refs/heads/b{branch}"))
        .chain((0..3).map(|tag| format!("refs/tags/v{tag}")))
        .collect();
    let (mut pushed, mut kills): (BTreeMap<&str, Vec<String>>, usize) = (BTreeMap::new(), 0);
    let mut build = ci.start_build(3);
    for _ in 0..PUSHES {
        let git_ref = dice.pick(&refs).unwrap();
        pushed.entry(git_ref).or_default().push(ci.push(&Push::to("amp_mgms", "x").git_ref(git_ref)));
        if dice.roll(8) == 0 {
            build.signal("KILL");
            kills += usize::from(build.wait() == -9);
        }
        if build.is_over().is_some() {
            build = ci.start_build(3);
        }
    }
    build.wait();
    assert_eq!(ci.build_to_its_end(3), 0, "{}", ci.log());
    ci.assert_all_over();
    assert!(names(&ci.path("queue/bad")).is_empty(), "{}", ci.log());

    let records = ci.records();
    assert_eq!(records.len(), PUSHES);
    let superseded: BTreeMap<&str, &str> = records
        .iter()
        .filter(|record| record.outcome() == "superseded")
        .map(|record| (record.id.as_str(), record.result["superseded_by"].as_str().unwrap()))
        .collect();
    let ran = fs::read_to_string(ci.path("ran")).unwrap();
    let began: Vec<(&str, &str)> = ran.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let mut interrupted = 0;
    for (git_ref, ids) in &pushed {
        let began: Vec<&str> = began.iter().filter(|(of, _)| of == git_ref).map(|(_, id)| *id).collect();
        assert!(began.is_sorted(), "{git_ref}: {began:?}");
        let began: HashSet<&str> = began.into_iter().collect();
        assert!(!superseded.contains_key(ids.last().unwrap().as_str()), "{git_ref}: its newest is built");
        for id in ids {
            let by = superseded.get(id.as_str());
            assert!(by.is_none() || git_ref.starts_with("refs/heads/"), "{id}: every tag is built");
            interrupted += usize::from(by.is_some() && began.contains(id.as_str()));
            assert!(
                by.is_none_or(|by| *by > id.as_str() && ids.iter().any(|other| other == by)),
                "{id}: {by:?}"
            );
        }
    }
    // What runs is superseded only if it waits again because `build` died: in each of three slots.
    assert!(interrupted <= 3 * kills, "{interrupted} ran and are superseded, {kills} kills");
    // Only what took `build` along three times comes to no verdict.
    for record in records.iter().filter(|record| !superseded.contains_key(record.id.as_str())) {
        let is_given_up = record.outcome() == "error" && record.result["attempts"] == 3;
        assert!(record.outcome() == "succeeded" || is_given_up, "{}: {}", record.id, record.result);
    }
    assert!(superseded.len() > 20 && kills > 5, "{} superseded, {kills} kills", superseded.len());
    eprintln!("{} superseded, {kills} kills", superseded.len());
}
