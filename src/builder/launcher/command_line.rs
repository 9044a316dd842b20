//! A command line as people write it in a setting.

use std::{env, io, path::Path};

use crate::{program, text::printable};

/// A command line: split as a shell splits, nothing expanded, no shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// Splits `text`; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || printable(text);
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
