//! What a build inherits of our environment.

use std::{
    env,
    ffi::{OsStr, OsString},
    sync::LazyLock,
};

use crate::git;

/// `build`'s own environment without secrets, settings, and what tells git of some repository: PATH, proxies, JAVA_HOME
/// and the like remain.
pub fn inherited() -> impl Iterator<Item = (&'static OsStr, &'static OsStr)> {
    static INHERITED: LazyLock<Vec<(OsString, OsString)>> =
        LazyLock::new(|| env::vars_os().filter(|(name, _)| is_inherited(name)).collect());
    INHERITED.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
}

fn is_inherited(name: &OsStr) -> bool {
    let text = name.as_encoded_bytes();
    !text.starts_with(b"SECRET") && !text.starts_with(b"AMP_CI_") && !git::is_local(name)
}
