//! Where a command's output goes: to who waits for it, and to the log.

use axum::body::Bytes;
use tokio::sync::mpsc::Sender;
use tracing::{info, warn};

use crate::webhook::{
    memory::{Held, Memory},
    request_id::RequestId,
};

/// Output kept of one command for its answer, if there is room for it.
pub const MOST_KEPT: usize = 64 << 20;

/// Output of one command that goes into the log in one piece.
pub const MOST_LOGGED: usize = 1 << 20;

/// A line of output that is logged as it comes is cut into pieces of this size.
const LONGEST_LINE: usize = 16 * 1024;

/// One command's output.
pub struct Output<'a> {
    id: &'a RequestId,
    memory: &'a Memory,
    /// Whole, for the answer or the log.
    kept: Option<Kept>,
    /// Begun, not ended: the last line so far, when lines are logged as they come.
    line: Option<Vec<u8>>,
    /// Piece by piece, for a client that reads along.
    client: Option<Client>,
}

struct Kept {
    bytes: Vec<u8>,
    most: usize,
    held: Option<Held>,
    full: bool,
}

struct Client {
    sender: Sender<Bytes>,
    /// Read and not yet taken by the client: until it is, nothing more is read.
    waiting: Option<Bytes>,
}

impl<'a> Output<'a> {
    pub fn new(
        id: &'a RequestId,
        memory: &'a Memory,
        keep: Option<usize>,
        log_live: bool,
        client: Option<Sender<Bytes>>,
    ) -> Self {
        Self {
            id,
            memory,
            kept: keep.map(|most| Kept { bytes: Vec::new(), most, held: None, full: false }),
            line: log_live.then(Vec::new),
            client: client.map(|sender| Client { sender, waiting: None }),
        }
    }

    /// Does anybody want it?
    pub fn is_wanted(&self) -> bool {
        self.kept.is_some() || self.line.is_some() || self.client.is_some()
    }

    /// May more be read now?
    pub fn has_room(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.waiting.is_none())
    }

    /// Takes what was read.
    pub fn take(&mut self, bytes: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.take(bytes, self.memory, self.id);
        }
        if let Some(line) = &mut self.line {
            for byte in bytes {
                if *byte == b'\n' || line.len() == LONGEST_LINE {
                    log_line(self.id, line);
                }
                if *byte != b'\n' {
                    line.push(*byte);
                }
            }
        }
        if let Some(client) = &mut self.client {
            client.waiting = Some(Bytes::copy_from_slice(bytes));
        }
    }

    /// Hands what waits to the client. Never ready when nothing waits; an error when the client has gone.
    pub async fn pass_on(&mut self) -> Result<(), ClientGone> {
        let Some(client) = &mut self.client else { return std::future::pending().await };
        if client.waiting.is_none() {
            client.sender.closed().await;
            return Err(ClientGone);
        }
        let room = client.sender.reserve().await.map_err(|_| ClientGone)?;
        if let Some(bytes) = client.waiting.take() {
            room.send(bytes);
        }
        Ok(())
    }

    /// Stops serving the client.
    pub fn drop_client(&mut self) {
        self.client = None;
    }

    /// What was kept, with what holds its room.
    pub fn finish(mut self) -> (Vec<u8>, Option<Held>) {
        if let Some(line) = self.line.as_mut().filter(|line| !line.is_empty()) {
            log_line(self.id, line);
        }
        self.kept.map(|kept| (kept.bytes, kept.held)).unwrap_or_default()
    }
}

/// Who read along no longer does.
#[derive(Debug)]
pub struct ClientGone;

impl Kept {
    /// Takes of `bytes` what there is room for, and nothing after it.
    fn take(&mut self, bytes: &[u8], memory: &Memory, id: &RequestId) {
        if self.full {
            return;
        }
        let wanted = (self.bytes.len() + bytes.len()).min(self.most);
        let have = self.held.as_ref().map_or(0, Held::bytes);
        if wanted > have {
            let more = memory.hold((wanted - have).max(have)).or_else(|| memory.hold(wanted - have));
            match (more, &mut self.held) {
                (Some(more), Some(held)) => held.and(more),
                (more, held) => *held = held.take().or(more),
            }
        }
        let room = wanted.min(self.held.as_ref().map_or(0, Held::bytes)) - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..room]);
        if room < bytes.len() {
            self.full = true;
            warn!(request = %id, "the output is more than is kept: it is cut after {} bytes", self.bytes.len());
        }
    }
}

fn log_line(id: &RequestId, line: &mut Vec<u8>) {
    info!(request = %id, "command output: {}", String::from_utf8_lossy(line));
    line.clear();
}
