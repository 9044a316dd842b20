//! What stands in front of a build that runs on an engine, or behind walls: `AMP_CI_LAUNCHER`, and what
//! takes a job away again: `AMP_CI_LAUNCHER_CANCEL`.

use std::{
    env,
    io::{self, Read, Seek},
    path::Path,
    process::{Command, Stdio},
};

use super::{process, tree::Children};
use crate::{error_chain::at, program};

/// Seconds that a cancel command may take.
const CANCEL_LIMIT: &str = "60";

/// A command line: split as a shell splits, nothing expanded, no shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

/// The two commands of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// Runs what is appended to it, and ends when that ends.
    pub start: CommandLine,
    /// Takes away what a dead `build` may have left running.
    pub cancel: Option<CommandLine>,
}

impl CommandLine {
    /// Splits `text`; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || crate::text::printable(text);
        let words =
            shlex::split(text).ok_or_else(|| format!("'{}' has a quote that is not closed", shown()))?;
        match words.first() {
            None => Err(format!("'{}' has no word in it", shown())),
            // Builds run in directories of their own: from there it would be another one.
            Some(program) if program.contains('/') && !program.starts_with('/') => {
                Err(format!("'{}' begins neither with a name nor with an absolute path", shown()))
            }
            Some(_) => Ok(Self(words)),
        }
    }

    /// The words, with `{name}` and `{dir}` filled in wherever they stand.
    pub fn words<'a>(&'a self, name: &'a str, dir: &'a str) -> impl Iterator<Item = String> + 'a {
        self.0.iter().map(move |word| filled_in(word, name, dir))
    }

    /// Is the program there? An engine that is not installed is no failure of a build.
    pub fn look_up(&self) -> io::Result<()> {
        let name = Path::new(self.program());
        let found = if name.is_absolute() {
            program::check(name).is_ok()
        } else {
            program::find_in(&env::var_os("PATH").unwrap_or_default(), name).is_some()
        };
        let missing = || format!("{}: no such program in PATH", self.program());
        if found { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, missing())) }
    }

    /// The program.
    pub fn program(&self) -> &str {
        &self.0[0]
    }
}

/// In one pass: what is filled in is never looked at again.
fn filled_in(word: &str, name: &str, dir: &str) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, from_brace) = rest.split_at(at);
        let (becomes, after) = [("{name}", name), ("{dir}", dir)]
            .iter()
            .find_map(|(placeholder, becomes)| Some((*becomes, from_brace.strip_prefix(placeholder)?)))
            .unwrap_or_else(|| from_brace.split_at(1));
        filled.push_str(before);
        filled.push_str(becomes);
        rest = after;
    }
    filled + rest
}

impl Launcher {
    /// Takes away the job of this name, if there is a command for it. An error names what it said.
    pub fn cancel(&self, name: &str, dir: &Path, children: &Children) -> io::Result<()> {
        let Some(cancel) = &self.cancel else { return Ok(()) };
        let failed = |what: &str| io::Error::other(format!("`{}` {what}", cancel.program()));
        // A file, because whoever leaves something in the background would keep a pipe open.
        let mut said = tempfile::tempfile()?;
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", CANCEL_LIMIT])
            .args(cancel.words(name, &dir.to_string_lossy()))
            .env_clear()
            .envs(process::inherited_environment())
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?);
        let status =
            children.run(&mut command).map_err(at(format_args!("`{}` cannot be run", cancel.program())))?;
        if status.success() {
            return Ok(());
        }
        let mut words = Vec::new();
        said.rewind()?;
        said.take(4096).read_to_end(&mut words)?;
        let words = String::from_utf8_lossy(&words).trim().to_string();
        Err(failed(&match status.code() {
            Some(124) => format!("did not take {name} away within {CANCEL_LIMIT} s: {words}"),
            _ => format!("did not take {name} away ({status}): {words}"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_as_a_shell_splits_and_nothing_is_expanded() {
        let line =
            CommandLine::parse(r#"srun -N1 --job-name={name} --comment="a $HOME {dir}" 'x y' {dir}/{name}"#)
                .unwrap();
        let words: Vec<String> = line.words("build-1.2", "/w/{name}").collect();
        assert_eq!(
            words,
            [
                "srun",
                "-N1",
                "--job-name=build-1.2",
                "--comment=a $HOME /w/{name}",
                "x y",
                "/w/{name}/build-1.2"
            ]
        );
        assert_eq!(
            CommandLine::parse("a {b} {").unwrap().words("", "").collect::<Vec<_>>(),
            ["a", "{b}", "{"]
        );
        for bad in ["", "  ", "srun 'x", "./srun x", "{dir}/srun"] {
            assert!(CommandLine::parse(bad).is_err(), "{bad}");
        }
    }
}
