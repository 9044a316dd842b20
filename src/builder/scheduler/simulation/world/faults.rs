//! What is met, by the entry that it concerns.

use std::io::{self, ErrorKind};

use crate::{builder::fault::Fault, queue::EntryId};

pub fn fault(stage: &'static str, id: &EntryId) -> Fault {
    Fault { stage, error: io::Error::other(id.to_string()) }
}

pub fn unopened(id: &EntryId) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, id.to_string())
}
