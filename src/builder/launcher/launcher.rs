//! What stands in front of a build that runs on an engine, or behind walls: `AMP_CI_LAUNCHER`, and what
//! takes a job away again: `AMP_CI_LAUNCHER_CANCEL`.

use std::{
    io::{self, Read, Seek},
    path::Path,
    process::Stdio,
};

use super::command_line::CommandLine;
use crate::{
    builder::process::{environment, mask::Mask, supervisor::Supervisor},
    detached,
    error_chain::at,
};

/// Seconds that a cancel command may take.
const CANCEL_LIMIT: &str = "60";

/// So many bytes of what it says are shown.
const WORDS_SHOWN: u64 = 4096;

/// The two commands of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// Runs what is appended to it, and ends when that ends.
    pub start: CommandLine,
    /// Takes away what a dead `build` may have left running.
    pub cancel: Option<CommandLine>,
}

impl Launcher {
    /// Takes away the job of this name, if there is a command for it. An error names what it said, masked.
    pub fn cancel(&self, name: &str, dir: &Path, supervisor: &Supervisor, mask: &Mask) -> io::Result<()> {
        let Some(cancel) = &self.cancel else { return Ok(()) };
        let failed = |what: &str| io::Error::other(format!("`{}` {what}", cancel.program()));
        // A file, because whoever leaves something in the background would keep a pipe open.
        let mut said = tempfile::tempfile()?;
        let mut command = detached::command("timeout");
        command
            .args(["--kill-after=5", CANCEL_LIMIT])
            .args(cancel.words(name, &dir.to_string_lossy()))
            .env_clear()
            .envs(environment::inherited())
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?);
        let status =
            supervisor.run(&mut command).map_err(at(format_args!("`{}` cannot be run", cancel.program())))?;
        if status.success() {
            return Ok(());
        }
        said.rewind()?;
        let words = masked(said.take(WORDS_SHOWN), mask)?;
        let words = String::from_utf8_lossy(&words).trim().to_string();
        Err(failed(&match status.code() {
            Some(124) => format!("did not take {name} away within {CANCEL_LIMIT} s: {words}"),
            _ => format!("did not take {name} away ({status}): {words}"),
        }))
    }
}

/// Where it is cut, it ends before what may be the beginning of a secret.
fn masked(mut said: impl Read, mask: &Mask) -> io::Result<Vec<u8>> {
    let (mut words, mut shown) = (Vec::new(), Vec::new());
    said.read_to_end(&mut words)?;
    let mut keep = |bytes: &[u8]| {
        shown.extend_from_slice(bytes);
        Ok(())
    };
    let mut masked = mask.begin();
    masked.write(&words, &mut keep)?;
    if (words.len() as u64) < WORDS_SHOWN {
        masked.finish(&mut keep)?;
    }
    Ok(shown)
}
