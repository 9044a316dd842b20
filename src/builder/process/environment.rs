//! What a build inherits of our environment.

use std::{env, ffi::OsString};

use crate::git;

/// `build`'s own environment without secrets, settings, and what tells git of some repository: PATH, proxies, JAVA_HOME
/// and the like remain.
pub fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        let text = name.as_encoded_bytes();
        !text.starts_with(b"SECRET") && !text.starts_with(b"AMP_CI_") && !git::is_local(name)
    })
}
