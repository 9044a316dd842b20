//! What a test needs of its machine. Where that is not there, it says that it is skipped; where a variable
//! `AMP_CI_REQUIRE_...` says that it must be there, it fails.

use std::{
    env, fs,
    io::{Write, stderr},
    os::unix::fs::MetadataExt,
    process::Command,
    thread,
};

/// Can a test run? If `missing` names something it cannot.
pub fn or_skip(variable: &str, missing: Option<&str>) -> bool {
    missing.inspect(|missing| skip(variable, missing)).is_none()
}

/// Says that a test is skipped and why.
pub fn skip(variable: &str, why: &str) {
    assert!(env::var_os(variable).is_none(), "{variable} is set, but {why}");
    // Past the harness, which shows nothing of a test that passes; in one piece, so that nothing gets between.
    let test = thread::current().name().unwrap_or_default().to_string();
    let line = format!("skipped {test}: {}\n", why.trim_end());
    let _ = stderr().write_all(line.as_bytes());
}

/// May files be given to others, and file systems be mounted?
pub fn root() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    or_skip("AMP_CI_REQUIRE_MOUNT", (!is_root).then_some("not root: nothing can be given to somebody else"))
}

/// May whoever runs the tests have name spaces of its own, as unshare(1) makes them?
pub fn may_unshare(flags: &[&str]) -> bool {
    let tried = Command::new("unshare").args(flags).arg("true").output();
    let works = tried.is_ok_and(|output| output.status.success());
    or_skip("AMP_CI_REQUIRE_BWRAP", (!works).then_some("there are no user name spaces here"))
}
