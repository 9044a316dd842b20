//! The faces in a terminal: `build status`, `build log`, `build wait`.
//!
//! Data go to stdout, words to stderr; whoever closes the pipe ends it quietly. Text from outside is shown so that it
//! can neither move the cursor nor begin a line.

mod log;
mod page;
mod plain;
mod status;
mod table;
mod wait;

use std::io::{self, ErrorKind};

use clap::Args;

use super::select::NoBuild;
use crate::home::Home;

/// What `build status` is given.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// All about one build: an id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    pub build: Option<String>,
    /// As JSON: the document that the page has at /status.json
    #[arg(long)]
    pub json: bool,
    /// Again whenever something changes, until it is interrupted
    #[arg(long)]
    pub watch: bool,
}

/// What `build log` is given.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// An id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    pub build: String,
    /// Follow it until the build is over, then exit as `wait` does
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines of what there is
    #[arg(long, value_name = "N")]
    pub lines: Option<usize>,
}

/// What `build wait` is given.
#[derive(Debug, Args)]
pub struct WaitArguments {
    /// An id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    pub build: String,
}

/// `build status`: 0 CI is well, 1 it is not; with BUILD 0.
pub fn status(home: &Home, arguments: &StatusArguments) -> u8 {
    ended(status::run(home, arguments))
}

/// `build log`: 0 it was shown; with `-f` as [`wait`].
pub fn log(home: &Home, arguments: &LogArguments) -> u8 {
    ended(log::run(home, arguments))
}

/// `build wait`: 0 succeeded; 1 failed, timed out or error; 3 cancelled, superseded or skipped; 4 no such build; 5 it
/// could not be found out.
pub fn wait(home: &Home, arguments: &WaitArguments) -> u8 {
    ended(wait::run(home, &arguments.build))
}

/// Why a verb ends early.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    NoBuild(#[from] NoBuild),
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn ended(result: Result<u8, Failed>) -> u8 {
    match result {
        Ok(code) => code,
        // Whoever read has seen enough.
        Err(Failed::Io(error)) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(Failed::NoBuild(error)) => {
            match std::error::Error::source(&error) {
                Some(source) => eprintln!("build: {error}: {source}"),
                None => eprintln!("build: {error}"),
            }
            error.exit_code()
        }
        Err(Failed::Io(error)) => {
            eprintln!("build: {}", crate::error_chain::in_full(&error));
            5
        }
    }
}
