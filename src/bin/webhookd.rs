//! `webhookd`: waits for HTTP requests and runs the commands that a hooks file names for them.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use amp_ci::webhook::{self, NoOptions, Options};

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    match Options::read(&words) {
        Ok(options) => webhook::run(&options),
        Err(NoOptions::Help(text)) => {
            // Who has seen enough of it closes the pipe.
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(NoOptions::Usage(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}
