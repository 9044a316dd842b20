//! A build's output on disk: bytes as they come, and past a limit only its head and its tail.
//!
//! The file can be read at any time. While it is within the limit it simply grows. Past that it is let grow
//! by as much again as its tail may hold, and then the tail is moved down behind the head, with a line
//! between them that counts what is left out: constant memory, bounded space, each byte moved once at most,
//! on any file system.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{error_chain::at, regular_file};

/// What is moved at a time, and the least that the file grows between two moves.
const STEP: u64 = 256 << 10;

/// `output.log` while it is written.
#[derive(Debug)]
pub struct OutputLog {
    file: Arc<File>,
    path: PathBuf,
    limit: u64,
    /// Bytes of the head: a quarter of the limit.
    head: u64,
    /// Bytes in the file.
    length: u64,
    /// Bytes that ever came.
    total: u64,
}

impl OutputLog {
    /// A new, empty file; an older one of an earlier try goes.
    pub fn create(path: &Path, limit: u64) -> io::Result<Self> {
        let file = Arc::new(regular_file::create(path, 0o640)?);
        Ok(Self { file, path: path.to_path_buf(), limit, head: limit / 4, length: 0, total: 0 })
    }

    /// The file itself: what is in it can be read also when its name is gone.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Appends what came.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length).map_err(self.failed())?;
        self.length += bytes.len() as u64;
        self.total += bytes.len() as u64;
        if self.length > self.limit + (self.limit - self.head).max(STEP) {
            self.leave_out()?;
        }
        Ok(())
    }

    /// Everything has come: the file gets its final form and is on the disk.
    pub fn finish(mut self) -> io::Result<()> {
        if self.total > self.limit {
            self.leave_out()?;
        }
        self.file.sync_data().map_err(self.failed())
    }

    /// Brings the file down to its limit: head, the line, tail.
    fn leave_out(&mut self) -> io::Result<()> {
        self.move_tail().map_err(self.failed())
    }

    fn move_tail(&mut self) -> io::Result<()> {
        // The line's own length depends on the number in it by a few digits; the tail gives way.
        let room = self.limit - self.head;
        let tail = room.saturating_sub(left_out_line(self.total).len() as u64);
        let line = left_out_line(self.total - self.head - tail);
        let mut from = self.length - tail;
        let mut to = self.head + line.len() as u64;
        let mut step = vec![0; usize::try_from(STEP.min(tail)).unwrap_or(0)];
        while from < self.length {
            let read = self.file.read_at(&mut step, from)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.file.write_all_at(&step[..read], to)?;
            from += read as u64;
            to += read as u64;
        }
        self.file.write_all_at(line.as_bytes(), self.head)?;
        self.file.set_len(to)?;
        self.length = to;
        Ok(())
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> io::Error {
        at(format!("cannot write {}", self.path.display()))
    }
}

fn left_out_line(bytes: u64) -> String {
    format!("\n[amp_ci: {bytes} bytes of output are left out here]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `total` bytes in pieces and returns what was sent and what is in the file.
    fn written(total: usize, piece: usize, limit: u64) -> (Vec<u8>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output.log");
        let sent: Vec<u8> = (0..total).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
        let mut log = OutputLog::create(&path, limit).unwrap();
        for piece in sent.chunks(piece) {
            log.write(piece).unwrap();
            assert!(
                path.metadata().unwrap().len() <= 2 * limit + STEP + piece.len() as u64,
                "it is bounded while it grows"
            );
        }
        log.finish().unwrap();
        (sent, fs_err::read(path).unwrap())
    }

    #[test]
    fn up_to_the_limit_every_byte_is_kept() {
        for total in [0, 1, 9_999, 10_000] {
            let (sent, kept) = written(total, 777, 10_000);
            assert!(sent == kept, "{total}");
        }
    }

    #[test]
    fn past_it_the_head_a_counting_line_and_the_tail_are_kept() {
        for (total, piece, limit) in
            [(10_001, 1000, 10_000), (3_000_000, 65_536, 10_000), (5_000_000, 4_000_000, 1 << 20)]
        {
            let (sent, kept) = written(total, piece, limit);
            let head = usize::try_from(limit / 4).unwrap();
            assert!(
                kept.len() as u64 <= limit && kept.len() as u64 + 16 > limit,
                "{} of {limit}",
                kept.len()
            );
            assert!(kept[..head] == sent[..head]);
            let rest = String::from_utf8(kept[head..].to_vec()).unwrap();
            let (line, tail) = rest
                .strip_prefix("\n[amp_ci: ")
                .unwrap()
                .split_once(" bytes of output are left out here]\n")
                .unwrap();
            assert!(sent.ends_with(tail.as_bytes()));
            assert_eq!(line.parse::<usize>().unwrap() + head + tail.len(), total);
        }
    }

    #[test]
    fn a_limit_too_small_for_anything_keeps_the_count() {
        let (_, kept) = written(1_000_000, 65_536, 1);
        assert_eq!(
            String::from_utf8(kept).unwrap(),
            "\n[amp_ci: 1000000 bytes of output are left out here]\n"
        );
    }
}
