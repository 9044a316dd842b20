//! Lines on their way to the log. Whoever says something never waits for whoever takes it: a full pipe or a slow disk
//! costs lines, and nothing else.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::webhook::log_allowance;

/// Bytes that wait to be written; of what comes beyond that only the number of lines is said.
const MOST: usize = 8 << 20;

/// Bytes of lines about strangers' requests, and how fast they may come again.
const STRANGERS_AT_ONCE: usize = 4 << 20;
const STRANGERS_PER_SECOND: usize = 64 << 10;

/// The lines that wait.
pub struct LogQueue {
    state: Mutex<State>,
    changed: Condvar,
    /// The line that says how many were left out.
    left_out: fn(u64) -> String,
    bounds_strangers: bool,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// One has been taken out and is not written yet.
    writing: bool,
    left_out: u64,
    strangers: usize,
    refilled: Instant,
}

impl LogQueue {
    pub fn new(left_out: fn(u64) -> String, bounds_strangers: bool) -> Self {
        let state = State {
            lines: VecDeque::new(),
            bytes: 0,
            writing: false,
            left_out: 0,
            strangers: STRANGERS_AT_ONCE,
            refilled: Instant::now(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), left_out, bounds_strangers }
    }

    /// From here on a thread hands the lines to `write`, one at a time.
    pub fn start(&'static self, mut write: impl FnMut(&[u8]) + Send + 'static) -> io::Result<()> {
        let lines = move || loop {
            write(&self.next());
        };
        thread::Builder::new().name("log".to_owned()).spawn(lines).map(drop)
    }

    /// Waits until all is written, but not for long: perhaps nobody takes it any more.
    pub fn finish(&self, time: Duration) {
        let state = self.state();
        let unfinished = |state: &mut State| state.writing || !state.lines.is_empty();
        let _ = self.changed.wait_timeout_while(state, time, unfinished);
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn add(&self, line: &[u8]) {
        let of_strangers = self.bounds_strangers && log_allowance::is_strangers();
        let mut state = self.state();
        if state.bytes + line.len() > MOST || of_strangers && !state.allows_strangers(line.len()) {
            state.left_out += 1;
            return;
        }
        if state.left_out > 0 {
            let left_out = std::mem::take(&mut state.left_out);
            state.add((self.left_out)(left_out).into_bytes());
        }
        state.add(line.to_vec());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn allows_strangers(&mut self, bytes: usize) -> bool {
        let passed = usize::try_from(self.refilled.elapsed().as_millis()).unwrap_or(usize::MAX);
        let refill = passed.saturating_mul(STRANGERS_PER_SECOND) / 1000;
        if refill > 0 {
            self.refilled = Instant::now();
            self.strangers = self.strangers.saturating_add(refill).min(STRANGERS_AT_ONCE);
        }
        let left = self.strangers.checked_sub(bytes);
        self.strangers = left.unwrap_or(self.strangers);
        left.is_some()
    }
}

/// Takes lines, each in one write.
pub struct QueueWriter(&'static LogQueue);

impl<'a> MakeWriter<'a> for &'static LogQueue {
    type Writer = QueueWriter;

    fn make_writer(&'a self) -> QueueWriter {
        QueueWriter(self)
    }
}

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
