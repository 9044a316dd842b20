//! The command line of `queue_build`: five arguments in, one durable queue entry out.

use std::{
    env,
    error::Error,
    ffi::OsString,
    io::{Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;

use super::{BuildRequest, enqueue};
use crate::home::Home;

/// Put a request to build one commit into the queue
///
/// Prints `queued build-<seconds>.<nanoseconds>` when the request is on the disk; cron's `build` takes it from
/// there. Five arguments are always the five values, whatever they look like; options go in front of them.
#[derive(Parser)]
#[command(
    name = "queue_build",
    version,
    allow_hyphen_values = true,
    after_help = "Exit codes: 0 queued; 1 it could not be stored, nothing is queued; 2 a bad argument.\n\n\
                  The home is --home DIR, else $AMP_CI_HOME, else the nearest directory above this program that \
                  holds both scripts/ and queue/."
)]
pub struct Arguments {
    /// The installation's directory
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(flatten)]
    request: BuildRequest,
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse_from(five_are_values(env::args_os().collect())) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let queued = Home::find(arguments.home.as_deref()).map_err(anyhow::Error::from).and_then(|home| {
        home.refuse_others()?;
        Ok(enqueue(&home, &arguments.request)?)
    });
    match queued {
        Ok(id) => {
            // Whether anybody reads this changes nothing about what is on the disk.
            let _ = writeln!(stdout(), "queued {}", id.waiting());
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Nor whether anybody reads this: the exit code says it too.
            let _ = writeln!(stderr(), "queue_build: not queued: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// In our own words where a value is wrong: clap would repeat it with whatever control characters are in it.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.source() {
        Some(invalid) => {
            let _ = writeln!(stderr(), "queue_build: {invalid}");
            ExitCode::from(2)
        }
        None => error.exit(),
    }
}

/// No payload can turn one of its values into an option.
fn five_are_values(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.len() == 6 {
        arguments.insert(1, OsString::from("--"));
    }
    arguments
}
