//! `queue_build`: see the library's `queue`.

use std::process::ExitCode;

fn main() -> ExitCode {
    amp_ci::queue_build::run()
}
