//! `build`: see the library's `builder`.

use std::process::ExitCode;

fn main() -> ExitCode {
    amp_ci::build::run()
}
