//! Builds of one lane run one at a time and in the order in which their pushes were accepted.

use std::{
    fs, thread,
    time::{Duration, SystemTime},
};

use crate::support::{
    installation::{Installation, Push},
    wait::wait_until,
};

/// Marks begin and end in the file of the lane.
fn marking() -> Installation {
    let ci = Installation::building("");
    let home = ci.home().display();
    ci.chunk(
        "build_packages",
        &format!(
            "lane={home}/lane-$AMP_CI_REPOSITORY; echo begin $AMP_CI_BUILD_ID >> $lane; echo begin {{repository}} >> {home}/all\n\
             sleep 0.05; echo end $AMP_CI_BUILD_ID >> $lane; echo end {{repository}} >> {home}/all"
        ),
    );
    ci
}

/// One after the other, in this order.
fn assert_in_order(ci: &Installation, repository: &str, ids: &[String]) {
    let marks = fs::read_to_string(ci.path(&format!("lane-{repository}"))).unwrap();
    let expected: Vec<_> = ids.iter().flat_map(|id| [format!("begin {id}"), format!("end {id}")]).collect();
    assert_eq!(marks.lines().collect::<Vec<_>>(), expected, "{repository}");
}

fn ran_together(ci: &Installation) -> bool {
    let all = fs::read_to_string(ci.path("all")).unwrap();
    let marks: Vec<_> = all.lines().collect();
    marks.windows(2).any(|pair| pair.iter().all(|mark| mark.starts_with("begin ")))
}

/// A name that lies ahead of the clock.
fn in_an_hour() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (now + Duration::from_secs(3600)).as_secs()
}

#[test]
fn four_threads_three_repositories_ten_pushes_each_and_a_clock_that_steps_back_by_an_hour() {
    let ci = marking();
    let repositories = ["a", "b", "c"];
    let mut accepted: Vec<Vec<String>> = vec![Vec::new(); 3];
    let mut build = None;
    for push in 0..10 {
        if push == 4 {
            // Names were given by a clock that was an hour ahead. Now it is right again.
            fs::write(ci.path("queue/.last"), format!("build-{}.999999990\n", in_an_hour())).unwrap();
            build = Some(ci.start_build(4));
        }
        for (repository, ids) in repositories.iter().zip(&mut accepted) {
            // master and main are one lane.
            ids.push(ci.push(&Push::to(repository, if push % 2 == 0 { "main" } else { "release/master" })));
        }
    }
    assert_eq!(build.unwrap().wait(), 0);
    for (repository, ids) in repositories.iter().zip(&accepted) {
        assert_in_order(&ci, repository, ids);
    }
    assert!(ran_together(&ci), "different lanes run together");
    assert_eq!(ci.records().len(), 30);
    ci.assert_all_over();
}

#[test]
fn pushes_at_the_same_moment_get_names_of_their_own_and_none_is_built_twice_or_lost() {
    let ci = marking();
    fs::write(ci.path("queue/.last"), format!("build-{}.000000000\n", in_an_hour())).unwrap();
    let ids: Vec<String> = thread::scope(|scope| {
        let pushing: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..5).map(|_| ci.push(&Push::to("a", "main"))).collect::<Vec<_>>()))
            .collect();
        pushing.into_iter().flat_map(|pushed| pushed.join().unwrap()).collect()
    });
    let mut sorted = ids;
    sorted.sort();
    let expected: Vec<_> = (1..=40).map(|n| format!("{}.{n:09}", in_an_hour())).collect();
    // The hour may have turned over to the next second meanwhile.
    assert_eq!(
        sorted.iter().map(|id| id.split_once('.').unwrap().1).collect::<Vec<_>>(),
        expected.iter().map(|id| id.split_once('.').unwrap().1).collect::<Vec<_>>()
    );
    assert_eq!(ci.build_to_its_end(4), 0);
    assert_in_order(&ci, "a", &sorted);
}

#[test]
fn when_the_last_name_is_lost_new_ones_go_past_all_that_was_ever_given() {
    for damage in ["", "build-", "build-5.x\n", "\0\0\0\0\n", "build-99999999999999999999999999.0\n"] {
        for place in ["queue/build-{}", "queue/build-{}.lock", "queue/bad/build-{}", "builds/{}"] {
            let ci = Installation::building("true");
            let greatest = format!("{}.5", in_an_hour());
            let path = ci.path(&place.replace("{}", &greatest));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
            if !damage.is_empty() {
                fs::write(ci.path("queue/.last"), damage).unwrap();
            }
            let id = ci.push(&Push::to("r", "main"));
            assert_eq!(
                id,
                format!("{}.500000001", greatest.split_once('.').unwrap().0),
                "{damage:?} {place}"
            );
        }
    }
}

#[test]
fn names_of_the_python_original_run_in_the_order_of_their_numbers() {
    let ci = marking();
    let ids = ["5.9", "1795346032.441044312", "1795346032.55", "1795346032.6", "11795346032.0"];
    for (number, id) in ids.iter().enumerate().rev() {
        ci.entry(id, &Push::to("a", "main").commit(number).json());
    }
    assert_eq!(ci.build_to_its_end(4), 0);
    assert_in_order(&ci, "a", &ids.map(str::to_string));
}

#[test]
fn a_push_that_arrives_while_build_runs_is_built_by_it() {
    let ci = Installation::building("");
    let home = ci.home().display();
    ci.chunk(
        "build_packages",
        &format!("echo $PPID >> {home}/parents; until [ -e {home}/go ]; do sleep 0.01; done"),
    );
    ci.push(&Push::to("a", "main"));
    let mut build = ci.start_build(2);
    wait_until("the first runs", || ci.path("parents").exists());
    let parents = || fs::read_to_string(ci.path("parents")).unwrap();
    ci.push(&Push::to("b", "main"));
    wait_until("the second runs beside it", || parents().lines().count() == 2);
    ci.push(&Push::to("b", "main"));
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0);
    assert_eq!(parents().lines().collect::<Vec<_>>(), vec![build.pid().to_string(); 3]);
}
