//! How a build behind a launcher tells us how it ended: engines' exit codes say too many things.
//!
//! A small run.sh runs build.sh where the engine put it, and prints a last line with a nonce of this try and
//! what came out. Without that line there is no verdict, whatever the engine's own exit code is.

use std::{collections::hash_map::RandomState, hash::BuildHasher, io, path::Path};

use crate::timeout::Timeout;

/// The copy of build.sh in the workspace, which is all that a node needs to see.
pub const SCRIPT: &str = ".amp_ci-build.sh";

/// No verdict is longer.
const LONGEST: usize = 200;

/// A token that no output contains by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// What run.sh said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// build.sh ended by itself: exit code, or minus the signal.
    Exited(i32),
    /// Its time was up.
    TimedOut(i32),
    /// The node of this name cannot see the workspace.
    Unseen(String),
}

impl Nonce {
    /// A new one. The hasher's keys are the system's random numbers.
    pub fn random() -> Self {
        let random = || RandomState::new().hash_one(std::process::id());
        Self(format!("amp_ci-{:016x}{:016x}", random(), random()))
    }
}

/// The text of run.sh. It does not depend on any file but the workspace's: the launcher gets it as an argument.
pub fn run_sh(nonce: &Nonce, workspace: &Path, limit: Timeout) -> String {
    let dir =
        shlex::try_quote(&workspace.to_string_lossy()).map(std::borrow::Cow::into_owned).unwrap_or_default();
    // In the foreground: a process group of its own would hide the build from engines that end a job by its group.
    let (limited, seconds) = match limit.0 {
        Some(limit) => {
            (format!("timeout --foreground --kill-after=10 {} ", limit.as_secs()), limit.as_secs())
        }
        None => (String::new(), u64::MAX >> 1),
    };
    format!(
        // One word or nothing: pasted behind `bash -c` without its quotes, a function is no command at all.
        "run() {{\n\
         exec 2>&1 </dev/null\n\
         say() {{ printf '\\n%s %s %s\\n' {nonce} \"$1\" \"$2\"; }}\n\
         cd {dir} && [ -r {SCRIPT} ] || {{ say unseen \"$(uname -n)\"; exit 125; }}\n\
         # What bash remarks when build.sh is killed is no output of build.sh.\n\
         exec 2>/dev/null\n\
         SECONDS=0\n\
         {limited}/bin/bash {SCRIPT} 2>&1\n\
         rc=$?\n\
         # Whoever ended it from outside may be about to end this script too: then there is no verdict.\n\
         case $rc in 129 | 130 | 137 | 143) sleep 1 ;; esac\n\
         case $rc in 124 | 137) if [ $SECONDS -ge {seconds} ]; then say late $rc; exit $rc; fi ;; esac\n\
         say exit $rc\n\
         exit $rc\n\
         }}\n\
         run\n",
        nonce = nonce.0,
    )
}

/// Takes the verdict out of a build's output on its way to `output.log`.
#[derive(Debug)]
pub struct Listener {
    start: Vec<u8>,
    /// What may be the start of a verdict.
    held: Vec<u8>,
    said: Option<Said>,
}

impl Listener {
    /// Listens for verdicts with this nonce.
    pub fn new(nonce: &Nonce) -> Self {
        Self { start: format!("\n{} ", nonce.0).into_bytes(), held: Vec::new(), said: None }
    }

    /// Has there been a verdict?
    pub fn has_heard(&self) -> bool {
        self.said.is_some()
    }

    /// Passes on what is output. After a verdict the build is over: nothing more is.
    pub fn hear(&mut self, bytes: &[u8], mut pass_on: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.said.is_some() {
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        loop {
            let at = position(&self.held, &self.start);
            pass_on(&self.held[..at])?;
            self.held.drain(..at);
            let Some(rest) = self.held.strip_prefix(&self.start[..]) else { return Ok(()) };
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => match parse(&rest[..end]) {
                    Some(said) => {
                        self.said = Some(said);
                        self.held.clear();
                        return Ok(());
                    }
                    None => self.pass_one(&mut pass_on)?,
                },
                None if rest.len() > LONGEST => self.pass_one(&mut pass_on)?,
                None => return Ok(()),
            }
        }
    }

