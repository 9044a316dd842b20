//! Whoever may only read sees that `build` lives: `queue/drain.json`.

use std::{fs, os::unix::fs::MetadataExt};

use serde_json::Value;

use crate::support::{
    installation::{Installation, Push},
    wait::wait_until,
};

fn said(ci: &Installation) -> Value {
    serde_json::from_slice(&fs::read(ci.path("queue/drain.json")).unwrap()).unwrap()
}

#[test]
fn the_drain_says_that_it_lives_what_troubles_it_and_that_it_is_over() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true").chunk("build_packages", &ci.stop_at("work"));
    ci.push(&Push::to("repo", "main"));
    let mut build = ci.start_build(3);
    ci.wait_at("work");
    let running = said(&ci);
    assert_eq!(running["pid"], build.pid());
    assert_eq!(running["threads"], 3);
    assert_eq!(running["ended"], Value::Null);
    assert_eq!(running["min_free"], 100 << 20);
    assert_eq!(fs::metadata(ci.path("queue/drain.json")).unwrap().mode() & 0o777, 0o640);
    // Met while the other one runs: seen at once.
    fs::write(ci.path("queue/bad"), "in the way").unwrap();
    ci.entry("1700000000.1", "[]");
    wait_until("the trouble is told", || {
        said(&ci)["troubles"].as_array().is_some_and(|told| !told.is_empty())
    });
    fs::remove_file(ci.path("queue/bad")).unwrap();
    ci.let_go("work");
    build.wait();
    assert!(said(&ci)["ended"].is_string());
}
