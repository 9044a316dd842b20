//! Who has sent us a signal: somebody who means us, or a process of a build (`kill $PPID`).

use rustix::process::getpid;

use super::mark::MARK;
use crate::proc_table;

/// What is known of the process that sent a signal.
#[derive(Debug, PartialEq, Eq)]
pub enum Sender {
    /// A process of a build: its entry, unless no process carries the mark any more.
    Build(Option<String>),
    /// It is gone, and nothing tells any more whose it was.
    Gone,
    /// Any other.
    Other,
}

/// Looks at a process and what it descends from. `home` is what the marks of its builds begin with.
pub fn look(pid: i32, home: &str) -> Sender {
    // All of it first: what sends a signal is often about to end.
    let line: Vec<i32> =
        std::iter::successors(Some(pid), |pid| proc_table::parent(*pid).filter(|parent| *parent > 0))
            .collect();
    let mark = format!("{MARK}={home}-");
    let entry = line.iter().flat_map(|pid| proc_table::environment(*pid)).find_map(|variable| {
        variable.strip_prefix(mark.as_bytes()).map(|entry| String::from_utf8_lossy(entry).into_owned())
    });
    // Whatever loses its parent is given to us.
    let is_below_us = line[1..].contains(&getpid().as_raw_nonzero().get());
    match entry {
        Some(entry) => Sender::Build(Some(entry)),
        None if is_below_us => Sender::Build(None),
        None if line.len() == 1 && pid > 1 => Sender::Gone,
        None => Sender::Other,
    }
}
