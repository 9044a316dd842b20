//! `statusd`: see the library's `status`.

use std::process::ExitCode;

fn main() -> ExitCode {
    amp_ci::statusd::run()
}