    /// The output is over.
    pub fn finish(mut self, mut pass_on: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Option<Said>> {
        pass_on(&std::mem::take(&mut self.held))?;
        Ok(self.said)
    }

    /// What looked like a verdict is none.
    fn pass_one(&mut self, pass_on: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        pass_on(&self.held[..1])?;
        self.held.drain(..1);
        Ok(())
    }
}

/// Where `start` begins in `held`, or where it might begin if more came, or the end.
fn position(held: &[u8], start: &[u8]) -> usize {
    let mut from = 0;
    while let Some(newline) = held[from..].iter().position(|byte| *byte == start[0]) {
        let at = from + newline;
        let seen = &held[at..held.len().min(at + start.len())];
        if start.starts_with(seen) {
            return at;
        }
        from = at + 1;
    }
    held.len()
}

fn parse(text: &[u8]) -> Option<Said> {
    let (how, what) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    match how {
        "exit" => Some(Said::Exited(signed(what.parse().ok()?))),
        // `timeout` sends SIGTERM, and SIGKILL if that was not enough.
        "late" => Some(Said::TimedOut(if what == "137" { -9 } else { -15 })),
        "unseen" => Some(Said::Unseen(what.to_string())),
        _ => None,
    }
}

/// A shell shows signal n as 128 + n; Python, and our records, as -n.
fn signed(code: u8) -> i32 {
    match code {
        129..=192 => 128 - i32::from(code),
        code => i32::from(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn heard(pieces: &[&[u8]], nonce: &Nonce) -> (Vec<u8>, Option<Said>) {
        let mut out = Vec::new();
        let mut listener = Listener::new(nonce);
        for piece in pieces {
            listener
                .hear(piece, |bytes| {
                    out.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
        }
        let said = listener
            .finish(|bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        (out, said)
    }

    #[test]
    fn the_verdict_is_taken_out_however_the_output_is_cut() {
        let nonce = Nonce::random();
        let whole = format!("a\n\n\0b without newline\n{} exit 7\nlate words", nonce.0).into_bytes();
        for cut in 0..whole.len() {
            let (out, said) = heard(&[&whole[..cut], &whole[cut..]], &nonce);
            assert_eq!(said, Some(Said::Exited(7)), "cut at {cut}");
            assert_eq!(out, b"a\n\n\0b without newline");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(heard(&bytes, &nonce).1, Some(Said::Exited(7)));
    }

    #[test]
    fn without_the_nonce_nothing_is_a_verdict_and_every_byte_is_kept() {
        let nonce = Nonce::random();
        for text in [
            "",
            "\n",
            "\n\n",
            "x\namp_ci-0 exit 0\n",
            &format!("\n{} exit", nonce.0),
            &format!("\n{} exit x\n\n", nonce.0),
        ] {
            assert_eq!(heard(&[text.as_bytes()], &nonce), (text.as_bytes().to_vec(), None), "{text:?}");
        }
    }

    #[test]
    fn run_sh_says_how_build_sh_ended() {
        let dir = tempfile::tempdir().unwrap();
        let said = |build: &str, limit: Option<u64>, at: &Path| {
            fs_err::write(dir.path().join(SCRIPT), build).unwrap();
            let nonce = Nonce::random();
            let text = run_sh(&nonce, at, Timeout(limit.map(std::time::Duration::from_secs)));
            let output = Command::new("/bin/bash").args(["-c", &text]).output().unwrap();
            heard(&[&output.stdout], &nonce)
        };
        let said_here = |build: &str| said(build, Some(60), dir.path());
        assert_eq!(
            said_here("printf out; printf err >&2; exit 7"),
            (b"outerr".to_vec(), Some(Said::Exited(7)))
        );
        assert_eq!(said_here("exit 0").1, Some(Said::Exited(0)));
        assert_eq!(said_here("exit 255").1, Some(Said::Exited(255)));
        assert_eq!(said_here("exit 124").1, Some(Said::Exited(124)));
        assert_eq!(said_here("echo dying; kill -9 $$"), (b"dying\n".to_vec(), Some(Said::Exited(-9))));
        assert_eq!(said("exec sleep 100", Some(1), dir.path()).1, Some(Said::TimedOut(-15)));
        assert_eq!(said("exit 3", None, dir.path()).1, Some(Said::Exited(3)));
        assert!(matches!(said("exit 0", None, &dir.path().join("away")).1, Some(Said::Unseen(_))));
        // The directory is there, what belongs into it is not: another file system of the same name.
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(said("exit 0", None, empty.path()).1, Some(Said::Unseen(_))));
    }
}
