//! What a build inherits of our environment.

use std::{env, ffi::OsString};

/// `build`'s own environment without secrets and settings: PATH, proxies, JAVA_HOME and the like remain.
pub fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        let name = name.as_encoded_bytes();
        !name.starts_with(b"SECRET") && !name.starts_with(b"AMP_CI_")
    })
}
