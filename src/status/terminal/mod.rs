//! The faces in a terminal: `build status`, `build log`, `build wait`.
//!
//! Data go to stdout, words to stderr; whoever closes the pipe ends it quietly. Text from outside is shown so that it
//! can neither move the cursor nor begin a line.

mod failure;
mod log;
mod page;
mod plain;
mod status;
mod table;
mod wait;

pub use log::LogArguments;
pub use status::StatusArguments;
pub use wait::WaitArguments;

use failure::Failure;

use crate::home::Home;

/// `build status`: 0 CI is well, 1 it is not; with BUILD 0.
pub fn status(home: &Home, arguments: &StatusArguments) -> u8 {
    status::run(home, arguments).unwrap_or_else(Failure::exit_code)
}

/// `build log`: 0 it was shown; with `-f` as [`wait`].
pub fn log(home: &Home, arguments: &LogArguments) -> u8 {
    log::run(home, arguments).unwrap_or_else(Failure::exit_code)
}

/// `build wait`: 0 succeeded; 1 failed, timed out or error; 3 cancelled, superseded or skipped; 4 no such build; 5 it
/// could not be found out.
pub fn wait(home: &Home, arguments: &WaitArguments) -> u8 {
    wait::run(home, &arguments.build).unwrap_or_else(Failure::exit_code)
}
