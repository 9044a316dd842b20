//! What a test needs and a machine may lack.

use std::{
    env,
    io::{Write, stderr},
    thread,
};

/// If `missing` names something: says that this test is skipped and why, or fails where `required`, a variable of
/// the environment, forbids that. Returns whether the test can run.
pub fn or_skip(required: &str, missing: Option<&str>) -> bool {
    let Some(missing) = missing else { return true };
    assert!(env::var_os(required).is_none(), "{required} is set, and {missing}");
    // Past the harness, which shows nothing of a test that passes.
    let test = thread::current().name().unwrap_or("a test").to_string();
    let _ = writeln!(stderr(), "SKIPPED {test}: {missing}");
    false
}

/// The first of these programs that is not in PATH or /usr/sbin.
pub fn missing<'a>(programs: &[&'a str]) -> Option<&'a str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = env::split_paths(&path).collect();
    dirs.push("/usr/sbin".into());
    programs.iter().copied().find(|program| !dirs.iter().any(|dir| dir.join(program).is_file()))
}
