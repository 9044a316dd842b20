//! A build's output as it is on the disk: `builds/ID/output.log`.
//!
//! It grows, and past its limit it shrinks: what lies between its head and its tail is left out, and the tail moves
//! up. So an offset is good only as long as the file has not become shorter.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::folder::Folder;
use crate::{home::Home, queue::EntryId, records::RunningAttempt};

/// The name of the file.
const FILE_NAME: &str = "output.log";

/// What is read at a time.
const STEP: usize = 64 << 10;

/// So much is compared to tell whether a file is still the one that was read.
const KNOWN: usize = 64;

/// An output, opened; what is written to it later is seen too.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// Of which try it is.
    attempt: Option<u32>,
}

impl Output {
    /// Opens it. That there is none is an error of the kind `NotFound`.
    pub fn open(home: &Home, id: &EntryId) -> io::Result<Self> {
        let record = Folder::open(&home.builds())?.folder(id.as_str())?;
        let attempt = record.json::<RunningAttempt>("running.json").value().map(|attempt| attempt.attempt);
        Ok(Self { file: record.file(FILE_NAME)?, attempt })
    }

    /// The number of the try that it belongs to, while one runs.
    pub fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// How long it is now.
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What is there from `offset` on, at most `most` bytes.
    pub fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut filled = 0;
        while filled < most {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Where the last `lines` lines begin. One that has no end yet is a line.
    pub fn start_of_last(&self, lines: usize) -> io::Result<u64> {
        let mut end = self.len()?;
        if lines == 0 {
            return Ok(end);
        }
        let mut wanted = lines;
        // The newline that ends the last line begins no other.
        let mut is_last = true;
        while end > 0 {
            let start = end.saturating_sub(STEP as u64);
            let bytes = self.read_at(start, usize::try_from(end - start).unwrap_or(STEP))?;
            for position in memchr::memrchr_iter(b'\n', &bytes) {
                if std::mem::take(&mut is_last) && position + 1 == bytes.len() {
                    continue;
                }
                wanted -= 1;
                if wanted == 0 {
                    return Ok(start + position as u64 + 1);
                }
            }
            is_last = false;
            end = start;
        }
        Ok(0)
    }
}

/// Reads an output as it grows, over what shrinks it.
#[derive(Debug)]
pub struct Follower {
    output: Output,
    offset: u64,
    /// What stood before the offset: if that is another text now, the file has shrunk and grown again.
    known: Vec<u8>,
}

/// What a follower meets.
#[derive(Debug, PartialEq, Eq)]
pub enum Followed {
    /// What has been added.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The file has become shorter: something is left out here, and it goes on near the end of what there is.
    Shrunk,
    /// Another try has begun, from the start.
    Again,
}

impl Follower {
    /// Begins at this offset.
    pub fn new(output: Output, offset: u64) -> Self {
        Self { output, offset, known: Vec::new() }
    }

    /// How far it has come.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks once.
    pub fn next(&mut self, home: &Home, id: &EntryId) -> io::Result<Followed> {
        let length = self.output.len()?;
        let before = self.offset - self.known.len() as u64;
        let mut bytes = self.output.read_at(before, self.known.len() + STEP)?;
        if length < self.offset || !bytes.starts_with(&self.known) {
            self.known.clear();
            let now = Output::open(home, id)?;
            let is_other = now.attempt.is_some() && now.attempt != self.output.attempt;
            self.offset = if is_other { 0 } else { now.start_of_last(10)? };
            self.output = now;
            return Ok(if is_other { Followed::Again } else { Followed::Shrunk });
        }
        let new = bytes.split_off(self.known.len());
        if new.is_empty() {
            return Ok(Followed::Nothing);
        }
        self.offset += new.len() as u64;
        self.known = new[new.len().saturating_sub(KNOWN)..].to_vec();
        Ok(Followed::Bytes(new))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn output(text: &str) -> Output {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Output { file, attempt: None }
    }

    #[test]
    fn the_last_lines_are_found_however_the_text_ends() {
        for (text, lines, last) in [
            ("", 3, ""),
            ("a", 1, "a"),
            ("a\n", 1, "a\n"),
            ("a\nb", 1, "b"),
            ("a\nb\n", 1, "b\n"),
            ("a\nb\n\n", 1, "\n"),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\n", 0, ""),
        ] {
            let output = output(text);
            let start = output.start_of_last(lines).unwrap();
            assert_eq!(output.read_at(start, 100).unwrap(), last.as_bytes(), "{text:?} {lines}");
        }
    }

    #[test]
    fn lines_are_found_across_the_blocks_that_are_read() {
        let text = "x".repeat(STEP - 1) + "\n" + &"y".repeat(2 * STEP) + "\nz\n";
        let output = output(&text);
        assert_eq!(output.start_of_last(1).unwrap(), text.len() as u64 - 2);
        assert_eq!(output.start_of_last(2).unwrap(), STEP as u64);
        assert_eq!(output.start_of_last(3).unwrap(), 0);
    }
}
