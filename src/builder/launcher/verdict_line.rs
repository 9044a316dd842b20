//! How a build behind a launcher tells us how it ended: engines' exit codes say too many things.
//!
//! A small run.sh runs build.sh where the engine put it, and prints a last line with a nonce of this try and
//! what came out. Without that line there is no verdict, whatever the engine's own exit code is.
//!
//! The nonce keeps output apart from verdicts, and can be read by whoever can list processes. So what makes a verdict of such a
//! line is a second one, which run.sh finds in the workspace and takes away before build.sh starts.

use std::{collections::hash_map::RandomState, fmt, hash::BuildHasher, io};

/// No verdict is longer: a chunk may have a long name.
const LONGEST: usize = 1200;

/// A token that no output contains by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// What a verdict line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerdictLine {
    /// build.sh ended by itself: exit code, or minus the signal.
    Exited(i32),
    /// It ended by itself with 0, in this chunk and before the last one.
    Early(String),
    /// Its time was up.
    TimedOut(i32),
    /// The node of this name cannot see the workspace.
    Unseen(String),
    /// The engine had it run a second time, on the node of this name.
    Again(String),
}

impl Nonce {
    /// A new one. The hasher's keys are the system's random numbers.
    pub fn random() -> Self {
        let random = || RandomState::new().hash_one(std::process::id());
        Self(format!("amp_ci-{:016x}{:016x}", random(), random()))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes the verdict out of a build's output on its way to `output.log`.
#[derive(Debug)]
pub struct VerdictReader {
    start: Vec<u8>,
    secret: Nonce,
    /// What may be the start of a verdict.
    held: Vec<u8>,
    line: Option<VerdictLine>,
}

impl VerdictReader {
    /// Takes lines with this nonce, and with this secret, for verdicts.
    pub fn new(nonce: &Nonce, secret: &Nonce) -> Self {
        Self {
            start: format!("\n{nonce} ").into_bytes(),
            secret: secret.clone(),
            held: Vec::new(),
            line: None,
        }
    }

    /// Has there been a verdict?
    pub fn has_verdict(&self) -> bool {
        self.line.is_some()
    }

    /// Passes on what is output. After a verdict the build is over: nothing more is.
    pub fn read(&mut self, bytes: &[u8], mut pass_on: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.line.is_some() {
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        loop {
            let at = position(&self.held, &self.start);
            pass_on(&self.held[..at])?;
            self.held.drain(..at);
            let Some(rest) = self.held.strip_prefix(&self.start[..]) else { return Ok(()) };
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => match self.parse(&rest[..end]) {
                    Some(line) => {
                        self.line = Some(line);
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
    pub fn finish(
        mut self,
        mut pass_on: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<VerdictLine>> {
        pass_on(&std::mem::take(&mut self.held))?;
        Ok(self.line)
    }

    fn parse(&self, text: &[u8]) -> Option<VerdictLine> {
        // A launcher may have given it a terminal, which ends lines in CR LF.
        let (how, what) = std::str::from_utf8(text).ok()?.trim_end_matches('\r').split_once(' ')?;
        let secretly = || what.strip_suffix(self.secret.0.as_str())?.strip_suffix(' ');
        match how {
            "exit" => Some(VerdictLine::Exited(signed(secretly()?.parse().ok()?))),
            "early" => Some(VerdictLine::Early(secretly()?.to_string())),
            // `timeout` sends SIGTERM, and SIGKILL if that was not enough.
            "late" => Some(VerdictLine::TimedOut(if secretly()? == "137" { -9 } else { -15 })),
            "unseen" => Some(VerdictLine::Unseen(what.to_string())),
            "again" => Some(VerdictLine::Again(what.to_string())),
            _ => None,
        }
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

    fn heard(pieces: &[&[u8]], nonce: &Nonce, secret: &Nonce) -> (Vec<u8>, Option<VerdictLine>) {
        let mut out = Vec::new();
        let mut reader = VerdictReader::new(nonce, secret);
        for piece in pieces {
            reader
                .read(piece, |bytes| {
                    out.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
        }
        let line = reader
            .finish(|bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        (out, line)
    }

    #[test]
    fn the_verdict_is_taken_out_however_the_output_is_cut() {
        let (nonce, secret) = (Nonce::random(), Nonce::random());
        let whole = format!("a\n\n\0b without newline\n{nonce} exit 7 {secret}\nlate words").into_bytes();
        for cut in 0..whole.len() {
            let (out, line) = heard(&[&whole[..cut], &whole[cut..]], &nonce, &secret);
            assert_eq!(line, Some(VerdictLine::Exited(7)), "cut at {cut}");
            assert_eq!(out, b"a\n\n\0b without newline");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(heard(&bytes, &nonce, &secret).1, Some(VerdictLine::Exited(7)));
    }

    #[test]
    fn a_verdict_through_terminals_is_understood() {
        let (nonce, secret) = (Nonce::random(), Nonce::random());
        for (said, line) in [
            (format!("exit 7 {secret}"), VerdictLine::Exited(7)),
            (format!("late 137 {secret}"), VerdictLine::TimedOut(-9)),
            ("unseen n1".to_string(), VerdictLine::Unseen("n1".to_string())),
            ("again n1".to_string(), VerdictLine::Again("n1".to_string())),
        ] {
            for end in ["\r\n", "\r\r\n"] {
                let text = format!("x\r\n{nonce} {said}{end}");
                assert_eq!(heard(&[text.as_bytes()], &nonce, &secret), (b"x\r".to_vec(), Some(line.clone())));
            }
        }
    }

    #[test]
    fn without_nonce_and_secret_nothing_is_a_verdict_and_every_byte_is_kept() {
        let (nonce, secret) = (Nonce::random(), Nonce::random());
        for text in [
            "",
            "\n",
            "\n\n",
            "x\namp_ci-0 exit 0\n",
            &format!("\n{nonce} exit"),
            &format!("\n{nonce} exit x\n\n"),
            &format!("\n{nonce} exit 0\n"),
            &format!("\n{nonce} exit 0 {nonce}\n"),
            &format!("\n{nonce} exit {secret}\n"),
            &format!("\n{secret} exit 0 {secret}\n"),
        ] {
            assert_eq!(
                heard(&[text.as_bytes()], &nonce, &secret),
                (text.as_bytes().to_vec(), None),
                "{text:?}"
            );
        }
    }
}
