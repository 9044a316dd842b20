//! Where a command's output goes: to who waits for it, and to the log.

use std::future::pending;

use hyper::body::Bytes;
use tokio::sync::mpsc::Sender;
use tracing::{Level, enabled, info, warn};

use crate::webhook::{
    hooks::Hook,
    memory::{MemoryShare, Reservation},
    request_id::RequestId,
};

/// Output kept of one command for its answer, if there is room for it.
const MOST_KEPT: usize = 64 << 20;

/// Output of one command that goes into the log in one piece.
const MOST_LOGGED: usize = 1 << 20;

/// A line of output that is logged as it comes is cut into pieces of this size.
const LONGEST_LINE: usize = 16 * 1024;

/// Who gets the output besides the log.
#[derive(Debug)]
pub enum OutputTo {
    Nobody,
    /// The answer, when it is whole.
    Answer,
    /// The client, as it comes.
    Client(Sender<Bytes>),
}

/// One command's output.
#[derive(Debug)]
pub struct Output {
    id: RequestId,
    memory: MemoryShare,
    /// Whole, for the answer or the log.
    kept: Option<Kept>,
    log_whole: bool,
    /// Begun, not ended: the last line so far, when lines are logged as they come.
    line: Option<Vec<u8>>,
    /// Piece by piece, for a client that reads along.
    client: Option<Client>,
}

/// The output as far as there was room for it, and that room.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
    reservation: Option<Reservation>,
}

#[derive(Debug)]
struct Client {
    sender: Sender<Bytes>,
    /// Read and not yet taken by the client: until it is, nothing more is read.
    waiting: Option<Bytes>,
}

/// Who read along no longer does.
#[derive(Debug)]
pub struct ClientGone;

impl Output {
    pub fn new(id: &RequestId, memory: &MemoryShare, hook: &Hook, to: OutputTo) -> Self {
        let logged = enabled!(Level::INFO);
        let log_whole = logged && !hook.log_output_live;
        let most = match to {
            OutputTo::Answer => Some(MOST_KEPT),
            _ => log_whole.then_some(MOST_LOGGED),
        };
        let client = match to {
            OutputTo::Client(sender) => Some(Client { sender, waiting: None }),
            _ => None,
        };
        Self {
            id: id.clone(),
            memory: memory.clone(),
            kept: most.map(|most| Kept { most, ..Kept::default() }),
            log_whole,
            line: (logged && hook.log_output_live).then(Vec::new),
            client,
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
            kept.take(bytes, &self.memory, &self.id);
        }
        if let Some(line) = &mut self.line {
            for byte in bytes {
                if *byte == b'\n' || line.len() == LONGEST_LINE {
                    log_line(&self.id, line);
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

    /// Hands what waits to the client. Never ready when nothing waits; an error, once, when the client has gone.
    pub async fn pass_on(&mut self) -> Result<(), ClientGone> {
        let Some(client) = &mut self.client else { return pending().await };
        let passed = client.pass_on().await;
        if passed.is_err() {
            self.client = None;
        }
        passed
    }

    /// Passes on what waits, or finds that the client has gone.
    pub async fn make_room(&mut self) {
        while !self.has_room() {
            let _ = self.pass_on().await;
        }
    }

    /// Logs what is not logged yet; what was kept is left.
    pub fn finish(mut self) -> Kept {
        if let Some(line) = self.line.as_mut().filter(|line| !line.is_empty()) {
            log_line(&self.id, line);
        }
        let kept = self.kept.unwrap_or_default();
        if self.log_whole {
            let (id, shown) = (&self.id, &kept.bytes[..kept.bytes.len().min(MOST_LOGGED)]);
            info!(request = %id, output = %String::from_utf8_lossy(shown), "command output: ");
            if shown.len() < kept.bytes.len() {
                info!(request = %id, "the log has {} of {} bytes of the output", shown.len(), kept.bytes.len());
            }
        }
        kept
    }
}

impl Client {
    async fn pass_on(&mut self) -> Result<(), ClientGone> {
        if self.waiting.is_none() {
            self.sender.closed().await;
            return Err(ClientGone);
        }
        let room = self.sender.reserve().await.map_err(|_| ClientGone)?;
        if let Some(bytes) = self.waiting.take() {
            room.send(bytes);
        }
        Ok(())
    }
}

impl Kept {
    /// The bytes, which hold their room until they are gone.
    pub fn into_bytes(self) -> Bytes {
        match self.reservation {
            Some(reservation) => reservation.hold(self.bytes),
            None => self.bytes.into(),
        }
    }

    /// Takes of `bytes` what there is room for, and nothing after it.
    fn take(&mut self, bytes: &[u8], memory: &MemoryShare, id: &RequestId) {
        if self.full {
            return;
        }
        let wanted = (self.bytes.len() + bytes.len()).min(self.most);
        let have = self.reserved();
        if wanted > have {
            let more = memory.reserve((wanted - have).max(have)).or_else(|| memory.reserve(wanted - have));
            match (more, &mut self.reservation) {
                (Some(more), Some(reservation)) => reservation.add(more),
                (more, reservation) => *reservation = reservation.take().or(more),
            }
        }
        let room = wanted.min(self.reserved()) - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..room]);
        if room < bytes.len() {
            self.full = true;
            warn!(request = %id, "the output is more than is kept: it is cut after {} bytes", self.bytes.len());
        }
    }

    fn reserved(&self) -> usize {
        self.reservation.as_ref().map_or(0, Reservation::bytes)
    }
}

fn log_line(id: &RequestId, line: &mut Vec<u8>) {
    info!(request = %id, "command output: {}", String::from_utf8_lossy(line));
    line.clear();
}
