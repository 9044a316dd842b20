//! What people call `build`: the package's launcher, `amp-ci`, passes its own name on.

use std::{env, path::Path, sync::LazyLock};

static OWN_NAME: LazyLock<&str> = LazyLock::new(|| {
    let called = env::args_os().next().unwrap_or_default();
    if Path::new(&called).ends_with("amp-ci") { "amp-ci" } else { "build" }
});

/// `amp-ci` or `build`.
pub fn own_name() -> &'static str {
    &OWN_NAME
}
